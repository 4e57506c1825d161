"""Routes of the council, experts in memory, plans and feedback, over a live server."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")

from tests.serving.halls import call
from tests.serving.own_halls import own_server

from interconnected_ai.planner import PlanRequest, plan, request_from
from interconnected_ai.serving import Hall, KeyFile


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Hall]]:
    with own_server(tmp_path_factory.mktemp("others")) as found:
        yield found


def test_a_route_is_the_councils_with_its_reason(served: tuple[str, Hall]) -> None:
    url, hall = served
    assert hall.council is not None
    found = call(url, "/v1/route", {"input": "a traceback in python"})[2]
    expected = hall.council.route("a traceback in python", user="default")
    assert found["expert"] == expected.expert == "code"
    assert found["reason"] == expected.reason
    assert [each["expert"] for each in found["experts"]] == [each.expert for each in expected.experts]
    for body in (
        {},
        {"input": ""},
        {"input": None},
        {"input": "a", "session": "s" * 10_000},
        {"input": "a", "flags": []},
    ):
        assert call(url, "/v1/route", body)[0] == 400


def test_experts_are_loaded_pinned_and_unloaded_in_bytes(served: tuple[str, Hall]) -> None:
    url, _ = served
    listed = call(url, "/v1/experts")[2]
    assert [each["id"] for each in listed["data"]] == ["general", "code", "law"]
    assert listed["pools"]["council"]["budget_bytes"] == 100_000_000
    loaded = call(url, "/v1/experts/law/load", b"", method="POST")[2]
    assert loaded["state"] == "resident"
    assert loaded["num_bytes"] > 0
    assert call(url, "/v1/experts")[2]["pools"]["council"]["used_bytes"] >= loaded["num_bytes"]
    assert call(url, "/v1/experts/law/pin", {"pinned": True})[2]["pinned"] is True
    status, _, found = call(url, "/v1/experts/law/unload", b"", method="POST")
    assert (status, found["error"]["code"]) == (409, "in_use")
    assert call(url, "/v1/experts/law/pin", {"pinned": False})[2]["pinned"] is False
    assert call(url, "/v1/experts/law/unload", b"", method="POST")[0] == 200
    assert call(url, "/v1/experts/law/unload", b"", method="POST")[0] == 200
    status, _, found = call(url, "/v1/experts/lew/load", b"", method="POST")
    assert status == 404
    assert "law" in found["error"]["message"]
    assert call(url, "/v1/experts/law/pin", {"pinned": "yes"})[0] == 400


def test_an_expert_in_use_is_not_unloaded_under_its_borrower(served: tuple[str, Hall]) -> None:
    url, hall = served
    with hall.pools["council"].borrow("code"):
        assert call(url, "/v1/experts/code/unload", b"", method="POST")[0] == 409
    assert call(url, "/v1/experts/code/unload", b"", method="POST")[0] == 200


def test_a_plan_is_the_planners(served: tuple[str, Hall]) -> None:
    url, _ = served
    asked = {"system": {"branches": 3, "num_experts": 8}, "device": "A100 80GB SXM"}
    status, _, found = call(url, "/v1/plan", asked)
    assert status == 200, found
    branches = [{"name": f"branch-{number}", "num_classes": 20} for number in (1, 2, 3)]
    expected = plan(PlanRequest.from_mapping({**asked, "system": {"branches": branches, "num_experts": 8}}, source="t"))
    assert list(found["ways"]) == [way.name for way in expected.ways]
    for way in expected.ways:
        assert found["ways"][way.name]["num_params"] == way.num_params
        assert found["ways"][way.name]["run_seconds"]["expected"] == pytest.approx(way.run_seconds.expected)
    assert found["recommendation"]["choice"] == expected.recommendation.choice


@pytest.mark.parametrize(
    "body",
    [
        b"null", b"[]", b"{", {"system": 7}, {"system": {"branches": 0}}, {"system": {"branches": 10**12}},
        {"system": {"branches": [{"name": "a", "num_classes": 10**9}]}}, {"nonsense": 1}, {"num_rows": "many"},
        {"system": {"base_model_name": "/etc"}}, {"system": {"base_model_name": "../secret/config.json"}},
        {"num_rows": 10**400}, {"system": {"branches": [None]}},
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_is_refused(body: Any, served: tuple[str, Hall]) -> None:
    status, _, found = call(served[0], "/v1/plan", body)
    assert status in (400, 404), found


def test_a_plan_reads_no_place_of_this_machine(served: tuple[str, Hall], tmp_path: Path) -> None:
    place = tmp_path / "others" / "config.json"
    place.parent.mkdir()
    place.write_text(json.dumps({"model_type": "bert", "hidden_size": 32, "my secret": 1}), encoding="utf-8")
    for name in (str(place), str(place.parent)):
        status, _, found = call(served[0], "/v1/plan", {"system": {"base_model_name": name}})
        assert status == 404
        assert "secret" not in json.dumps(found)


def test_a_plans_file_is_read_to_the_same_plan(served: tuple[str, Hall], tmp_path: Path) -> None:
    asked = {"system": {"branches": 2, "base_model_name": "multilingual"}, "device": "L4", "num_rows": 5000}
    status, headers, found = call(served[0], "/v1/plan/file", asked)
    assert status == 200, found
    assert headers["content-type"].startswith("application/yaml")
    assert "plan.yaml" in headers["content-disposition"]
    (tmp_path / "plan.yaml").write_bytes(found)
    told = call(served[0], "/v1/plan", asked)[2]
    assert plan(request_from(tmp_path / "plan.yaml")).way("moe").num_params == told["ways"]["moe"]["num_params"]
    assert call(served[0], "/v1/plan/file", {"num_rows": 0})[0] == 400


def test_every_encoder_that_is_listed_can_be_planned_with(served: tuple[str, Hall]) -> None:
    encoders = call(served[0], "/v1/plan/encoders")[2]["data"]
    assert [each["d_model"] for each in encoders] == sorted(each["d_model"] for each in encoders)
    assert {"all-MiniLM-L6-v2", "multilingual", "FacebookAI/roberta-base"} <= {each["id"] for each in encoders}
    assert len({each["id"] for each in encoders}) == len(encoders)
    for each in encoders:
        status, _, found = call(served[0], "/v1/plan", {"system": {"base_model_name": each["id"], "branches": 1}})
        assert status == 200, found
        assert found["ways"]["moe"]["params"]["total"] > each["num_params"]


def test_a_runs_answers_are_its_branches_confusion_where_the_classes_are_the_same(tmp_path: Path) -> None:
    kept = {"confidence": [0.5] * 4, "given": [0.5] * 4, "foreign_confidence": [], "foreign_answered": []}
    with own_server(tmp_path) as (url, hall):
        known = list(hall.systems["system"].cards["one"].spec.labels)
        other = [*known[:-1], "another"]
        answers = {
            "one": {"labels": known, "targets": [0, 0, 1, 1], "answers": [0, 1, 1, 1], **kept},
            "two": {"labels": other, "targets": [0, 0, 1, 1], "answers": [0, 1, 1, 1], **kept},
        }
        (tmp_path / "answers.json").write_text(json.dumps(answers), encoding="utf-8")
        found = call(url, "/v1/branches/one")[2]["confusion"]
        assert found == {"rows": "test", "num_rows": 4, "counts": [[0, 0, 1], [0, 1, 1], [1, 1, 2]]}
        assert call(url, "/v1/branches/two")[2]["confusion"] is None
        (tmp_path / "answers.json").write_text("{", encoding="utf-8")
        assert call(url, "/v1/branches/one")[2]["confusion"] is None


def test_feedback_outlives_the_server_and_belongs_to_its_key(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    ann, ben = ({"authorization": f"Bearer {keys.add(name, scopes=['chat'])[1]}"} for name in ("ann", "ben"))
    path = "/v1/feedback"
    with own_server(tmp_path, keys=str(keys.path)) as (url, _):
        given = call(url, path, {"rating": "up", "answer": "chatcmpl-1", "comment": "да \u2028"}, headers=ann)[2]
        with ThreadPoolExecutor(4) as clients:
            assert set(
                clients.map(
                    lambda number: call(url, path, {"rating": "down", "answer": f"{number}"}, headers=ben)[0], range(20)
                )
            ) == {200}
        for body in (
            {},
            {"rating": "meh"},
            {"rating": None},
            {"rating": "up", "comment": "a" * 10_001},
            {"rating": "up", "owner": "x"},
        ):
            assert call(url, path, body, headers=ann)[0] == 400
    with (tmp_path / "state" / "feedback.jsonl").open("ab") as file:
        file.write(b'\n{"id": "feedback_cut')  # as a sudden end leaves it
    with own_server(tmp_path, keys=str(keys.path)) as (url, _):
        assert call(url, path, {"rating": "up"}, headers=ben)[0] == 200
        assert call(url, path, headers=ann)[2]["data"] == [given]
        assert len(call(url, path, headers=ben)[2]["data"]) == 21
        assert len(call(url, path + "?limit=5", headers=ben)[2]["data"]) == 5
    assert (tmp_path / "state" / "feedback.jsonl").stat().st_mode & 0o077 == 0


def test_the_description_of_the_api_names_every_route_of_the_servers_own(served: tuple[str, Hall]) -> None:
    status, _, found = call(served[0], "/openapi.json")
    assert status == 200
    for path in (
        "/v1/classify",
        "/v1/branches",
        "/v1/jobs/{id}/events",
        "/v1/memory/forget",
        "/v1/plan",
        "/v1/feedback",
    ):
        assert path in found["paths"]
    form = found["paths"]["/v1/branches"]["post"]["requestBody"]["content"]
    assert list(form) == ["multipart/form-data"]
