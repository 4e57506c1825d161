"""What errors become on the command line: kind, words, exit code; tracebacks only where they are asked for."""

import errno
import json
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest
import torch
from command_line import run_main

from interconnected_ai.cli import VERBS
from interconnected_ai.cli.failures import failure_of, json_text
from interconnected_ai.errors import ConfigError


def add_verb(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """A verb `fails` that raises this."""

    @click.command("fails")
    @click.option("--json", is_flag=True)
    def fails(json: bool) -> None:
        raise error

    room = ModuleType("interconnected_ai.cli.fails")
    room.command = fails  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, room.__name__, room)
    monkeypatch.setitem(VERBS, "fails", "Fails.")


@pytest.mark.parametrize(
    ("error", "kind", "code", "words"),
    [
        (ConfigError("d_ff=0: needs 1 or more"), "ConfigError", 2, "d_ff=0: needs 1 or more"),
        (click.UsageError("no such thing"), "UsageError", 2, "no such thing"),
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), "OSError", 2, "/data/x: No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), "OSError", 2, "x: Permission denied"),
        (MemoryError(), "MemoryError", 2, "ask for smaller sizes"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"), "MemoryError", 2, "Tried to allocate 9 GiB"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "MemoryError", 2, "smaller sizes"),
        (KeyboardInterrupt(), "Interrupted", 130, "what was written is whole"),
        (KeyError("experts"), "InternalError", 70, "internal error: KeyError: 'experts' (test_failures.py, line"),
        (RuntimeError("shapes differ"), "InternalError", 70, "please report it"),
        (OSError("no number"), "InternalError", 70, "OSError: no number"),
    ],
)  # fmt: skip
def test_an_error_becomes_one_message_and_a_code(
    error: BaseException,
    kind: str,
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("IAI_DEBUG", raising=False)
    add_verb(monkeypatch, error)
    assert run_main("fails", "--json") == code
    shown = capsys.readouterr()
    told = json.loads(shown.out)["error"]
    assert told["kind"] == kind
    assert words in told["message"]
    assert words in shown.err
    assert "Traceback" not in shown.err


def test_the_traceback_is_shown_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add_verb(monkeypatch, KeyError("experts"))
    monkeypatch.setenv("IAI_DEBUG", "1")
    assert run_main("fails") == 70
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "IAI_DEBUG=1 shows" not in shown


def test_a_memory_that_can_never_suffice_is_told_as_such() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55)
    assert failure_of(caught.value).kind == "MemoryError"
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**62, 8)
    assert failure_of(caught.value).kind == "MemoryError"


def test_json_holds_what_every_reader_takes() -> None:
    text = json_text({"loss": float("nan"), "rates": [1.0, float("-inf")], "name": "\udcff привет"})
    assert json.loads(text) == {"loss": None, "rates": [1.0, None], "name": "\udcff привет"}
    text.encode("utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan", "system", "--memory-gb", "nan"], "no finite number"),
        (["plan", "system", "--budget=-inf"], "no finite number"),
        (["plan", "system", "--rows", "9" * 40], "beyond what 64 bits hold"),
        (["plan", "explain", "\udcff"], "is not UTF-8"),
        (["plan", "surgery", "--config", f"{__file__}/x"], "which is a file"),
        (["plan", "surgery", "--config", "/dev/null/x"], "which is a file"),
        (["plan", "surgery", "--config", "x" * 256], "at most 255"),
        (["plan", "surgery", "--config", "x/" * 3000], "longer than the 4095"),
    ],
)
def test_what_no_command_can_use_is_refused_before_it_begins(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(*arguments, "--json") == 2
    told = json.loads(capsys.readouterr().out)["error"]
    assert told["kind"] == "UsageError"
    assert words in told["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", ""],
        ["branch", "add", "", "name", "--data", "rows.csv"],
        ["branch", "add", "run", "name", "--data="],
        ["expert", "list", ""],
        ["memory", "export", "memory.db", ""],
        ["report", "run", "--output", ""],
        ["plan", "surgery", "--config", ""],
    ],
)
def test_an_empty_path_is_not_the_current_folder(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(*arguments, "--json") == 2
    assert "the path is empty" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_a_tilde_that_the_shell_left_is_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    assert run_main("plan", "system", "--branches", "2", "--write=~/planned.yaml") == 0
    assert (tmp_path / "home" / "planned.yaml").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    (tmp_path / "home" / "chat.jsonl").write_text('{"role": "user", "content": "I live in Riga"}', encoding="utf-8")
    pytest.importorskip("Stemmer", reason='needs the extra "memory"')
    assert run_main("memory", "import", "~/chat.jsonl", "--store", "~/memory.db") == 0
    assert run_main("memory", "stats", "~/memory.db") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
