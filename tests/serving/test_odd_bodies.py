"""Whatever a body holds, the answer is whole, or a refusal in the envelope; never a fault of the server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")

from tests.serving.halls import asked, call, config_of, council_server

from interconnected_ai.serving.openai.asked import ChatRequest
from interconnected_ai.serving.openai.completions import CompletionRequest
from properties import examples

CHAT, WRITE = "/v1/chat/completions", "/v1/completions"
ODD: tuple[Any, ...] = (
    None, True, False, "", "a", "null", "auto", "\u0000", "я" * 300, -1, 0, 1, 2, 2**31, 2**63, 10**40, -0.5, 1e300, [], [1],
    ["a"], [[]], [None], [[1, 2]], {}, {"type": "text"}, {"type": "json_object"}, {"type": "function"}, {"a": {"b": [1]}},
    [{"role": "user", "content": "a"}], [{"role": "tool", "content": None}], [{"type": "function", "function": {"name": "f"}}],
    {"include_usage": True}, {"1": 1}, {"type": "json_schema", "json_schema": {"name": "a", "schema": {"$ref": "#/x"}}},
    {"type": "json_schema", "json_schema": {"schema": {"type": "string", "pattern": "(a+)+$" * 50}}},
)  # fmt: skip
LONG = st.just("x").map(lambda letter: letter * 5000)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home: Path = tmp_path_factory.mktemp("odd")
    config_of(home)
    with council_server(home, max_new_tokens=64, max_seconds=30) as address:
        yield address
        assert call(address, CHAT, asked())[0] == 200


def require_answer_or_refusal(url: str, path: str, body: Any) -> None:
    status, headers, found = call(url, path, body)
    assert status in (200, 400, 404, 413, 503), (status, found, body)
    assert headers["x-request-id"]
    if status == 503:  # of a stream that is cut off at its time, never of a fault
        assert found["error"]["code"] in ("timeout", "full"), (found, body)
    if status != 200:
        assert set(found["error"]) == {"message", "type", "param", "code"}
    elif isinstance(found, bytes):
        lines = [line for line in found.split(b"\n\n") if line]
        assert lines[-1] == b"data: [DONE]"
        for line in lines[:-1]:
            json.loads(line.removeprefix(b"data: "))


@examples(80)
@given(
    st.dictionaries(st.sampled_from(sorted(ChatRequest.model_fields)), st.sampled_from(ODD), max_size=3),
    st.sampled_from(["code", "council", "council:2"]),
    st.booleans(),
)
def test_a_conversation_of_any_fields_is_answered_or_refused(
    url: str, odd: dict[str, Any], model: str, stream: bool
) -> None:
    require_answer_or_refusal(url, CHAT, {**asked(model=model, stream=stream, max_tokens=4), **odd})


@examples(40)
@given(st.dictionaries(st.sampled_from(sorted(CompletionRequest.model_fields)), st.sampled_from(ODD), max_size=3))
def test_a_text_of_any_fields_is_continued_or_refused(url: str, odd: dict[str, Any]) -> None:
    require_answer_or_refusal(url, WRITE, {"model": "law", "prompt": "a", "max_tokens": 4, **odd})


@examples(30)
@given(st.binary(max_size=80), st.sampled_from([CHAT, WRITE, "/v1/embeddings"]))
def test_bytes_of_any_kind_are_refused(url: str, body: bytes, path: str) -> None:
    require_answer_or_refusal(url, path, body)


@examples(30)
@given(st.text(max_size=60) | LONG, st.sampled_from(["GET", "POST", "PUT", "DELETE"]))
def test_names_of_models_and_sessions_of_any_letters_are_answered_or_refused(url: str, name: str, method: str) -> None:
    from urllib.parse import quote

    status, _, _ = call(url, f"/v1/models/{quote(name, safe='')}", method=method)
    assert status in (200, 404, 405, 400)
    require_answer_or_refusal(url, CHAT, asked(model=name))
    require_answer_or_refusal(url, CHAT, asked(session=name))
