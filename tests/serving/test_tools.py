"""A call as it comes, in pieces of any length, is the call that the whole is."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("fastapi", reason='needs the extra "serving"')

from interconnected_ai.serving.tools import CallFeed, Watch, described, schema_of, written_call
from interconnected_ai.serving.turns import Tool
from interconnected_ai.types import ChatMessage
from properties import examples

TOOLS = (Tool("weather", parameters={"type": "object"}), Tool("now"))
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
CUTS = st.lists(st.integers(0, 200), max_size=8)


def pieces(text: str, cuts: list[int]) -> list[str]:
    """The text, cut at these places."""
    places = [0, *sorted({min(cut, len(text)) for cut in cuts}), len(text)]
    return [text[begin:end] for begin, end in pairwise(places)]


@examples(60)
@given(st.dictionaries(st.text(max_size=5), JSONS, max_size=3), CUTS, st.sampled_from([None, 1]))
def test_a_call_in_any_pieces_has_its_name_and_its_arguments(
    given_arguments: Any, cuts: list[int], indent: Any
) -> None:
    text = json.dumps({"name": "weather", "arguments": given_arguments}, ensure_ascii=False, indent=indent)
    feed = CallFeed()
    deltas = [delta for piece in pieces(text, cuts) for delta in feed.add(piece)] + feed.finish(is_whole=True)
    assert [delta.call for delta in deltas if delta.call] == ["weather"]
    assert deltas[0].call == "weather"
    told = "".join(delta.arguments for delta in deltas)
    assert told == feed.arguments
    assert json.loads(told) == given_arguments


@examples(30)
@given(st.dictionaries(st.text(max_size=5), JSONS, max_size=3), CUTS)
def test_a_call_whose_name_is_known_is_its_arguments(given_arguments: Any, cuts: list[int]) -> None:
    text = json.dumps(given_arguments)
    feed = CallFeed("weather")
    deltas = [delta for piece in pieces(text, cuts) for delta in feed.add(piece)] + feed.finish(is_whole=True)
    assert "".join(delta.arguments for delta in deltas) == text


def test_a_call_that_is_cut_short_keeps_what_came() -> None:
    feed = CallFeed()
    feed.add('{"name": "weather", "arguments": {"a": {"b": 1}')
    feed.finish(is_whole=False)
    assert feed.arguments == '{"a": {"b": 1}'
    early = CallFeed()
    assert early.add('{"name": "wea') == []
    assert early.finish(is_whole=False) == []


@examples(60)
@given(st.text(max_size=30), CUTS)
def test_words_that_are_no_call_are_shown_as_they_are(text: str, cuts: list[int]) -> None:
    watch = Watch(TOOLS)
    shown = "".join(watch.add(piece) for piece in pieces(text, cuts)) + watch.finish()
    assert watch.is_call or shown == text


CALLS = (
    '<tool_call>{"name": "now"}',
    '  <tool_call>\n{"name": "weather"',
    '{"name": "weather", "arguments": {}}',
    '\n{ "name" : "now" , "arguments" : {',
)
NO_CALLS = ('{"name": "Ann", "arguments": []}', '{"names": 1}', "<tool", "{", "tool_call", '{"name": "weather"}', "")


@pytest.mark.parametrize("text", CALLS)
@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_the_beginning_of_a_call_is_known_and_never_shown(text: str, size: int) -> None:
    watch = Watch(TOOLS)
    shown = ""
    for begin in range(0, len(text), size):
        if not watch.is_call:
            shown += watch.add(text[begin : begin + size])
    assert watch.is_call
    assert shown == ""


@pytest.mark.parametrize("text", NO_CALLS)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_what_only_looks_like_a_call_is_shown(text: str, size: int) -> None:
    watch = Watch(TOOLS)
    shown = "".join(watch.add(text[begin : begin + size]) for begin in range(0, len(text), size)) + watch.finish()
    assert (watch.is_call, shown) == (False, text)


def test_references_of_parameters_lead_to_where_they_stand_within_the_call() -> None:
    parameters = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/b"}, "$ref": {"type": "string"}, "c": {"$ref": "#"}},
        "$defs": {"b": {"type": "integer"}},
    }
    one = schema_of([Tool("f", parameters=parameters)], "required")
    assert one["properties"]["arguments"]["properties"]["a"]["$ref"] == "#/properties/arguments/$defs/b"
    assert one["properties"]["arguments"]["properties"]["c"]["$ref"] == "#/properties/arguments"
    assert one["properties"]["arguments"]["properties"]["$ref"] == {"type": "string"}
    two = schema_of([Tool("g"), Tool("f", parameters=parameters)], "auto")
    assert two["anyOf"][1]["properties"]["arguments"]["properties"]["a"]["$ref"] == (
        "#/anyOf/1/properties/arguments/$defs/b"
    )
    assert schema_of([Tool("f", parameters=parameters)], "f") == parameters


def test_the_model_is_told_of_the_tools_in_its_system_message() -> None:
    asked = [ChatMessage("system", "Be brief."), ChatMessage("user", "hello")]
    told = described(asked, TOOLS, "auto")
    assert [message.role for message in told] == ["system", "user"]
    assert told[0].content.startswith("Be brief.")
    assert '"weather"' in told[0].content
    assert described(asked[1:], TOOLS, "required")[0].role == "system"
    assert json.loads(written_call("now", "").removeprefix("<tool_call>").removesuffix("</tool_call>")) == {
        "name": "now",
        "arguments": {},
    }
