"""Names of which nothing can be seen are as blank as spaces: refused wherever something is named, passed over in exports."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interconnected_ai.errors import ConfigError, DataError
from interconnected_ai.memory import SQLiteStore, ThreeLevelMemory
from interconnected_ai.memory.facts import statement_of
from interconnected_ai.text import is_blank
from memory_stores import MakeMemory

UNSEEN = (
    "", " ", "\u200b", "\u200e\u200f", "\u2066\u2069", "\u202e", "\ufeff", "\u00ad", "\u3164", "\uffa0", "\u115f", "\u2800",
    "\ufe0f", "\U000e0041", "\u034f", "\u180e", "\u2065", " \u200b\t\u2060 ", "\x1b\x07",
)  # fmt: skip
SEEN = ("a", "\u200ba", "❤️", "👩‍👩‍👧", "می\u200cخواهم", "ㅤ좋다", "ᄀ", "∅", "\u0301", "-", "\U0001faea", "０")
CALLS: dict[str, Callable[[ThreeLevelMemory, str], Any]] = {
    "add, user": lambda memory, name: memory.add("user", "x", user=name),
    "add, session": lambda memory, name: memory.add("user", "x", session=name),
    "add, role": lambda memory, name: memory.add(name, "x"),
    "add, id": lambda memory, name: memory.add("user", "x", id=name),
    "add_messages": lambda memory, name: memory.add_messages([{"role": name, "content": "x"}]),
    "pin, user": lambda memory, name: memory.pin("x", user=name),
    "pin, session": lambda memory, name: memory.pin("x", session=name),
    "pin": lambda memory, name: memory.pin(name),
    "set_fact, user": lambda memory, name: memory.set_fact("likes", "tea", user=name),
    "set_fact, session": lambda memory, name: memory.set_fact("likes", "tea", session=name),
    "set_fact, subject": lambda memory, name: memory.set_fact("likes", "tea", subject=name),
    "set_fact, relation": lambda memory, name: memory.set_fact(name, "tea"),
    "set_fact, value": lambda memory, name: memory.set_fact("likes", name),
    "correct": lambda memory, name: memory.correct(memory.facts()[0], name),
    "set_time_zone": lambda memory, name: memory.set_time_zone("Europe/Riga", user=name),
    "forget, user": lambda memory, name: memory.forget(user=name, everything=True),
    "forget, session": lambda memory, name: memory.forget(session=name, everything=True),
    "forget, id": lambda memory, name: memory.forget(name),
    "forget, words": lambda memory, name: memory.forget(containing=name),
    "context, user": lambda memory, name: memory.context("x", user=name),
    "context, session": lambda memory, name: memory.context("x", session=name),
    "search": lambda memory, name: memory.search("x", session=name),
    "export_jsonl": lambda memory, name: memory.export_jsonl("nowhere.jsonl", user=name),
    "export_markdown": lambda memory, name: memory.export_markdown("nowhere.md", session=name),
}


@pytest.mark.parametrize("text", UNSEEN, ids=ascii)
def test_a_text_of_which_nothing_can_be_seen_is_blank(text: str) -> None:
    assert is_blank(text)


@pytest.mark.parametrize("text", SEEN, ids=ascii)
def test_a_text_of_which_something_can_be_seen_is_not(make: MakeMemory, text: str) -> None:
    assert not is_blank(text)
    memory = make()
    memory.add(text, "x", user=text, session=text, id=text)
    assert [(one.role, one.id) for one in memory.messages(user=text, session=text)] == [(text, text)]


@pytest.mark.parametrize("call", CALLS)
def test_what_cannot_be_seen_names_nothing(tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with ThreeLevelMemory(SQLiteStore("memory.db", synchronous="OFF"), background=False) as memory:
        memory.set_fact("lives in", "Riga")
        for name in UNSEEN:
            with pytest.raises((ConfigError, DataError)):
                CALLS[call](memory, name)
        assert memory.stats(everyone=True).num_messages == 0
        assert [(info.user, info.session) for info in memory.sessions(everyone=True)] == [("default", "default")]
        assert (len(memory.facts()), memory.pins()) == (1, [])
    assert not list(tmp_path.glob("nowhere*"))


@pytest.mark.parametrize("field", ["user", "session", "role", "id"])
def test_a_row_that_is_named_so_is_bad_before_anything_is_added(make: MakeMemory, tmp_path: Path, field: str) -> None:
    good = {"user": "ann", "session": "a", "id": "m1", "role": "user", "content": "I live in Oslo."}
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in (good, {**good, field: "\u200b"})), encoding="utf-8")
    memory = make()
    with pytest.raises(DataError, match=f"line 2: {field}="):
        memory.import_file(file)
    assert memory.stats(everyone=True).num_messages == 0


def test_what_a_model_calls_by_no_name_is_no_fact() -> None:
    with pytest.raises(DataError, match="extract returned"):
        statement_of({"relation": "\u200b", "value": "tea"}, "user")
    with pytest.raises(DataError, match="extract returned"):
        statement_of({"relation": "likes", "value": "\u3164"}, "user")


def test_people_who_call_themselves_by_nothing_are_imported_by_another_name(make: MakeMemory, tmp_path: Path) -> None:
    """Many do, with U+3164, on Telegram, Discord, Slack and WhatsApp."""
    nobody, text = "\u3164", "I live in Oslo."
    telegram = {
        "id": 7, "name": "chat", "type": "personal_chat",
        "messages": [
            {"id": 1, "type": "message", "date": "2024-01-01T10:00:00", "from": nobody, "from_id": "user42", "text": text}
        ],
    }  # fmt: skip
    discord = {
        "guild": {}, "channel": {"id": "9"},
        "messages": [
            {"id": "1", "type": "Default", "timestamp": "2024-01-01T10:00:00Z", "content": text,
             "author": {"id": "43", "name": "anna", "nickname": nobody}}
        ],
    }  # fmt: skip
    (tmp_path / "telegram.json").write_text(json.dumps(telegram), encoding="utf-8")
    (tmp_path / "discord.json").write_text(json.dumps(discord), encoding="utf-8")
    (tmp_path / "whatsapp.txt").write_text(f"[01/02/2024, 10:00:00] {nobody}: {text}\n", encoding="utf-8")
    slack = tmp_path / "slack" / "general"
    slack.mkdir(parents=True)
    (slack.parent / "channels.json").write_text("[]", encoding="utf-8")
    (slack.parent / "users.json").write_text(
        json.dumps([{"id": "U1", "name": "bob", "profile": {"display_name": nobody}}]), encoding="utf-8"
    )
    (slack / "2024-01-01.json").write_text(
        json.dumps([{"type": "message", "user": "U1", "text": text, "ts": "1704103200.0001"}]), encoding="utf-8"
    )
    memory = make()
    for name in ("telegram.json", "discord.json", "whatsapp.txt", "slack"):
        assert memory.import_file(tmp_path / name).num_messages == 1, name
    roles = {one.role for info in memory.sessions() for one in memory.messages(session=info.session)}
    assert roles == {"user42", "anna", "unknown", "bob"}
