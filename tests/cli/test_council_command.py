"""`iai council`, and `iai chat` with a council: who answered and why, in a pipe, as JSON, and by what is typed."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import command_line
import pytest
import yaml

pytest.importorskip("re2")

from tests.council.tiny_councils import RULES, saved_expert

from interconnected_ai.cli.council_chat import CouncilTalk
from interconnected_ai.cli.output import Output
from interconnected_ai.config import CouncilConfig
from interconnected_ai.council import Council
from interconnected_ai.errors import DataError

SHORT = ("--max-new-tokens", "4", "--temperature", "0")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("hall")
    for seed, name in enumerate(["code", "general", "law"]):
        saved_expert(place / "experts" / name, seed)
    (place / "rules.yaml").write_text(RULES, encoding="utf-8")
    return place


@pytest.fixture
def council(home: Path, tmp_path: Path) -> Path:
    file = tmp_path / "council.yaml"
    assert (
        command_line.run_main("council", "init", str(home / "experts"), "--output", str(file), "--fallback", "general")
        == 0
    )
    settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    settings |= {"rules": str(home / "rules.yaml"), "semantic": False}
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return file


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    return command_line.run_json(capsys, *arguments, code=code)


def test_init_writes_the_experts_that_are_there(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    told = run_json(capsys, "council", "init", str(home / "experts"), "--output", str(file))
    assert list(told["experts"]) == ["code", "general", "law"]
    config = CouncilConfig.from_file(file)
    assert config.fallback == config.seed == "code"
    assert config.memory == "council.db"
    assert command_line.run_main("council", "init", str(home / "experts"), "--output", str(file)) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert command_line.run_main("council", "init", str(home / "experts"), "--output", str(file), "--overwrite") == 0
    assert "code answers everything" in capsys.readouterr().out


def test_a_place_without_experts_and_a_fallback_that_is_nobody_are_refused(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert command_line.run_main("council", "init", str(tmp_path / "empty"), "--output", str(tmp_path / "a.yaml")) == 2
    assert "holds no expert" in capsys.readouterr().err
    for nothing in (tmp_path / "nothing", "nothing/there"):
        assert command_line.run_main("council", "init", str(nothing), "--output", str(tmp_path / "a.yaml")) == 2
    assert not (tmp_path / "a.yaml").exists()
    assert (
        command_line.run_main(
            "council", "init", str(home / "experts"), "--output", str(tmp_path / "a.yaml"), "--fallback", "cod"
        )
        == 2
    )
    assert "'cod'" in capsys.readouterr().err
    assert not (tmp_path / "a.yaml").exists()


def test_route_says_who_and_why_and_loads_nobody(council: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = run_json(capsys, "council", "route", str(council), "a python traceback")
    assert told["expert"] == "code"
    assert "rule 'programs'" in told["reason"]


def test_chat_says_who_answered_and_remembers_it(council: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = run_json(capsys, "chat", str(council), "My cat is called Murka.", "What does python say?", *SHORT)
    assert [turn["experts"] for turn in told["turns"]] == [["general"], ["code"]]
    assert told["turns"][1]["recalled"]
    assert (council.parent / "council.db").exists()
    again = run_json(capsys, "chat", str(council), "What is my cat called?", *SHORT)
    assert again["turns"][0]["recalled"]
    stranger = run_json(capsys, "chat", str(council), "What is my cat called?", "--user", "guest", *SHORT)
    assert not stranger["turns"][0]["recalled"]


def test_in_a_pipe_the_answer_alone_stands_on_standard_output(
    council: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.run_main("chat", str(council), "hello there", *SHORT) == 0
    said = capsys.readouterr()
    assert "general" in said.err
    assert "general" not in said.out


def test_options_of_experts_are_refused_for_a_council(council: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.run_main("chat", str(council), "hello", "--engine", "torch") == 2
    assert "a council's config says it" in capsys.readouterr().err


def test_what_is_typed_is_obeyed(council: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Council.from_config(council) as opened:
        settings = {"max_new_tokens": 4, "temperature": 0.0}
        talk = CouncilTalk(opened, settings, None, Output(as_json=False), session="s", user="u", is_talk=False)
        with pytest.raises(DataError, match="nothing was answered"):
            talk.obey("/why")
        talk.say("I live in Riga. A python traceback!")
        for line in (
            "/why",
            "/experts",
            "/route суд и иск",
            "/memory",
            "/memory python",
            "/width 2",
            "/seed 3",
            "/help",
        ):
            assert talk.obey(line)
        shown = capsys.readouterr()
        assert "rule 'programs'" in shown.out
        assert "law: " in shown.out
        assert "Riga" in shown.out
        talk.say("hello")
        assert talk.answers[-1].experts == ("code", "general")
        capsys.readouterr()
        assert talk.obey("/why")
        told = capsys.readouterr().out
        assert all(f"{name} ({share:.0%})" in told for name, share in talk.answers[-1].weights.items())
        for line, reason in (("/width none", "whole number"), ("/width 0", "one expert"), ("/route", "needs a text")):
            with pytest.raises(DataError, match=reason):
                talk.obey(line)
        with pytest.raises(DataError, match="no command"):
            talk.obey("/nonsense")
        assert not talk.obey("/exit")


def test_lines_of_a_pipe_are_turns_and_commands(
    council: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [
        "Меня зовут Анна.", "/system Отвечай кратко.", "/route суд и иск", "/width 2", "Что говорит суд?", "/why",
        "/memory Анна", "/experts", f"/save {tmp_path / 'chat.jsonl'}", "//route is no command here", "/exit", "unheard",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(said).encode())))
    assert command_line.run_main("chat", str(council), "--lines", *SHORT) == 0
    shown = capsys.readouterr()
    assert "law: rule 'courts'" in shown.out
    assert "user: Меня зовут Анна." in shown.out
    assert "— law, general" in shown.err
    assert len((tmp_path / "chat.jsonl").read_text(encoding="utf-8").splitlines()) == 1
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(said[2:8]).encode())))
    told = run_json(capsys, "chat", str(council), "--lines", *SHORT)
    assert [turn["experts"] for turn in told["turns"]] == [["law", "general"]]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"hello\n/nonsense\nhello")))
    error = run_json(capsys, "chat", str(council), "--lines", *SHORT, code=2)["error"]
    assert "no command '/nonsense'" in error["message"]


def test_a_council_that_names_what_cannot_be_is_refused(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "council.yaml"
    file.write_text(json.dumps({"experts": {"a": {"place": "x"}}, "fallback": "b"}), encoding="utf-8")
    assert command_line.run_main("chat", str(file), "hello") == 2
    assert "fallback names 'b'" in capsys.readouterr().err
