"""With --json stdout has one JSON object, whatever ends a command: Ctrl-C at any moment, a question nobody answers, a no."""

import io
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import COMMANDS, run_main

from conftest import make_system
from interconnected_ai.cli import output as outputs
from interconnected_ai.cli.failures import Answer, undisturbed
from interconnected_ai.storage import sha256_of

CONFIRMING = [verb for verb, command in COMMANDS.items() if any("--yes" in p.opts for p in command.params)]


def called(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any], str]:
    """(exit code, the one object on stdout, stderr) of `iai WORDS --json`."""
    capsys.readouterr()
    code = run_main(*words, "--json")
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert len(lines) == 1, shown.out
    found: dict[str, Any] = json.loads(lines[0])
    return code, found, shown.err


def interrupted(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_verb_that_is_interrupted_prints_one_object(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert any("--json" in parameter.opts for parameter in COMMANDS[verb].params)
    monkeypatch.setattr(COMMANDS[verb], "make_context", interrupted)  # while its arguments are read
    code, found, err = called(capsys, *verb.split())
    assert (code, found["error"]["kind"]) == (130, "Interrupted")
    assert found["error"]["message"] == "stopped; what was written is whole"
    assert "Traceback" not in err


def test_a_ctrl_c_after_the_result_adds_no_second_object(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = outputs.Output.result

    def and_ctrl_c(output: outputs.Output, content: dict[str, Any]) -> None:
        result(output, content)
        raise KeyboardInterrupt

    monkeypatch.setattr(outputs.Output, "result", and_ctrl_c)
    code, found, _ = called(capsys, "plan", "explain", "top_k")
    assert code == 130
    assert "error" not in found


def test_a_ctrl_c_while_an_object_is_printed_cuts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    before, answer = signal.getsignal(signal.SIGINT), Answer()
    with undisturbed():
        signal.raise_signal(signal.SIGINT)
        answer.print({"a": 1})
        answer.print({"b": 2})
    assert capsys.readouterr().out == '{"a": 1}\n'
    assert signal.getsignal(signal.SIGINT) is before


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A memory and a run with two branches, for the verbs that ask."""
    pytest.importorskip("Stemmer", reason='needs the extra "memory"')
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IAI_MEMORY", raising=False)
    Path("chat.jsonl").write_text('{"role": "user", "content": "hello", "id": "m1"}\n')
    assert run_main("memory", "import", "chat.jsonl", "--store", "memory.db") == 0
    system = make_system("one", "two")
    system.freeze_trunk()
    system.seal_branches({name: {"trained": "joint", "num_rows": 1} for name in system.branch_names})
    system.save_pretrained(tmp_path / "run" / "model", include_encoder=True)
    return tmp_path


ASKS = {"memory forget": ["memory.db", "m1"], "branch remove": ["run", "one"]}


def left() -> dict[Path, str]:
    return {path: sha256_of(path) for path in sorted(Path().rglob("*")) if path.is_file()}


class Typing(io.StringIO):
    """A terminal on which this was typed; None is Ctrl-C."""

    def __init__(self, typed: str | None) -> None:
        super().__init__(typed or "")
        self._is_ctrl_c = typed is None

    def isatty(self) -> bool:
        return True

    def readline(self, *_: Any) -> str:
        if self._is_ctrl_c:
            raise KeyboardInterrupt
        return super().readline()


def test_the_verbs_that_ask_are_known_here() -> None:
    assert set(CONFIRMING) == set(ASKS)


@pytest.mark.parametrize("verb", CONFIRMING)
def test_what_is_not_confirmed_prints_one_object_and_changes_nothing(
    verb: str, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words, before = [*verb.split(), *ASKS[verb]], left()
    code, found, _ = called(capsys, *words)  # standard input is no terminal
    assert (code, found["error"]["kind"]) == (2, "UsageError")
    assert "add --yes" in found["error"]["message"]
    monkeypatch.setattr("sys.stdin", None)  # as under pythonw, or closed
    assert called(capsys, *words)[0] == 2
    for typed, kind in (("n\n", "Declined"), ("\n", "Declined"), (None, "Interrupted"), ("", "Interrupted")):
        monkeypatch.setattr("sys.stdin", Typing(typed))
        code, found, _ = called(capsys, *words)
        assert (code, found["error"]["kind"]) == (130, kind)
        assert "--resume" not in found["error"]["message"]
    assert left() == before
    monkeypatch.setattr("sys.stdin", Typing("Yes\n"))
    code, found, _ = called(capsys, *words)
    assert code == 0
    assert "error" not in found


@pytest.mark.parametrize(
    ("typed", "code", "kind"),
    [(b"n\n", 130, "Declined"), (b"\x04", 130, "Interrupted"), (b"\x03", 130, "Interrupted"), (b"y\n", 0, None)],
)
def test_a_question_on_a_real_terminal_is_asked_on_stderr(
    here: Path, typed: bytes, code: int, kind: str | None
) -> None:
    terminal, end = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-m", "interconnected_ai.cli", "memory", "forget", "memory.db", "m1", "--json"],
        stdin=end, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
        preexec_fn=lambda: _take_terminal(end),
    ) as process:  # fmt: skip
        os.close(end)
        assert process.stderr is not None
        asked = b""
        while not asked.endswith(b"[y/N]: "):
            piece = process.stderr.read(1)
            assert piece, asked
            asked += piece
        os.write(terminal, typed)
        out, _ = process.communicate()
        os.close(terminal)
    assert asked.decode() == "Forget 1 message of 1 session in memory.db for good? [y/N]: "
    found = json.loads(out)
    assert process.returncode == code
    assert found.get("error", {}).get("kind") == kind


def _take_terminal(end: int) -> None:
    """Make it the process's own, so that Ctrl-C typed there becomes a signal."""
    os.setsid()
    os.close(os.open(os.ttyname(end), os.O_RDWR))
