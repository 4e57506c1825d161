"""What a client is told of its mistakes is in its own words: fields of the request, never what Python's calls name them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")
pytest.importorskip("llguidance", reason='needs the extra "constrained"')

from tests.serving.halls import Waiting, asked, call, council_server, waiting_server
from tests.serving.own_halls import csv_of, own_server, upload

from interconnected_ai.errors import Blame, EngineError, QueueFullError
from interconnected_ai.planner import PlanRequest, known_encoders
from interconnected_ai.serving import Hall, create_app
from interconnected_ai.serving.faults import Refusal, fault_of
from interconnected_ai.serving.fields import in_fields

CHAT, WRITE, RESPOND, MESSAGES = "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"
MEMORY, PLAN = "/v1/memory", "/v1/plan"
LONG = "word " * 190  # fits the window of the tiny experts, without much of an answer

_SNAKE = re.compile(r"(?<![\w/.-])[a-z][a-z0-9]*(?:_[a-z0-9]+)+")
_ARGUMENT = re.compile(r"\b([a-z_]+)=(?!=)")
_CLASS = re.compile(r"\b[A-Z][a-z]+[A-Z]\w*")
_PYTHON = (
    re.compile(r"(?<!\w)--[a-z]"),  # an option of the command line
    re.compile(r"\b[a-z_]+\(\w*\)"),  # a call
    re.compile(r"\b(?:True|False|None)\b"),
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Hall]]:
    with own_server(tmp_path_factory.mktemp("words"), max_new_tokens=500, max_prompt_tokens=2000) as found:
        yield found


@pytest.fixture(scope="module")
def words(served: tuple[str, Hall]) -> frozenset[str]:
    """Every name that the description of the API has: fields, parameters, values; keys and encoders of plans."""
    found = {part for encoder in known_encoders() for part in re.split(r"\W", encoder.name)}

    def walk(part: Any) -> None:
        if isinstance(part, dict):
            found.update(key for key in part if isinstance(key, str))
            for value in part.values():
                walk(value)
        elif isinstance(part, list):
            for value in part:
                walk(value)
        elif isinstance(part, str):
            found.add(part)

    walk(create_app(served[1]).openapi())
    walk(PlanRequest.model_json_schema())
    return frozenset(found)


def foreign(message: str, known: frozenset[str]) -> list[str]:
    """What a message says that no client knows."""
    named = (pattern.findall(message) for pattern in (_SNAKE, _ARGUMENT, _CLASS))
    unknown = [word for found in named for word in found if word not in known]
    return unknown + [hit for pattern in _PYTHON for hit in pattern.findall(message)]


def responded(**more: Any) -> dict[str, Any]:
    return {"model": "code", "input": "a traceback", "max_output_tokens": 8, "temperature": 0, **more}


def messaged(**more: Any) -> dict[str, Any]:
    return {"model": "code", "messages": [{"role": "user", "content": "a traceback"}], "max_tokens": 8, **more}


def written(**more: Any) -> dict[str, Any]:
    return {"model": "code", "prompt": "a traceback", "max_tokens": 8, **more}


def formed(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}


def tool(parameters: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "parameters": parameters}}


_NONSENSE: dict[str, Any] = {"type": "banana"}
_NEVER = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}
_DEEP: dict[str, Any] = {"type": "object"}
for _ in range(80):
    _DEEP = {"type": "array", "items": _DEEP}

WRONG: dict[str, tuple[str, Any, str | None]] = {
    "a window that is too small": (CHAT, asked(LONG, max_tokens=400), "messages"),
    "a window that is too small, by the newer name": (
        CHAT, {**asked(LONG), "max_tokens": None, "max_completion_tokens": 400}, "messages",
    ),
    "a window that is too small, streamed": (CHAT, asked(LONG, max_tokens=400, stream=True), "messages"),
    "a turn that is too long for the council": (CHAT, asked(LONG * 4, model="council", max_tokens=400), "messages"),
    "a weight on a token that is not there": (CHAT, asked(logit_bias={"999999": 1}), "logit_bias"),
    "too heavy a weight": (CHAT, asked(logit_bias={"5": 101}), "logit_bias"),
    "too heavy a weight for the council": (CHAT, asked(model="council", logit_bias={"5": 101}), "logit_bias"),
    "an empty stop string": (CHAT, asked(stop=["a", ""]), "stop.1"),
    "a schema of nonsense": (CHAT, asked(response_format=formed(_NONSENSE)), "response_format"),
    "a schema of nonsense for the council": (
        CHAT, asked(model="council", response_format=formed(_NONSENSE)), "response_format",
    ),
    "a schema that nothing meets": (CHAT, asked(response_format=formed(_NEVER)), "response_format"),
    "a schema that is too deep": (CHAT, asked(response_format=formed(_DEEP)), "response_format"),
    "two forms": (CHAT, asked(regex="a", response_format={"type": "json_object"}), "regex"),
    "an expression that is none": (CHAT, asked(regex="("), "regex"),
    "an expression that is empty": (CHAT, asked(regex=""), "regex"),
    "an expression without an end": (CHAT, asked(regex="a" * 300_000), "regex"),
    "parameters of nonsense": (CHAT, asked(tools=[tool(_NONSENSE)], tool_choice="required"), "tools"),
    "a text that is too long": (WRITE, written(prompt=LONG, max_tokens=400), "prompt"),
    "a token that is not there": (WRITE, written(prompt=[999_999]), None),
    "a text's weight on a token that is not there": (WRITE, written(logit_bias={"999999": 1}), "logit_bias"),
    "a response's window": (RESPOND, responded(input=LONG, max_output_tokens=400), "input"),
    "a response's schema": (
        RESPOND, responded(text={"format": {"type": "json_schema", "name": "a", "schema": _NONSENSE}}), "text.format",
    ),
    "a response's two forms": (RESPOND, responded(regex="a", text={"format": {"type": "json_object"}}), "regex"),
    "a message's window": (MESSAGES, messaged(messages=[{"role": "user", "content": LONG}], max_tokens=400), None),
    "a message's schema": (
        MESSAGES, messaged(output_config={"format": {"type": "json_schema", "schema": _NONSENSE}}), None,
    ),
    "a session that would be forgotten whole": (f"{MEMORY}/forget", {"session": "work"}, "everything"),
    "everything and a part of it": (f"{MEMORY}/forget", {"everything": True, "containing": "a"}, "everything"),
    "an id that is blank": (f"{MEMORY}/forget", {"ids": [" "]}, None),
    "a day that is none": (f"{MEMORY}/forget", {"before": "the day of days"}, "before"),
    "a moment that is none": (f"{MEMORY}/context", {"query": "a", "now": "soon"}, "now"),
    "a zone that is nowhere": (f"{MEMORY}/search", {"query": "a", "time_zone": "Mars/Base"}, "time_zone"),
    "a session that is not named": (f"{MEMORY}/search", {"query": "a", "scope": "session"}, "scope"),
    "a fact without a value": (f"{MEMORY}/facts", {"relation": "name", "value": " "}, "value"),
    "a fact without a relation": (f"{MEMORY}/facts", {"relation": " ", "value": "a"}, "relation"),
    "a fact that is over": (f"{MEMORY}/facts", {"relation": "name", "value": "a", "valid_until": "2001-01-01"}, "valid_until"),
    "a fact that holds until never": (f"{MEMORY}/facts", {"relation": "name", "value": "a", "valid_until": "x"}, "valid_until"),
    "a fact that nobody knows": (f"{MEMORY}/facts/999/correct", {"value": "a"}, None),
    "a pin that nobody knows": (f"{MEMORY}/forget", {"pin": 999, "confirm": True}, None),
    "a plan's unknown key": (PLAN, {"system": {"num_expert": 8}}, "system.num_expert"),
    "a plan's negative width": (PLAN, {"system": {"d_ff": -1}}, None),
    "a plan for a device that is none": (PLAN, {"device": "abacus"}, None),
    "a plan of an encoder that is none": (PLAN, {"system": {"base_model_name": "no such encoder"}}, None),
    "a plan that chooses more experts than there are": (PLAN, {"system": {"num_experts": 2, "top_k": 4}}, None),
    "a branch that nobody knows": ("/v1/classify", {"input": "a", "branches": ["three"]}, None),
    "half a character": ("/v1/classify", b'{"input": "\\ud800"}', None),
    "an expert that nobody knows": ("/v1/experts/nobody/load", {}, None),
    "a vector of nobody's": ("/v1/embeddings", {"model": "nobody", "input": "a"}, None),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_told_in_the_words_of_the_request(
    name: str, served: tuple[str, Hall], words: frozenset[str]
) -> None:
    path, body, param = WRONG[name]
    status, _, found = call(served[0], path, body)
    assert 400 <= status < 500, (status, found)
    message = found["error"]["message"]
    assert not foreign(message, words), message
    if param is not None:
        assert found["error"]["param"] == param, found
    if path == CHAT and (max_tokens := body.get("max_completion_tokens")):
        assert "max_completion_tokens" in message
        assert "max_tokens of" not in message, max_tokens


@pytest.mark.parametrize(("file", "data"), {
    "rows.csv": b"a,b,c\n1,2,3\n4,5,6\n7,8,9\n", "one.csv": b"text\nhello\nworld\n", "empty.csv": b"",
}.items())  # fmt: skip
def test_a_table_that_cannot_be_read_is_told_in_the_words_of_the_form(
    file: str, data: bytes, served: tuple[str, Hall], words: frozenset[str]
) -> None:
    status, _, found = upload(served[0], data, file=file, name="three")
    assert status == 400, found
    message = found["error"]["message"]
    assert not foreign(message.replace(file, ""), words), message
    status, _, found = upload(served[0], csv_of("one"), name="three", text="nowhere")
    assert status == 400, found
    assert not foreign(found["error"]["message"], words), found


def test_a_full_window_says_how_much_may_be_asked_for(served: tuple[str, Hall]) -> None:
    answered = call(served[0], CHAT, asked(LONG, max_tokens=500))[2]["error"]
    assert answered["code"] == "context_length_exceeded"
    room = int(re.findall(r"ask for a max_tokens of (\d+) at most", answered["message"])[0])
    assert call(served[0], CHAT, asked(LONG, max_tokens=room))[0] == 200
    assert call(served[0], CHAT, asked(LONG, max_tokens=room + 1))[0] == 400
    kept = call(served[0], RESPOND, responded(input=LONG, max_output_tokens=500))[2]["error"]
    assert "max_output_tokens of" in kept["message"]
    assert 'truncation: "auto"' in kept["message"]


def test_a_setting_that_an_engine_lacks_is_the_requests_mistake_not_the_servers(tmp_path: Path) -> None:
    """Also where every expert of a council lacks it, and none of them is taken for ill."""
    from interconnected_ai.experts.engines.lacking import refusal

    with pytest.raises(Refusal) as raised, in_fields({"logprobs": "top_logprobs"}):
        raise refusal("ctranslate2", "logprobs=2", "logprobs")
    fault = fault_of(raised.value)
    assert (fault.status, fault.code, fault.param) == (400, "unsupported", "top_logprobs")
    assert fault.message.startswith("top_logprobs: the engine of this expert, ctranslate2")
    with council_server(tmp_path) as url:
        status, _, found = call(url, CHAT, asked(model="council", response_format=formed(_NONSENSE)))
        assert (status, found["error"]["param"]) == (400, "response_format")
        assert call(url, "/v1/experts")[2]["set_aside"] == {}
        assert call(url, CHAT, asked(model="council"))[0] == 200


def test_what_a_request_is_to_blame_for_in_mid_stream_is_told_in_its_words() -> None:
    broken = EngineError("json_schema: too much; simplify it").blaming(Blame("json_schema", "too much; simplify it"))
    expert = Waiting(2, breaks_at=1, error=broken)
    with waiting_server(expert) as url:
        expert.goes.release(2)
        _, _, found = call(url, CHAT, {**asked(stream=True), "model": "waiting"})
    assert b'"message":"response_format: too much; simplify it"' in found
    assert b'"type":"invalid_request_error"' in found


def test_a_full_queue_names_no_setting_of_pythons() -> None:
    fault = fault_of(QueueFullError("9 texts wait already, and 8 may", "num_waiting"))
    assert (fault.status, fault.message) == (503, "9 texts wait already, and 8 may; ask again later")


def test_the_language_of_a_reader_changes_no_answer_of_the_api(served: tuple[str, Hall]) -> None:
    """Programs read it; the page alone speaks other languages, by codes."""
    url, _ = served
    wrong = asked(LONG, max_tokens=400)
    for path, body in ((CHAT, wrong), ("/v1/route", {"input": "a traceback"}), (PLAN, {"device": "abacus"})):
        plain = call(url, path, body)[2]
        assert call(url, path, body, headers={"accept-language": "ru-RU, ru;q=0.9"})[2] == plain
    told = call(url, "/v1/route", {"input": "a traceback"})[2]
    assert told["reason"].startswith("rule 'programs'")
    assert [each["code"] for each in told["reason_clauses"]] == ["rule", "words"]
    assert told["reason_clauses"][0]["values"]["rule"] == "programs"
