"""Texts continued, vectors, log probabilities; and every answer beside OpenAI's own description of it."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason='needs the extra "serving"')
pytest.importorskip("re2")

import openai
from tests.serving.halls import Waiting, asked, call, config_of, council_of, council_server
from tests.serving.openapi_schemas import fields_of, validate

from conftest import make_system, randomize
from interconnected_ai.branches import Encoder, TextVectors
from interconnected_ai.config import ServingConfig
from interconnected_ai.errors import ConfigError, NotAModelError
from interconnected_ai.experts import Expert, ExpertPool
from interconnected_ai.serving import Hall, ServerThread
from interconnected_ai.serving.openai.asked import ChatRequest
from interconnected_ai.serving.openai.completions import CompletionRequest
from interconnected_ai.serving.openai.embeddings import EmbeddingRequest

CHAT, WRITE = "/v1/chat/completions", "/v1/completions"
OURS = {"session", "width", "role", "top_k", "min_p", "repetition_penalty", "regex"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("others")
    config_of(place)
    return place


@pytest.fixture(scope="module")
def url(home: Path) -> Iterator[str]:
    with council_server(home) as address:
        yield address


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none needed", max_retries=0) as made:
        yield made


def test_a_text_goes_on_as_the_expert_continues_it(client: openai.OpenAI, home: Path) -> None:
    with Expert.from_pretrained(home / "code") as code:
        alone = code.generate("The router", max_new_tokens=12, temperature=0.0)
        ids = code.tokenizer.encode("The router")
    answer = client.completions.create(model="code", prompt="The router", max_tokens=12, temperature=0)
    assert answer.choices[0].text == alone.text
    assert answer.usage is not None
    assert answer.usage.completion_tokens == len(alone.token_ids)
    by_ids = client.completions.create(model="code", prompt=ids, max_tokens=12, temperature=0)
    assert by_ids.choices[0].text == alone.text
    assert by_ids.usage == answer.usage
    chunks = client.completions.create(model="code", prompt=ids, max_tokens=12, temperature=0, stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == alone.text
    echoed = client.completions.create(model="code", prompt="The router", max_tokens=12, temperature=0, echo=True)
    assert echoed.choices[0].text == f"The router{alone.text}"


def test_several_prompts_have_their_choices_side_by_side(client: openai.OpenAI) -> None:
    prompts = ["The router", "a token"]
    answer = client.completions.create(model="law", prompt=prompts, n=2, max_tokens=6, seed=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    for place, prompt in enumerate(prompts):
        alone = client.completions.create(model="law", prompt=prompt, max_tokens=6, seed=3)
        assert answer.choices[2 * place].text == alone.choices[0].text
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == sum(
        client.completions.create(model="law", prompt=prompt, max_tokens=1).usage.prompt_tokens  # type: ignore[union-attr]
        for prompt in prompts
    )


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a council": ({"model": "council"}, "answers conversations"),
    "a gap": ({"suffix": "end"}, "suffix"),
    "the best of more": ({"best_of": 3}, "best_of"),
    "too many": ({"prompt": ["a"] * 9}, "n: prompts times choices"),
    "no prompt": ({"prompt": []}, "prompt"),
    "an unknown token": ({"prompt": [100_000]}, "outside the vocabulary"),
    "an empty list of tokens": ({"prompt": [[]]}, "prompt"),
    "an echo with log probabilities": ({"echo": True, "logprobs": 1}, "echo"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_no_expert_continues_is_refused(what: str, url: str) -> None:
    more, words = REFUSED[what]
    status, _, found = call(url, WRITE, {"model": "code", "prompt": "a", "max_tokens": 4, **more})
    assert status == 400
    assert words in found["error"]["message"]


def test_log_probabilities_are_those_of_the_tokens_that_came(client: openai.OpenAI, home: Path) -> None:
    settings: dict[str, Any] = {
        "model": "code", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 40, "temperature": 0,
        "logprobs": True, "top_logprobs": 2,
    }  # fmt: skip
    whole = client.chat.completions.create(**settings).choices[0]
    assert whole.logprobs is not None
    content = whole.logprobs.content or []
    with Expert.from_pretrained(home / "code") as code:
        from interconnected_ai.types import ChatMessage

        alone = code.chat([ChatMessage("user", "hello")], max_new_tokens=40, temperature=0.0, logprobs=2)
    assert [one.logprob for one in content] == [step.logprob for step in alone.generation.steps]
    text = b"".join(bytes(one.bytes or ()) for one in content).decode("utf-8", "replace")
    assert text.strip() == whole.message.content
    assert all(len(one.top_logprobs) == 2 and one.top_logprobs[0].logprob == one.logprob for one in content)
    streamed = [
        one
        for chunk in client.chat.completions.create(stream=True, **settings)
        for choice in chunk.choices
        for one in (choice.logprobs.content or [] if choice.logprobs else [])
    ]
    assert [one.bytes for one in streamed] == [one.bytes for one in content]
    # the prompt was known this time, and is not read in the same pass
    assert [one.logprob for one in streamed] == pytest.approx([one.logprob for one in content], abs=1e-3)
    plain = client.chat.completions.create(**{**settings, "logprobs": None, "top_logprobs": None})
    assert plain.choices[0].logprobs is None
    written = client.completions.create(model="code", prompt="hello", max_tokens=5, temperature=0, logprobs=1)
    told = written.choices[0].logprobs
    assert told is not None
    assert len(told.tokens or []) == len(told.token_logprobs or []) == len(told.text_offset or []) == 5


def test_a_weight_on_a_token_forbids_it_or_demands_it(client: openai.OpenAI, home: Path) -> None:
    with Expert.from_pretrained(home / "code") as code:
        alone = code.generate("hello", max_new_tokens=6, temperature=0.0)
        words = code.tokenizer
    first = alone.token_ids[0]

    def ask(bias: dict[str, int]) -> str:
        asking = client.completions.create(model="code", prompt="hello", max_tokens=6, temperature=0, logit_bias=bias)
        return asking.choices[0].text

    assert ask({str(first): -100}) != alone.text
    demanded = words.encode("a")[0]
    assert ask({str(demanded): 100}) == words.decode([demanded]) * 6
    assert ask({}) == alone.text


def test_a_council_and_calls_have_no_log_probabilities(url: str) -> None:
    tool = {"type": "function", "function": {"name": "now"}}
    for more in ({"model": "council"}, {"tools": [tool], "tool_choice": "required"}):
        status, _, found = call(url, CHAT, asked(logprobs=True, **more))
        assert (status, found["error"]["param"]) == (400, "logprobs")


def test_vectors_are_the_encoders_as_numbers_and_as_bytes() -> None:
    system = randomize(make_system("topics"))
    texts = ["bank card money", "rain and snow", "the cat " * 40]
    expected = TextVectors(system.encoder)(texts)
    hall = Hall(systems={"topics": system})
    with ServerThread(hall, ServingConfig(port=0, drain_seconds=1.0)) as server:
        (model,) = hall.encoders
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="-", max_retries=0) as client:
            assert [each.id for each in client.models.list()] == [model]
            found = client.embeddings.create(model=model, input=texts)  # base64 on the way
            assert np.allclose([each.embedding for each in found.data], expected, atol=1e-6)
            assert [each.index for each in found.data] == [0, 1, 2]
            assert found.usage.prompt_tokens > len(texts)
            assert found.model_extra["interconnected_ai"] == {"cut": [2]}  # type: ignore[index]
            one = client.embeddings.create(model=model, input=texts[0], encoding_format="float")
            assert np.allclose(one.data[0].embedding, expected[0], atol=1e-6)
        raw = call(server.url, "/v1/embeddings", {"model": model, "input": "rain", "encoding_format": "base64"})[2]
        assert len(base64.b64decode(raw["data"][0]["embedding"])) == 4 * expected.shape[1]
        plain = call(server.url, "/v1/embeddings", {"model": model, "input": "rain"})[2]
        assert isinstance(plain["data"][0]["embedding"], list)
        validate(plain, "CreateEmbeddingResponse")
        wrong: list[tuple[dict[str, Any], int]] = [
            ({"input": [1, 2]}, 400), ({"input": []}, 400), ({"input": [""]}, 400), ({"input": "a", "dimensions": 3}, 400),
            ({"input": "a", "model": "none"}, 404), ({"input": ["a"] * 2049}, 400), ({}, 400),
        ]  # fmt: skip
        for more, status in wrong:
            assert call(server.url, "/v1/embeddings", {"model": model, **more})[0] == status


def test_every_field_of_ours_is_one_of_theirs_or_named_as_ours() -> None:
    ours = {"ChatRequest": ChatRequest, "CompletionRequest": CompletionRequest, "EmbeddingRequest": EmbeddingRequest}
    theirs = {
        "ChatRequest": "CreateChatCompletionRequest", "CompletionRequest": "CreateCompletionRequest",
        "EmbeddingRequest": "CreateEmbeddingRequest",
    }  # fmt: skip
    for name, request in ours.items():
        fields = {field.alias or key for key, field in request.model_fields.items()}
        assert fields - fields_of(theirs[name]) <= OURS, name


def chunks_of(url: str, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    raw = call(url, path, {**body, "stream": True, "stream_options": {"include_usage": True}})[2]
    return [json.loads(line[6:]) for line in raw.split(b"\n\n") if line.startswith(b"data: {")]


def test_answers_and_chunks_are_what_openai_says_they_are(url: str) -> None:
    tool = {"type": "function", "function": {"name": "now"}}
    bodies = [
        asked(), asked(model="council"), asked(n=2), asked(logprobs=True, top_logprobs=1),
        asked(tools=[tool], tool_choice="required", max_tokens=100),
    ]  # fmt: skip
    for body in bodies:
        status, _, found = call(url, CHAT, body)
        assert status == 200, found
        validate(found, "CreateChatCompletionResponse")
        for chunk in chunks_of(url, CHAT, body):
            validate(chunk, "CreateChatCompletionStreamResponse")
    body = {"model": "code", "prompt": "a", "max_tokens": 4, "logprobs": 1}
    validate(call(url, WRITE, body)[2], "CreateCompletionResponse")
    validate(call(url, "/v1/models")[2], "ListModelsResponse")
    validate(call(url, "/v1/models/code")[2], "Model")
    validate(call(url, "/v1/models/none")[2], "ErrorResponse")


def test_the_description_of_the_api_is_whole(url: str) -> None:
    found = call(url, "/openapi.json")[2]
    assert set(found["paths"]) >= {CHAT, WRITE, "/v1/embeddings", "/v1/models", "/healthz", "/readyz", "/metrics"}
    assert "http" not in json.dumps(found["paths"])  # nothing is fetched from elsewhere


def test_a_run_is_served_as_the_system_in_it_is(tmp_path: Path, encoder_folder: Path) -> None:
    system = make_system("topics", encoder=Encoder.load(str(encoder_folder)), base_model_name=str(encoder_folder))
    randomize(system).freeze_trunk()
    system.seal_branch("topics", trained="joint")
    system.save_pretrained(tmp_path / "runs" / "mine" / "model")
    for place, name in ((tmp_path / "runs" / "mine", "mine"), (tmp_path / "runs" / "mine" / "model", "model")):
        with Hall.open([place]) as hall:
            assert list(hall.systems) == [name]
            assert hall.systems[name].branch_names == ["topics"]
            assert list(hall.encoders) == [encoder_folder.name]  # and not where it stands
            assert hall.models == ()
    with pytest.raises(NotAModelError, match="neither an expert nor a system"):
        Hall.open([tmp_path / "runs"])


def test_two_things_of_one_name_are_refused(home: Path, tmp_path: Path) -> None:
    config_of(tmp_path)
    with pytest.raises(ConfigError, match="two experts are called 'code'"):
        Hall.open([home / "code", tmp_path / "code"])
    pool: ExpertPool[Any] = ExpertPool(10)
    pool.add("code", Waiting, num_bytes=1)
    with council_of(home) as council, pytest.raises(ConfigError, match="two models are called 'code'"):
        Hall(council=council, experts=pool)
    with pytest.raises(ConfigError, match="nothing is served"):
        Hall()


def test_a_hall_has_one_name_for_one_model(home: Path) -> None:
    with council_of(home) as council:
        hall = Hall(council=council)
        assert hall.models == ("council", "general", "code", "law")
