"""The command line before any work: help for every verb, and mistakes that name the remedy."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from interconnected_ai import __version__
from interconnected_ai.cli import VERBS, iai, main


def verbs(group: click.Group = iai, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every verb and every verb of a verb."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*before, name)
        if isinstance(command, click.Group):
            yield from verbs(command, (*before, name))


EVERY_VERB = list(verbs())


def leave_code(*arguments: str) -> int:
    """The exit code of `iai` with these arguments."""
    try:
        main(list(arguments))
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    return 0


def test_help_lists_every_verb_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave_code("--help") == 0
    shown = capsys.readouterr()
    words = " ".join(shown.out.split())
    for verb, line in VERBS.items():
        assert f" {verb} {line}" in words
    assert shown.err == ""


@pytest.mark.parametrize("verb", EVERY_VERB, ids=" ".join)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_verb_has_help(capsys: pytest.CaptureFixture[str], verb: tuple[str, ...], flag: str) -> None:
    assert leave_code(*verb, flag) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: iai {' '.join(verb)}")
    assert len(shown.splitlines()) > 3


@pytest.mark.parametrize("verb", EVERY_VERB, ids=" ".join)
def test_every_verb_that_works_takes_json(verb: tuple[str, ...]) -> None:
    command: click.Command = iai
    for name in verb:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    if not isinstance(command, click.Group):
        assert any("--json" in parameter.opts for parameter in command.params)
        assert command.help


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave_code("--version") == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["branch", "add", "--help"], ["bench", "--help"]]
)
def test_help_answers_without_torch(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom interconnected_ai.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as leave:\n    assert not leave.code\n"
        "assert not {'torch', 'transformers', 'sklearn'} & set(sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-W", "error", "-c", program, *arguments]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage:")


@pytest.mark.parametrize(("typed", "meant"), [("trian", "train"), ("predcit", "predict"), ("benhc", "bench")])
def test_an_unknown_verb_names_the_nearest(capsys: pytest.CaptureFixture[str], typed: str, meant: str) -> None:
    assert leave_code(typed) == 2
    shown = capsys.readouterr()
    assert f"no command '{typed}'; known, nearest first: {meant}," in shown.err
    assert shown.out == ""


@pytest.mark.parametrize(("group", "typed", "meant"), [("branch", "lits", "list"), ("bench", "moee", "moe")])
def test_an_unknown_verb_of_a_verb_names_the_nearest(
    capsys: pytest.CaptureFixture[str], group: str, typed: str, meant: str
) -> None:
    assert leave_code(group, typed) == 2
    message = capsys.readouterr().err
    assert typed in message
    assert meant in message.replace(typed, "")


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (["trian"], "UsageError", "nearest first: train"),
        (["train"], "UsageError", "CONFIG"),
        (["train", "absent.yaml"], "ConfigError", "no config at"),
        (["train", "absent.yaml", "--resume", "--overwrte"], "UsageError", "--overwr"),
        (["predict", "absent", "a text"], "NotAModelError", "no folder at"),
        (["evaluate", "absent"], "NotAModelError", "no folder at"),
        (["compare", "absent", "absent"], "NotAModelError", "no folder at"),
        (["branch", "list", "absent"], "NotAModelError", "no folder at"),
        (["branch", "add", "absent", "../x", "--data", "rows.csv"], "ConfigError", "no safe file name"),
        (["branch", "add", "absent", "x"], "UsageError", "--data"),
    ],
)
def test_an_error_is_one_sentence_and_with_json_one_object_on_stdout(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    kind: str,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert leave_code(*arguments) == 2
    plain = capsys.readouterr()
    assert plain.out == ""
    assert words in plain.err
    assert "Traceback" not in plain.err

    assert leave_code(*arguments, "--json") == 2
    with_json = capsys.readouterr()
    assert with_json.out.count("\n") == 1
    error = json.loads(with_json.out)["error"]
    assert error["kind"] == kind
    assert words in error["message"]
    assert words in with_json.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", [0, 1, 3])
def test_a_verb_that_leaves_with_a_code_makes_it_the_exit_code(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    @click.command("judge")
    def judge() -> None:
        raise click.exceptions.Exit(code)

    room = ModuleType("interconnected_ai.cli.judge")
    room.command = judge  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, room.__name__, room)
    monkeypatch.setitem(VERBS, "judge", "Leaves with a code, as `iai branch verify` does.")
    assert leave_code("judge") == code


def test_stopping_is_told_and_has_its_own_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command("wait")
    def wait() -> None:
        raise KeyboardInterrupt

    room = ModuleType("interconnected_ai.cli.wait")
    room.command = wait  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, room.__name__, room)
    monkeypatch.setitem(VERBS, "wait", "Waits until somebody stops it.")
    assert leave_code("wait") == 130
    assert "iai: stopped" in capsys.readouterr().err
