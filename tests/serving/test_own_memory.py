"""The memory over HTTP: recalled, searched, corrected, forgotten and exported, each key its own user's alone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")

from tests.serving.halls import call
from tests.serving.own_halls import own_server

from interconnected_ai.memory import ThreeLevelMemory
from interconnected_ai.serving import Hall, KeyFile

Served = tuple[str, ThreeLevelMemory, dict[str, dict[str, str]]]
HOME = "/v1/memory"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Ann and Ben, who have each said something, and a key of the scope chat alone."""
    keys = KeyFile(tmp_path / "keys.json")
    bearers = {
        name: {"authorization": f"Bearer {keys.add(name, scopes=[scope])[1]}"}
        for name, scope in (("ann", "memory"), ("ben", "memory"), ("cat", "chat"), ("dan", "memory"))
    }
    with own_server(tmp_path, keys=str(keys.path)) as (url, hall):
        memory = hall.memory
        assert memory is not None
        memory.add("user", "My boat is called Albatross.", session="sea", user="ann")
        memory.add("user", "I live in Riga.", session="home", user="ann")
        memory.add("user", "My boat is called Penguin, which is secret.", session="ice", user="ben")
        memory.catch_up()
        yield url, memory, bearers


def said(found: Any) -> str:
    return json.dumps(found, ensure_ascii=False)


def test_messages_are_found_by_their_ids_and_only_ones_own(served: Served) -> None:
    url, memory, keys = served
    (boat,), (secret,) = (
        [one.id for one in memory.messages(session=s, user=u)] for s, u in (("sea", "ann"), ("ice", "ben"))
    )
    (home,) = (one.id for one in memory.messages(session="home", user="ann"))
    status, _, found = call(url, f"{HOME}/messages", {"ids": [home, "nothing", secret, boat]}, headers=keys["ann"])
    assert status == 200
    assert [(one["content"], one["session"]) for one in found["data"]] == [
        ("I live in Riga.", "home"), ("My boat is called Albatross.", "sea"),
    ]  # fmt: skip
    assert call(url, f"{HOME}/messages", {"ids": [boat]}, headers=keys["cat"])[0] == 403
    assert call(url, f"{HOME}/messages", {"ids": [boat]}, headers=keys["dan"])[2]["data"] == []
    for body in ({}, {"ids": "a"}, {"ids": [""]}, {"ids": [1]}):
        assert call(url, f"{HOME}/messages", body, headers=keys["ann"])[0] == 400


def test_a_context_and_a_search_are_of_the_keys_user_alone(served: Served) -> None:
    url, _, keys = served
    for path, body in (
        ("/context", {"query": "How is the boat called?", "session": "sea", "budget_tokens": 500, "explain": True}),
        ("/search", {"query": "boat", "limit": 5}),
        ("/why", {"query": "boat", "id": "nothing"}),
    ):
        status, _, found = call(url, HOME + path, body, headers=keys["ann"])
        assert status == 200, found
        assert ("Albatross" in said(found)) is (path != "/why")
        assert "Penguin" not in said(found)
        assert call(url, HOME + path, body, headers=keys["cat"])[0] == 403
    assert (
        call(url, HOME + "/context", {"query": "boat", "session": "ice"}, headers=keys["ann"])[2]["object"]
        == "memory.context"
    )


def test_an_explained_context_brings_the_messages_that_it_speaks_of(served: Served) -> None:
    url, _, keys = served
    asked = {"query": "How is the boat called?", "session": "sea", "budget_tokens": 500}
    found = call(url, HOME + "/context", {**asked, "explain": True}, headers=keys["ann"])[2]
    assert [(one["session"], one["id"]) for one in found["sources"]] == [
        (reason["session"], reason["id"]) for reason in found["reasons"]
    ]
    boat = next(one for one in found["sources"] if "Albatross" in one["content"])
    assert (boat["session"], boat["level"], boat["role"]) == ("sea", "current", "user")
    assert boat["num_tokens"] > 0
    assert "sources" not in call(url, HOME + "/context", asked, headers=keys["ann"])[2]


def test_sessions_messages_and_levels_are_told_of_the_keys_user_alone(served: Served) -> None:
    url, _, keys = served
    sessions = call(url, HOME + "/sessions", headers=keys["ann"])[2]["data"]
    assert [each["session"] for each in sessions] == ["sea", "home"]
    messages = call(url, HOME + "/messages?session=sea&limit=1", headers=keys["ann"])[2]
    assert [each["content"] for each in messages["data"]] == ["My boat is called Albatross."]
    assert messages["has_more"] is False
    assert call(url, HOME + "/messages?session=ice", headers=keys["ann"])[0] == 404
    stats = call(url, HOME + "/stats", headers=keys["ann"])[2]
    assert stats["num_messages"] == 2
    assert set(stats["levels"]) == {"current", "stale", "long"}
    assert "file_bytes" not in stats


def test_facts_are_set_corrected_and_retracted(served: Served) -> None:
    url, _, keys = served
    made = call(url, HOME + "/facts", {"relation": "lives in", "value": "Paris"}, headers=keys["ann"])[2]
    assert (made["value"], made["by_hand"]) == ("Paris", True)
    path = f"{HOME}/facts/{made['number']}"
    assert call(url, path + "/correct", {"value": "Oslo"}, headers=keys["ben"])[0] == 404
    better = call(url, path + "/correct", {"value": "Oslo"}, headers=keys["ann"])[2]
    assert better["value"] == "Oslo"
    values = [fact["value"] for fact in call(url, HOME + "/facts", headers=keys["ann"])[2]["data"]]
    assert "Oslo" in values
    assert "Paris" not in values
    assert "Oslo" in said(call(url, HOME + "/facts?query=lives", headers=keys["ann"])[2])
    assert "Oslo" not in said(call(url, HOME + "/facts", headers=keys["ben"])[2])
    assert call(url, f"{HOME}/facts/{better['number']}", method="DELETE", headers=keys["ann"])[0] == 200
    assert "Oslo" not in said(call(url, HOME + "/facts", headers=keys["ann"])[2])
    assert call(url, f"{HOME}/facts/999", method="DELETE", headers=keys["ann"])[0] == 404


def test_forgetting_says_what_goes_and_does_it_when_it_is_confirmed(served: Served) -> None:
    url, memory, keys = served
    asked = {"containing": "Albatross"}
    told = call(url, HOME + "/forget", asked, headers=keys["ann"])[2]
    assert told["would_go"]["num_messages"] == 1
    assert told["gone"] is None
    assert memory.search("boat", user="ann")
    gone = call(url, HOME + "/forget", {**asked, "confirm": True}, headers=keys["ann"])[2]["gone"]
    assert gone["num_messages"] == 1
    assert gone["bytes_erased"] is True
    assert not memory.search("Albatross", user="ann")
    assert memory.search("Penguin", user="ben")
    assert call(url, HOME + "/forget", {"everything": True, "confirm": True}, headers=keys["ann"])[0] == 200
    assert memory.sessions(user="ann") == []
    assert len(memory.sessions(user="ben")) == 1


@pytest.mark.parametrize(
    "body",
    [
        {}, {"confirm": True}, {"ids": [], "confirm": True}, {"session": "", "confirm": True},
        {"session": "sea", "confirm": True}, {"containing": " ", "confirm": True}, {"before": "tomorrow-ish", "confirm": True},
        {"everything": True, "containing": "boat", "confirm": True}, {"ids": [None]}, {"pin": "1"}, {"user": "ben"},
    ],
)  # fmt: skip
def test_forgetting_nothing_in_particular_is_refused_and_nothing_goes(body: dict[str, Any], served: Served) -> None:
    url, memory, keys = served
    status, _, found = call(url, HOME + "/forget", body, headers=keys["ann"])
    assert status == 400, found
    assert len(memory.search("boat", user="ann")) == 1
    assert len(memory.sessions(user="ann")) == 2


def test_an_export_is_what_a_memory_reads_again(served: Served, tmp_path: Path) -> None:
    url, _, keys = served
    status, headers, data = call(url, HOME + "/export", headers=keys["ann"])
    assert status == 200
    assert "memory.jsonl" in headers["content-disposition"]
    assert b"Penguin" not in data
    (tmp_path / "back.jsonl").write_bytes(data)
    with ThreeLevelMemory(tmp_path / "back.db", background=False) as memory:
        assert memory.import_file(tmp_path / "back.jsonl").num_messages == 2
    text = call(url, HOME + "/export?format=markdown&session=sea", headers=keys["ann"])[2].decode()
    assert "Albatross" in text
    assert "Riga" not in text
    assert call(url, HOME + "/export?format=docx", headers=keys["ann"])[0] == 400


def test_that_there_are_other_users_is_told_to_nobody(served: Served) -> None:
    url, _, keys = served
    answers = [
        call(url, HOME + "/export", headers=keys["dan"]),
        call(url, HOME + "/forget", {"everything": True, "confirm": True}, headers=keys["dan"]),
        call(url, HOME + "/messages", headers=keys["dan"]),
        call(url, HOME + "/facts", headers=keys["dan"]),
        call(url, HOME + "/sessions", headers=keys["dan"]),
        call(url, HOME + "/search", {"query": "boat"}, headers=keys["dan"]),
    ]
    for status, _, found in answers:
        assert status in (200, 404)
        for word in ("ann", "ben", "sea", "ice", "Penguin", "Albatross"):
            assert f'"{word}"' not in said(found), found
            assert f"'{word}'" not in said(found), found


@pytest.mark.parametrize("path", ["/context", "/search"])
@pytest.mark.parametrize(
    "more",
    [
        {"session": "a" * 10_000}, {"session": "a\0b"}, {"session": 7}, {"session": ""}, {"query": None}, {"query": 1},
        {"scope": "everybody"}, {"now": "yesterday?"}, {"time_zone": "Mars/Olympus"}, {"user": "ben"},
    ],
)  # fmt: skip
def test_a_question_that_cannot_be_is_refused(path: str, more: dict[str, Any], served: Served) -> None:
    url, _, keys = served
    status, _, found = call(url, HOME + path, {"query": "boat", **more}, headers=keys["ann"])
    assert status == 400, found
    assert "Penguin" not in said(found)


def test_bodies_that_are_none_are_refused_everywhere(served: Served) -> None:
    url, _, keys = served
    headers = {"content-type": "application/json", **keys["ann"]}
    for path in ("/context", "/search", "/why", "/facts", "/facts/1/correct", "/forget"):
        for body in (b"", b"null", b"[]", b'"a"', b"{", b"\xff\xfe"):
            status, _, found = call(url, HOME + path, body, headers=headers, method="POST")
            assert status == 400, (path, body, found)
    half = b'{"query": "\\ud800", "session": "\\ud800"}'
    assert call(url, HOME + "/search", half, headers=headers, method="POST")[0] == 400


def test_what_is_pinned_is_listed_comes_along_and_is_taken_off_by_its_user_alone(served: Served) -> None:
    url, _, keys = served
    made = call(url, HOME + "/pins", {"text": "Call me Captain."}, headers=keys["ann"])[2]
    assert (made["object"], made["session"], made["text"]) == ("memory.pin", None, "Call me Captain.")
    inside = call(url, HOME + "/pins", {"text": "Speak of ships.", "session": "sea"}, headers=keys["ann"])[2]
    listed = call(url, HOME + "/pins", headers=keys["ann"])[2]["data"]
    assert [one["number"] for one in listed] == [made["number"], inside["number"]]
    other = call(url, HOME + "/pins?session=elsewhere", headers=keys["ann"])[2]["data"]
    assert [one["text"] for one in other] == ["Call me Captain."]
    assert "Captain" in call(url, HOME + "/context", {"query": "who am I?"}, headers=keys["ann"])[2]["text"]
    assert call(url, HOME + "/pins", headers=keys["ben"])[2]["data"] == []
    assert call(url, f"{HOME}/pins/{made['number']}", headers=keys["ben"], method="DELETE")[0] == 404
    assert call(url, f"{HOME}/pins/{made['number']}", headers=keys["ann"], method="DELETE")[2]["deleted"] is True
    assert call(url, f"{HOME}/pins/{made['number']}", headers=keys["ann"], method="DELETE")[0] == 404
    assert "Captain" not in said(call(url, HOME + "/context", {"query": "who am I?"}, headers=keys["ann"])[2])
    status, _, found = call(url, HOME + "/pins", {"text": "word " * 3000}, headers=keys["ann"])
    assert (status, found["error"]["param"]) == (400, "text")
    assert call(url, f"{HOME}/pins/{inside['number']}", headers=keys["ann"], method="DELETE")[0] == 200


def test_a_server_without_a_memory_says_so(tmp_path: Path) -> None:
    with own_server(tmp_path) as (url, hall):
        hall_without(hall)
        status, _, found = call(url, HOME + "/search", {"query": "boat"})
        assert status == 404
        assert "council.yaml" in found["error"]["message"]


def hall_without(hall: Hall) -> None:
    assert hall.council is not None
    hall.council.memory = None


@pytest.mark.parametrize("number", [2**63, -1, 10**40])
def test_a_number_that_no_store_has_is_refused(number: int, tmp_path: Path) -> None:
    with own_server(tmp_path) as (url, _):
        assert call(url, f"/v1/memory/facts/{number}", method="DELETE")[0] == 400
        assert call(url, f"/v1/memory/facts/{number}/correct", {"value": "tea"})[0] == 400
        assert call(url, "/v1/memory/forget", {"pin": number, "confirm": True})[0] == 400
