"""`iai memory`: in, search, context, facts, forget, out; tables for people, one JSON object for programs."""

import json
from pathlib import Path
from typing import Any

import pytest

from interconnected_ai.cli import main

pytest.importorskip("Stemmer", reason='needs the extra "memory"')
pytest.importorskip("pymorphy3", reason='needs the extra "memory"')

CHAT = [
    {"role": "user", "content": "Меня зовут Иван. Я живу в Москве.", "id": "m1", "time": "2026-03-01T10:00:00+00:00"},
    {"role": "assistant", "content": "Приятно познакомиться, Иван!", "id": "m2"},
    {"role": "user", "content": "Я переехал в Казань.", "id": "m3"},
    {"role": "user", "content": "My sister studies volcanoes.", "id": "m4"},
]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of `iai memory …`."""
    try:
        main(["memory", *arguments])
        code = 0
    except SystemExit as leave:
        code = int(leave.code or 0)
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def result(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    code, out, err = run(capsys, *arguments, "--json")
    assert code == 0, err
    assert out.count("\n") == 1
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.chdir(tmp_path)
    Path("chat.jsonl").write_text("\n".join(json.dumps(row) for row in CHAT))
    code, out, _ = run(capsys, "import", "chat.jsonl")
    assert code == 0
    assert "Added 4 messages" in out
    assert "Work left for later: 0" in out
    return "memory.db"


def test_what_was_imported_is_found_and_given_to_a_model(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert result(capsys, "search", store, "сестра volcano")["found"][0]["id"] == "m4"
    context = result(capsys, "context", store, "где живёт Иван?", "--budget", "200")
    assert context["num_tokens"] <= 200
    assert set(context["source_ids"]) == {"m1", "m2", "m3", "m4"}
    stats = result(capsys, "stats", store)
    assert (stats["num_messages"], stats["levels"]["current"]["num_messages"]) == (4, 4)
    assert stats["sessions"][0]["session"] == "default"
    facts = result(capsys, "facts", store, "--superseded")["facts"]
    assert {(f["relation"], f["value"]) for f in facts} == {
        ("name", "Иван"),
        ("lives in", "Москве"),
        ("lives in", "Казань"),
    }


def test_people_get_tables(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        (("search", store, "volcano"), "My sister studies volcanoes."),
        (("stats", store), "4 messages"),
        (("facts", store), "Казань"),
        (("context", store, "Казань"), "messages in full"),
    ):
        code, out, _ = run(capsys, *arguments)
        assert code == 0
        assert words in out


def test_forgetting_asks_first_and_needs_something_named(
    store: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(capsys, "forget", store)[0] == 2
    monkeypatch.setattr("click.confirm", lambda *args, **kwargs: (_ for _ in ()).throw(KeyboardInterrupt))
    assert run(capsys, "forget", store, "--containing", "казань")[0] == 130
    assert result(capsys, "stats", store)["num_messages"] == 4
    assert result(capsys, "forget", store, "--containing", "казань", "--yes")["num_messages"] == 1
    assert [f["value"] for f in result(capsys, "facts", store)["facts"]] == ["Иван", "Москве"]
    assert "Казань".encode() not in Path(store).read_bytes()


def test_export_import_and_rebuild(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert result(capsys, "export", store, "out.jsonl")["num_messages"] == 4
    assert result(capsys, "import", "out.jsonl", "--store", "copy.db")["num_messages"] == 4
    assert result(capsys, "import", "out.jsonl", "--store", "copy.db")["num_present"] == 4
    assert result(capsys, "rebuild", "copy.db") == {"num_messages": 4, "num_jobs": 0}
    assert result(capsys, "search", "copy.db", "volcano")["found"][0]["id"] == "m4"


def test_a_mistyped_store_is_told_and_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, "search", "memry.db", "x")
    assert code == 2
    assert "no memory at memry.db" in err
    assert list(tmp_path.iterdir()) == []


def test_the_store_may_come_from_the_environment(
    store: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IAI_MEMORY", store)
    assert result(capsys, "stats")["num_messages"] == 4
