"""Texts in, every branch's answer out: over a live server, by several at once, with bodies that cannot be."""

import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import torch

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")

from tests.serving.halls import call
from tests.serving.own_halls import TEXTS, own_server

from conftest import make_rows, spec
from interconnected_ai import InterconnectedAISystem
from interconnected_ai.branches import fit_branch
from interconnected_ai.config import TrainingConfig
from interconnected_ai.errors import QueueFullError
from interconnected_ai.serving import Hall
from interconnected_ai.serving.faults import fault_of

PATH = "/v1/classify"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Hall]]:
    with own_server(tmp_path_factory.mktemp("classification")) as found:
        yield found


def test_a_list_of_texts_gets_what_the_system_predicts(served: tuple[str, Hall]) -> None:
    url, hall = served
    status, _, found = call(url, PATH, {"input": TEXTS, "top": 2})
    assert status == 200
    assert found["system"] == "system"
    for number, prediction in enumerate(hall.systems["system"].predict(TEXTS, top_n=2)):
        told = found["data"][number]
        assert told["index"] == number
        assert list(told["branches"]) == ["one", "two"]
        for name, expected in prediction.branches.items():
            answer = told["branches"][name]
            assert answer["label"] == expected.label
            assert answer["answer"] == expected.answer
            assert answer["unknown"] is expected.unknown
            assert answer["confidence"] == pytest.approx(expected.confidence, abs=1e-5)
            assert [each["label"] for each in answer["top"]] == [label for label, _ in expected.top]


def test_a_single_text_and_some_of_the_branches_will_do(served: tuple[str, Hall]) -> None:
    found = call(served[0], PATH, {"input": "a cat", "branches": ["two"], "system": "system"})[2]
    assert [list(each["branches"]) for each in found["data"]] == [["two"]]


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "application/vnd.own+json"])
def test_a_request_is_answered_alike_whatever_way_it_takes(kind: str, served: tuple[str, Hall]) -> None:
    body = {"input": ["a cat", "my bank card"], "branches": ["two", "one"], "top": 2, "system": None}
    found = [
        json.loads(
            json.dumps(call(served[0], PATH, body, headers={"content-type": each})[2]),
            parse_float=lambda number: round(float(number), 5),  # texts may have had other company
        )
        for each in ("application/json", kind)
    ]
    assert found[0] == found[1]
    assert [list(each["branches"]) for each in found[0]["data"]] == [["two", "one"]] * 2


def test_clients_at_once_get_each_their_own_answers(served: tuple[str, Hall]) -> None:
    url, hall = served
    texts = [f"{text} {word}" for text in TEXTS for word in ("bank", "rain", "dog", "today")]
    expected = {text: found.branches["one"].label for text, found in zip(
        texts, hall.systems["system"].predict(texts), strict=True
    )}  # fmt: skip

    def ask(text: str) -> str:
        label: str = call(url, PATH, {"input": text})[2]["data"][0]["branches"]["one"]["label"]
        return label

    with ThreadPoolExecutor(8) as clients:
        assert list(clients.map(ask, texts * 3)) == [expected[text] for text in texts * 3]


def test_a_queue_that_is_full_is_a_503_that_says_when_to_come_again() -> None:
    fault = fault_of(QueueFullError("4096 texts wait already"))
    assert fault.status == 503
    assert int(fault.headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": [1, 2]}, "input"),
        ({"input": ["a", None]}, "input"),
        ({"input": {"text": "a"}}, "input"),
        ({"input": ["a", "  "]}, "input"),
        ({"input": "a", "branches": []}, "branches"),
        ({"input": "a", "branches": "one"}, "branches"),
        ({"input": "a", "branches": [0]}, "branches"),
        ({"input": "a", "top": 0}, "top"),
        ({"input": "a", "top": "3"}, "top"),
        ({"input": "a", "system": 7}, "system"),
        ({"input": "a", "nonsense": 1}, "nonsense"),
        ({"input": ["a"] * 2049}, "input"),
        (b"null", None),
        (b"[]", None),
        (b"{", None),
        (b"\xff\xfe\x00", None),
        (b'{"input": "\\ud800"}', None),
    ],
)
def test_a_body_that_cannot_be_is_refused_and_the_field_named(
    body: Any, param: str | None, served: tuple[str, Hall]
) -> None:
    status, _, found = call(served[0], PATH, body)
    assert status == 400, found
    assert found["error"]["message"]
    if param is not None:
        assert str(found["error"]["param"]).startswith(param)


@pytest.mark.parametrize(
    ("more", "code"), [({"branches": ["one", "tow"]}, "not_found"), ({"system": "nobody"}, "not_found")]
)
def test_a_name_that_nobody_has_names_the_nearest(more: dict[str, Any], code: str, served: tuple[str, Hall]) -> None:
    status, _, found = call(served[0], PATH, {"input": "a", **more})
    assert (status, found["error"]["code"]) == (404, code)
    assert ("two" if "branches" in more else "system") in found["error"]["message"]


def test_a_text_beyond_the_limit_is_refused_before_anything_reads_it(tmp_path: Path) -> None:
    with own_server(tmp_path, max_prompt_tokens=50) as (url, _):
        assert call(url, PATH, {"input": "cat " * 20})[0] == 200
        status, _, found = call(url, PATH, {"input": ["cat " * 400]})
        assert (status, found["error"]["code"]) == (400, "context_length_exceeded")


@pytest.mark.parametrize("more", ["", "Connection: close\r\n"], ids=["plain", "left to h11"])
def test_texts_whose_client_leaves_while_they_wait_are_never_read(
    more: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "interconnected_ai.serving")
    passes: list[list[str]] = []
    goes = threading.Event()
    with own_server(tmp_path) as (url, hall), ThreadPoolExecutor() as others:
        system = hall.systems["system"]
        encode = system.encode_together

        def held(texts: Sequence[str]) -> Any:
            passes.append(list(texts))
            assert goes.wait(300)
            return encode(texts)

        system.encode_together = held  # type: ignore[method-assign]
        busy = []
        for number in range(2 if torch.get_num_threads() > 1 else 1):  # as many passes as there may be at once
            busy.append(others.submit(call, url, PATH, {"input": "cat"}))
            while len(passes) <= number:
                threading.Event().wait(0.01)
        body = json.dumps({"input": "nobody's"}).encode()
        head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60) as leaving:
            leaving.sendall(f"{head}{more}\r\n".encode() + body)
        while '"ended": "left"' not in caplog.text:
            threading.Event().wait(0.01)
        goes.set()
        assert [each.result()[0] for each in busy] == [200] * len(busy)
        assert call(url, PATH, {"input": "dog"})[0] == 200
    assert [text for texts in passes for text in texts] == ["cat"] * len(busy) + ["dog"]


def test_branches_are_listed_with_their_cards(served: tuple[str, Hall]) -> None:
    url, _ = served
    listed = call(url, "/v1/branches")[2]
    assert [card["id"] for card in listed["data"]] == ["one", "two"]
    one = call(url, "/v1/branches/one")[2]
    assert one == {**listed["data"][0], "confusion": None}  # of branches that were added here alone
    assert one["spec"]["labels"] == ["animals", "money", "weather"]
    assert call(url, "/v1/branches/none")[0] == 404
    assert call(url, "/v1/branches?system=none")[0] == 404
    checks = call(url, "/v1/branches/verify", b"", method="POST")[2]
    assert checks["unchanged"] is True
    assert [check["branch"] for check in checks["data"]] == ["one", "two"]


def test_what_another_program_saves_in_the_folder_is_taken_up(tmp_path: Path) -> None:
    with own_server(tmp_path) as (url, _):
        before = call(url, PATH, {"input": TEXTS})[2]["data"]
        other = InterconnectedAISystem.from_pretrained(tmp_path / "system")
        other.add_branch(spec("three"))
        fit_branch(other, "three", *make_rows("three", 12).of("three"), config=TrainingConfig(epochs=1))
        other.remove_branch("two")
        other.save_pretrained(tmp_path / "system")
        while list(call(url, PATH, {"input": "cat"})[2]["data"][0]["branches"]) != ["one", "three"]:
            time.sleep(0.05)
        after = call(url, PATH, {"input": TEXTS, "branches": ["one"]})[2]["data"]
        assert [each["branches"]["one"] for each in after] == [each["branches"]["one"] for each in before]
