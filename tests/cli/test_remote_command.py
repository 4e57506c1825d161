"""A server as an expert on the command line: what it answers, and what cannot be done with it."""

import json
from collections.abc import Iterator
from pathlib import Path

import command_line
import pytest
from tests.experts.remote_servers import Server, failing, said, serving

KEY = "sk-a-key-that-nobody-may-see"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Server, str]]:
    with serving(said("Hel", "lo"), said('{"a": 1}'), languages=["en"], licence="MIT") as (server, expert):
        expert.server.save(tmp_path / "experts" / "far")
        yield server, str(tmp_path / "experts" / "far")


def test_it_answers_and_streams(served: tuple[Server, str], capsys: pytest.CaptureFixture[str]) -> None:
    server, place = served
    assert command_line.run_main("generate", place, "Say hello", "--stream", "--max-new-tokens", "5") == 0
    assert capsys.readouterr().out == "Hello\n"
    found = command_line.run_json(capsys, "generate", place, "x", "--seed", "3")
    assert [answer["text"] for answer in found["answers"]] == ['{"a": 1}']
    assert (server.asked[0].body["max_tokens"], server.asked[1].body["seed"]) == (5, 3)


def test_one_can_talk_with_it(served: tuple[Server, str], capsys: pytest.CaptureFixture[str]) -> None:
    server, place = served
    found = command_line.run_json(capsys, "chat", place, "Hi", "And?", "--system", "Be short.")
    assert [message["content"] for message in found["messages"]] == ["Be short.", "Hi", "Hello", "And?", '{"a": 1}']
    assert [message["content"] for message in server.asked[1].body["messages"]] == ["Be short.", "Hi", "Hello", "And?"]


def test_an_answer_that_is_not_what_was_asked_is_told(
    served: tuple[Server, str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "schema.json").write_text(json.dumps({"type": "object", "required": ["a"]}))
    asked = ("generate", served[1], "x", "--json-schema", str(tmp_path / "schema.json"))
    assert command_line.run_main(*asked) == 0
    assert "1 of 1 answers not as --json-schema asks\n" in capsys.readouterr().err
    assert command_line.run_main(*asked) == 0
    assert not capsys.readouterr().err


def test_it_stands_in_the_list(served: tuple[Server, str], capsys: pytest.CaptureFixture[str]) -> None:
    server, place = served
    assert command_line.run_main("expert", "list", str(Path(place).parent)) == 0
    printed = capsys.readouterr().out
    assert "far" in printed
    assert "remote" in printed
    assert server.asked == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["expert", "evaluate", "{}", "--text", "{}"], "evaluate the model's own files"),
        (["expert", "quantize", "{}", "--to", "int8", "--out", "{}-8"], "quantise the model's own files"),
        (["expert", "export", "{}", "--to", "gguf", "--out", "{}.gguf"], "export the model's own files"),
        (["generate", "{}", "x", "--top-k", "3"], "a remote server has no top_k=3"),
        (["generate", "{}", "x", "--engine", "torch"], "a remote expert is computed by its server"),
    ],
    ids=lambda value: value[1] if isinstance(value, list) else "",
)
def test_what_cannot_be_done_with_it_is_said(
    served: tuple[Server, str], capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    server, place = served
    found = command_line.run_json(capsys, *(argument.format(place) for argument in arguments), code=2)
    assert said in found["error"]["message"]
    assert server.asked == []


def test_a_failure_is_one_line_without_the_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAR_KEY", KEY)
    refusal = failing("401 Unauthorized", json.dumps({"error": {"message": f"Incorrect key: {KEY}"}}).encode())
    with serving(refusal, api_key_env="FAR_KEY") as (_, expert):
        expert.server.save(tmp_path)
        assert command_line.run_main("generate", str(tmp_path), "x") == 2
    printed = capsys.readouterr()
    assert "answered 401 Unauthorized: Incorrect key: …; look at the key in FAR_KEY" in printed.err
    assert KEY not in printed.err + printed.out
    assert len(printed.err.strip().splitlines()) == 1
