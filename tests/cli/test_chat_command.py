"""`iai chat`: in a pipe, with messages, as JSON, and turn by turn on a terminal."""

import codecs
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import command_line
import pytest
import torch

from interconnected_ai import Expert, ExpertModel
from interconnected_ai.text import Tokenizer

SHORT = ("--max-new-tokens", "4", "--temperature", "0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("experts") / "talker"
    words = Tokenizer.train(["the sun is warm, солнце греет"] * 3, 320, roles=["system", "user", "assistant"])
    generator = torch.Generator().manual_seed(0)
    Expert(ExpertModel(words.vocab_size, 16, 1, 2, max_seq_len=96, generator=generator), words).save_pretrained(path)
    return path


def run(*arguments: str) -> int:
    return command_line.run_main("chat", *arguments)


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    return command_line.run_json(capsys, "chat", *arguments, code=code)


def pipe(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


class TestGiven:
    def test_standard_input_is_one_message_and_the_answer_alone_is_printed(
        self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pipe(monkeypatch, b"the sun\nis warm\n")
        assert run(str(folder), *SHORT, "-q") == 0
        said = capsys.readouterr()
        pipe(monkeypatch, b"the sun\nis warm\n")
        found = run_json(capsys, str(folder), *SHORT)
        assert found["messages"][0]["content"] == "the sun\nis warm"
        assert said.out.strip() == found["turns"][0]["text"]
        assert not said.err

    def test_lines_are_turns_and_later_ones_read_only_what_is_new(
        self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pipe(monkeypatch, b"the sun\n\nis it warm?\n")
        found = run_json(capsys, str(folder), "--lines", *SHORT)
        assert [one["role"] for one in found["messages"]] == ["user", "assistant"] * 2
        first, second = found["turns"]
        assert first["num_known_tokens"] == 0
        assert second["num_known_tokens"] >= first["num_prompt_tokens"]

    def test_lines_may_be_commands(
        self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pipe(monkeypatch, "/system коротко\n/seed 3\nсолнце\n//seed 4\n/reset\nthe sun\n/exit\nunheard\n".encode())
        found = run_json(capsys, str(folder), "--lines", *SHORT)
        assert [one["content"] for one in found["messages"] if one["role"] != "assistant"] == ["коротко", "the sun"]
        assert len(found["turns"]) == 3
        pipe(monkeypatch, b"/seed many\n")
        assert "/seed many" in run_json(capsys, str(folder), "--lines", code=2)["error"]["message"]

    def test_messages_are_turns_under_a_system_message(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        found = run_json(capsys, str(folder), "the", "sun", "--system", "warm", "--seed", "3", "--max-new-tokens", "4")
        assert [one["content"] for one in found["messages"]][:2] == ["warm", "the"]
        assert len(found["turns"]) == 2
        again = run_json(capsys, str(folder), "the", "sun", "--system", "warm", "--seed", "3", "--max-new-tokens", "4")
        assert found == again

    def test_a_full_window_is_told_or_refused(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        turns = ["the sun is warm"] * 12
        assert run(str(folder), *turns, *SHORT) == 0
        assert "the window is full" in capsys.readouterr().err
        error = run_json(capsys, str(folder), *turns, *SHORT, "--too-long", "refuse", code=2)["error"]
        assert error["kind"] == "PromptError"
        assert "window of 96" in error["message"]
        assert error["message"].endswith("--max-new-tokens, or let the oldest turns go: --too-long drop-oldest")

    def test_a_chat_is_saved_as_a_line_of_messages_and_not_over_another(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "chat.jsonl"
        assert run(str(folder), "the", *SHORT, "--save", str(file)) == 0
        (line,) = file.read_text(encoding="utf-8").splitlines()
        assert [one["role"] for one in json.loads(line)["messages"]] == ["user", "assistant"]
        capsys.readouterr()
        assert run(str(folder), "the", *SHORT, "--save", str(file)) == 2
        assert "--overwrite" in capsys.readouterr().err
        assert run(str(folder), "the", *SHORT, "--save", str(file), "--overwrite") == 0

    def test_what_cannot_be_is_refused(
        self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pipe(monkeypatch, b"\xff\xfe")
        assert "not UTF-8" in run_json(capsys, str(folder), code=2)["error"]["message"]
        pipe(monkeypatch, b" \n")
        assert "no text" in run_json(capsys, str(folder), code=2)["error"]["message"]
        assert "shut each other out" in run_json(capsys, str(folder), "a", "--lines", code=2)["error"]["message"]
        assert "temperature" in run_json(capsys, str(folder), "a", "--temperature", "-1", code=2)["error"]["message"]

    def test_an_interrupt_ends_a_chat_that_nobody_sits_at(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = click.echo

        def interrupted(*words: Any, **settings: Any) -> None:
            monkeypatch.setattr(click, "echo", real)
            signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(click, "echo", interrupted)  # while the first answer is shown
        file = tmp_path / "chat.jsonl"
        found = run_json(capsys, str(folder), "the", "sun", *SHORT, "--save", str(file), code=130)
        assert found["error"]
        assert not file.exists()


class Terminal:
    """`iai chat` on a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        code = "import sys; from interconnected_ai.cli import main; main(sys.argv[1:])"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, "chat", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={**os.environ, "TERM": "dumb", "OMP_NUM_THREADS": "1"},
        )
        os.close(theirs)
        self._read = codecs.getincrementaldecoder("utf-8")("replace")  # a character may come in two readings
        self.shown = ""

    def wait_for(self, pattern: str, seconds: float = 240) -> str:
        """What was shown up to the pattern, once it is there."""
        until = time.monotonic() + seconds
        while not (found := re.search(pattern, self.shown)):
            assert time.monotonic() < until, f"{pattern!r} did not come; shown: {self.shown!r}"
            if select.select([self._ours], [], [], 1)[0]:
                try:
                    self.shown += self._read.decode(os.read(self._ours, 4096))
                except OSError:  # the other side is closed
                    assert re.search(pattern, self.shown), self.shown
        before, self.shown = self.shown[: found.end()], self.shown[found.end() :]
        return before

    def say(self, text: str) -> None:
        os.write(self._ours, f"{text}\n".encode())

    def press(self, key: str) -> None:
        os.write(self._ours, key.encode())

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def interrupt_at_prompt(self) -> None:
        """Until a new prompt comes: readline waits on, where a signal reaches it just before it begins to wait."""
        for _ in range(240):
            self.interrupt()
            if select.select([self._ours], [], [], 1)[0]:
                break
        self.wait_for("> ")

    def end(self) -> int:
        try:
            return self._process.wait(120)
        finally:
            self._process.kill()
            self._process.wait()
            os.close(self._ours)


class TestTalk:
    def test_turn_by_turn_with_commands_until_the_end_of_input(self, folder: Path, tmp_path: Path) -> None:
        file = tmp_path / "saved.jsonl"
        terminal = Terminal(str(folder), *SHORT)
        terminal.wait_for("/help lists")
        terminal.wait_for("> ")
        for command, answer in [
            ("/help", r"/save FILE"),
            ("/nonsense", r"no command '/nonsense'; known: /help, /system"),
            ("/seed x", r"needed is a whole number"),
            ("/seed 3", r""),
            ("/system the sun", r""),
            ("warm?", r""),
            ("//warm", r""),
            ("one \\", r"… "),
            ("two", r""),
            (f"/save {file}", r""),
            (f"/save {file}", r"--overwrite"),
            (f"/save {file} --overwrite", r""),
            ("/reset", r""),
            ("/save", r"needs a file"),
            ("/save two words.jsonl", r"a name with spaces in quotes"),
            ("/save it's.jsonl", r"No closing quotation; put the whole name in quotes"),
            (f"/save '{tmp_path / 'two words.jsonl'}'", r"the chat is in "),
        ]:
            terminal.say(command)
            terminal.wait_for(answer)
            if not command.endswith("\\"):
                terminal.wait_for(r"(?m)^> $|\n> ")
        terminal.press("\x04")
        assert terminal.end() == 0
        messages = json.loads(file.read_text(encoding="utf-8"))["messages"]
        assert (tmp_path / "two words.jsonl").exists()
        assert not Path("words.jsonl").exists()
        assert [one["content"] for one in messages if one["role"] != "assistant"] == [
            "the sun",
            "warm?",
            "/warm",
            "one \ntwo",
        ]

    def test_an_interrupt_stops_an_answer_and_keeps_the_chat(self, folder: Path, tmp_path: Path) -> None:
        file = tmp_path / "saved.jsonl"
        terminal = Terminal(
            str(folder), "--max-new-tokens", "90", "--window", "slide", "--seed", "1", "--save", str(file)
        )
        terminal.wait_for("> ")
        terminal.say("the sun")
        terminal.wait_for(r"the sun\r?\n.")
        terminal.interrupt()
        terminal.wait_for(r"> ")
        terminal.interrupt_at_prompt()
        terminal.say("/exit")
        assert terminal.end() == 0
        assert [one["role"] for one in json.loads(file.read_text(encoding="utf-8"))["messages"]] == [
            "user",
            "assistant",
        ]
