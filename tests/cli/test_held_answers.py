"""`iai generate` and `iai chat` with a form, on the embedded base and its own engine: no further option is needed."""

import json
import re
from pathlib import Path

import command_line
import jsonschema
import pytest

from interconnected_ai.errors import MissingExtraError
from interconnected_ai.experts.bases import embedded_base

pytest.importorskip("xllamacpp")
pytest.importorskip("llguidance")

FRUIT = {
    "type": "object",
    "properties": {
        "fruit": {"type": "string", "maxLength": 12},
        "grams": {"type": "integer", "minimum": 1, "maximum": 999},
    },
    "required": ["fruit", "grams"],
    "additionalProperties": False,
}
GREEDY = ("--temperature", "0")


@pytest.fixture(scope="module", autouse=True)
def base() -> None:
    try:
        embedded_base()
    except MissingExtraError as error:
        pytest.skip(str(error))


def answered(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    """The engine and the text of one answer."""
    found = command_line.run_json(capsys, "generate", "smollm2", *arguments, *GREEDY)
    (answer,) = found["answers"]
    assert answer["satisfied"] is True
    assert answer["ended"] == "eos"
    return found["engine"], answer["text"]


def test_choices(capsys: pytest.CaptureFixture[str]) -> None:
    asked = "Question: Is ice cold? Answer with yes or no.\nAnswer: "
    assert answered(capsys, asked, "--choice", "yes", "--choice", "no") in (("llamacpp", "yes"), ("llamacpp", "no"))


def test_an_expression(capsys: pytest.CaptureFixture[str]) -> None:
    _, text = answered(capsys, "The company was founded in ", "--regex", "(19|20)[0-9]{2}")
    assert re.fullmatch("(19|20)[0-9]{2}", text)


def test_a_schema_in_a_chat_and_out_of_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema = tmp_path / "fruit.json"
    schema.write_text(json.dumps(FRUIT), encoding="utf-8")
    given = ("--json-schema", str(schema), "--max-new-tokens", "80")
    _, text = answered(capsys, "A fruit and its weight as JSON: ", *given)
    jsonschema.validate(json.loads(text), FRUIT)
    asked = ("Name a fruit and its weight.", "Another one.")
    found = command_line.run_json(capsys, "chat", "smollm2", *asked, *given, *GREEDY)
    first, second = found["turns"]
    for turn in (first, second):
        jsonschema.validate(json.loads(turn["text"]), FRUIT)
    assert first["num_known_tokens"] < first["num_prompt_tokens"] <= second["num_known_tokens"]
