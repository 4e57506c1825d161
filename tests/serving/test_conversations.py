"""Conversations over HTTP: kept, found, of one key alone, and never overwritten by who had not read them."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')

from tests.serving.halls import Waiting, call, waiting_server

from interconnected_ai.errors import StorageError
from interconnected_ai.serving import KeyFile
from interconnected_ai.serving.faults import Refusal
from interconnected_ai.serving.own import conversation_file
from interconnected_ai.serving.own.conversation_file import ConversationFile

PATH = "/v1/conversations"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with waiting_server(Waiting(), state=str(tmp_path_factory.mktemp("state"))) as address:
        yield address


def talk(*texts: str, version: int = 0, title: str = "A talk", **more: Any) -> dict[str, Any]:
    """A conversation in which people take turns."""
    messages = [
        {
            "id": f"m{place}", "parent": f"m{place - 1}" if place else None,
            "role": "assistant" if place % 2 else "user", "content": text,
        }
        for place, text in enumerate(texts)
    ]  # fmt: skip
    return {"version": version, "title": title, "messages": messages, **more}


def put(url: str, id: str, body: dict[str, Any], **headers: str) -> tuple[int, Any]:
    status, _, found = call(url, f"{PATH}/{id}", body, method="PUT", headers=headers)
    return status, found


def test_what_was_put_is_there_with_its_next_version(url: str) -> None:
    told = {"experts": ["code"], "why": "code: rule", "scores": {"code": 1.0}}
    body = talk("hello", "héllo ✓ \u0000", model="council", width=2, leaf="m1")
    answer = {"model": "council", "answer": "chatcmpl-1", "told": told, "finish": "stop", "rating": "up", "at": 12.5}
    body["messages"][1] |= answer
    status, kept = put(url, "first", body)
    assert (status, kept["version"], kept["num_messages"]) == (200, 1, 2)
    found = call(url, f"{PATH}/first")[2]
    assert found["messages"][1] == body["messages"][1]
    assert [found[name] for name in ("title", "model", "width", "leaf", "version")] == ["A talk", "council", 2, "m1", 1]
    assert put(url, "first", talk("hello", "there", "again", version=1))[1]["version"] == 2
    assert len(call(url, f"{PATH}/first")[2]["messages"]) == 3


def test_who_had_not_read_the_newest_overwrites_nothing(url: str) -> None:
    put(url, "shared", talk("one"))
    assert put(url, "shared", talk("one", "of this tab", version=1))[0] == 200
    for stale in (0, 1, 3):
        status, found = put(url, "shared", talk("one", "of that tab", version=stale))
        assert (status, found["error"]["code"], found["error"]["param"]) == (409, "conflict", "version")
    assert call(url, f"{PATH}/shared")[2]["messages"][1]["content"] == "of this tab"
    assert put(url, "never-there", talk("one", version=4))[0] == 409


def test_they_are_listed_newest_first_a_page_at_a_time(url: str) -> None:
    for number in range(5):
        put(url, f"page-{number}", talk("x", title=f"Number {number}"))
    put(url, "page-1", talk("x", "y", version=1, title="Number 1"))
    first = call(url, f"{PATH}?limit=2")[2]
    assert [each["id"] for each in first["data"]] == ["page-1", "page-4"]
    assert first["has_more"] is True
    assert "messages" not in first["data"][0]
    second = call(url, f"{PATH}?limit=3&after=page-4")[2]
    assert [each["id"] for each in second["data"]] == ["page-3", "page-2", "page-0"]
    assert call(url, f"{PATH}?after=nobody")[2]["data"] == []


def test_words_are_found_in_titles_and_messages_by_how_they_begin(url: str) -> None:
    put(url, "volcano", talk("Which volcanoes erupt?", "Etna does.", title="Mountains"))
    put(url, "court", talk("Как подать иск в суд?", "Через приёмную.", title="Суды"))

    def found(query: str) -> list[str]:
        return [each["id"] for each in call(url, f"{PATH}/search", {"query": query})[2]["data"]]

    assert found("volcano") == found("VOLC etna") == found("mountains") == ["volcano"]
    assert found("иск приемн") == found("ПРИЁМНУЮ") == ["court"]
    assert found("volcanoes иск") == found("olcano") == found("") == found('"*') == found("NEAR(") == []
    excerpt = call(url, f"{PATH}/search", {"query": "etna"})[2]["data"][0]["excerpt"]
    assert "Etna does." in excerpt


def test_what_is_removed_is_gone_from_list_search_and_file(url: str, tmp_path: Path) -> None:
    with waiting_server(Waiting(), state=str(tmp_path)) as own:
        put(own, "kept", talk("a pelican"))
        put(own, "gone", talk("a flamingo of its own", title="Flamingos"))
        assert call(own, f"{PATH}/gone", method="DELETE")[0] == 200
        assert call(own, f"{PATH}/gone")[0] == call(own, f"{PATH}/gone", method="DELETE")[0] == 404
        assert call(own, f"{PATH}/search", {"query": "flamingo"})[2]["data"] == []
        assert [each["id"] for each in call(own, PATH)[2]["data"]] == ["kept"]
        for file in tmp_path.glob("conversations.db*"):
            assert b"lamingo" not in file.read_bytes().lower()
            assert file.stat().st_mode & 0o077 == 0
    with waiting_server(Waiting(), state=str(tmp_path)) as again:
        assert call(again, f"{PATH}/kept")[2]["messages"][0]["content"] == "a pelican"


def test_they_belong_to_their_key(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    ann, bob = ({"authorization": f"Bearer {keys.add(name)[1]}"} for name in ("ann", "bob"))
    with waiting_server(Waiting(), keys=str(keys.path), state=str(tmp_path / "state")) as url:
        assert put(url, "one", talk("ann's secret pelican"), **ann)[0] == 200
        assert put(url, "one", talk("bob's"), **bob)[0] == 200  # the same id, another key's
        assert call(url, f"{PATH}/one", headers=bob)[2]["messages"][0]["content"] == "bob's"
        assert call(url, f"{PATH}/search", {"query": "pelican"}, headers=bob)[2]["data"] == []
        assert len(call(url, PATH, headers=bob)[2]["data"]) == 1
        assert call(url, f"{PATH}/one", method="DELETE", headers=bob)[0] == 200
        assert call(url, f"{PATH}/one", headers=ann)[2]["messages"][0]["content"] == "ann's secret pelican"
        assert call(url, f"{PATH}/one")[0] == 401


@pytest.mark.parametrize(
    ("spoilt", "field"),
    [
        ({"messages": [{"id": "a", "role": "user", "content": "x"}] * 2}, "two messages"),
        ({"messages": [{"id": "a", "parent": "b", "role": "user", "content": "x"}]}, "does not stand before"),
        ({"messages": [{"id": "a", "parent": "a", "role": "user", "content": "x"}]}, "does not stand before"),
        ({"leaf": "nobody"}, "leaf"),
        ({"messages": [{"id": "a b", "role": "user", "content": "x"}]}, "messages.0.id"),
        ({"messages": [{"id": "a", "role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"id": "a", "role": "user", "content": None}]}, "messages.0.content"),
        ({"version": -1}, "version"),
        ({"title": "x" * 201}, "title"),
        ({"other": 1}, "other"),
    ],
)
def test_what_is_no_conversation_is_refused_in_words(spoilt: dict[str, Any], field: str, url: str) -> None:
    status, found = put(url, "spoilt", {**talk("x"), **spoilt})
    assert status == 400
    assert field in found["error"]["message"]
    assert call(url, f"{PATH}/spoilt")[0] == 404


def test_odd_ids_and_odd_text_harm_nobody(url: str) -> None:
    for id in ("x" * 65, "a%2Fb", "a b".replace(" ", "%20"), "%D1%81"):
        assert put(url, id, talk("x"))[0] in (400, 404)
    half = json.dumps(talk("half \ud800 a letter")).encode()
    assert call(url, f"{PATH}/odd", half, method="PUT")[0] == 400
    told = talk("\u0000 and \u202e")
    told["messages"][0]["told"] = {"half": "\ud800", "deep": [[[[{}]]]], "not": float("nan")}
    assert call(url, f"{PATH}/odd", json.dumps(told).encode(), method="PUT")[0] == 200
    found = call(url, f"{PATH}/odd")[2]["messages"][0]
    assert found["content"] == "\u0000 and \u202e"
    assert found["told"] == {"half": "?", "deep": [[[[{}]]]], "not": None}
    assert call(url, f"{PATH}/search", b'{"query": "half \\u0000 \\u202e"}')[0] == 200


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation_file, "MOST_KEPT", 2)
    monkeypatch.setattr(conversation_file, "MOST_BYTES", 1_000)
    with waiting_server(Waiting(), state=str(tmp_path)) as url:
        status, found = put(url, "long", talk("x" * 2_000))
        assert (status, found["error"]["code"]) == (413, "too_large")
        assert [put(url, id, talk("x"))[0] for id in ("a", "b", "c")] == [200, 200, 413]
        assert put(url, "b", talk("x", "y", version=1))[0] == 200


def test_a_file_that_is_none_of_ours_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"no database at all, but long enough to be looked at" * 100)
    with pytest.raises(StorageError, match="not a database"):
        ConversationFile(tmp_path / "a.db").listed(None, 1)
    with sqlite3.connect(tmp_path / "b.db") as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(StorageError, match="format 99"):
        ConversationFile(tmp_path / "b.db").listed(None, 1)


def test_what_fails_midway_leaves_what_stood(tmp_path: Path) -> None:
    file = ConversationFile(tmp_path / "c.db")
    file.put(None, "a", 0, "First", {"messages": [{"content": "word"}]})
    with pytest.raises(Refusal):
        file.put(None, "a", 7, "Second", {"messages": []})
    assert file.get(None, "a")[0].title == "First"
    assert [each.id for each in file.search(None, "word", 5)] == ["a"]
    file.close()
    assert file.get(None, "a")[0].version == 1  # opened again when it is needed
    file.close()
