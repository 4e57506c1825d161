"""`POST /v1/completions`: what continues a text, or token ids, by one expert."""

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from interconnected_ai.serving.accounts import account, usage_of
from interconnected_ai.serving.bounds import refuse_long
from interconnected_ai.serving.door import AtTheDoor, Caller, Chatter, Door, entry_of, errors
from interconnected_ai.serving.events import TEXT, Template, event, streamed, whole
from interconnected_ai.serving.faults import Refusal
from interconnected_ai.serving.lanes import Reading
from interconnected_ai.serving.openai.asked import SEED, StreamOptions, stops_of
from interconnected_ai.serving.schemas import Body
from interconnected_ai.serving.turns import Delta, Said, TokenChance
from interconnected_ai.serving.voices import Voice

router = APIRouter(tags=["openai"])
_DONE = event("[DONE]")
_FIELDS = {"max_new_tokens": "max_tokens"}  # what a request calls the settings of an answer
_USUAL_TOKENS = 16
_MOST_PROMPTS = 256


class CompletionRequest(Body):
    """A text to continue, or several. Ours: top_k, min_p, repetition_penalty and regex are the engines' own."""

    model: Annotated[str, Field(min_length=1, max_length=200)]
    prompt: str | list[str] | list[int] | list[list[int]]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    best_of: Annotated[int, Field(ge=1, le=20)] | None = None
    echo: bool | None = None
    suffix: str | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    top_p: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    stop: str | list[str] | None = None
    presence_penalty: Annotated[float, Field(ge=-2.0, le=2.0)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2.0, le=2.0)] | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    seed: Annotated[int, SEED] | None = None

    top_k: Annotated[int, Field(ge=1)] | None = None
    min_p: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    repetition_penalty: Annotated[float, Field(ge=0.001, le=1000.0)] | None = None
    regex: str | None = None

    user: str | None = None  # says something to OpenAI's own service alone

    @property
    def num_choices(self) -> int:
        """How many answers to each prompt."""
        return 1 if self.n is None else self.n

    @property
    def prompts(self) -> list[str | list[int]]:
        """Each prompt: a text, or token ids."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if self.prompt and isinstance(self.prompt[0], int):
            return [self.prompt]
        return list(self.prompt)  # type: ignore[arg-type]


@router.post("/v1/completions", responses=errors(408), response_model=None)
async def completions(asked: CompletionRequest, request: Request, door: AtTheDoor, caller: Chatter) -> Response:
    """What continues each prompt."""
    voice = door.hall.voice(asked.model)
    settings = _settings(asked, door)
    texts = (prompt for prompt in asked.prompts if isinstance(prompt, str))
    refuse_long(texts, door.config.max_prompt_tokens, param="prompt")
    entry = entry_of(request)
    entry.model = voice.name
    if door.config.log_prompts:
        entry.prompt = asked.prompts
    writing = [
        partial(
            voice.write,
            prompt,
            settings,
            seed=None if asked.seed is None else (asked.seed + choice) % 2**63,
            fields=_FIELDS,
        )
        for prompt in asked.prompts
        for choice in range(asked.num_choices)
    ]
    reading = door.answers.read(*writing)
    answer = _Answer(asked, voice, f"cmpl-{secrets.token_hex(12)}", int(time.time()))
    if asked.stream:
        events = _chunks(answer, reading, door, caller, request)
        return await streamed(request, door, reading, events, last=_DONE)
    said = await whole(request, door, reading)
    account(request, door, caller, voice, said, asked.num_choices)
    return JSONResponse(answer.completion(said))


def _settings(asked: CompletionRequest, door: Door) -> dict[str, Any]:
    """The fields of `GenerationConfig` that were asked for. Raises `Refusal` for what no engine here does."""
    number = asked.num_choices
    tokens = asked.max_tokens or _USUAL_TOKENS
    refused = {
        "prompt": not asked.prompts or len(asked.prompts) > _MOST_PROMPTS,
        "n": number * len(asked.prompts) > max(door.config.max_choices, 1) and len(asked.prompts) <= _MOST_PROMPTS,
        "best_of": asked.best_of not in (None, number),
        "suffix": bool(asked.suffix),
        "max_tokens": tokens > door.config.max_new_tokens,
        "echo": bool(asked.echo) and (asked.logprobs is not None or not all(isinstance(p, str) for p in asked.prompts)),
    }
    told = {
        "prompt": f"1 to {_MOST_PROMPTS} prompts are answered at once",
        "n": f"prompts times choices are {door.config.max_choices} at most",
        "best_of": "every answer is given; ask for n, and leave it out",
        "suffix": "the models here continue a text, they fill no gap; leave it out",
        "max_tokens": f"an answer may have {door.config.max_new_tokens:,} tokens here; ask for less",
        "echo": "it repeats texts, without log probabilities; leave out one of both",
    }
    for field, is_refused in refused.items():
        if is_refused:
            raise Refusal(400, f"{field}: {told[field]}", code="unsupported_value", param=field)
    given = {
        "max_new_tokens": tokens, "temperature": asked.temperature, "top_k": asked.top_k, "top_p": asked.top_p,
        "min_p": asked.min_p, "repetition_penalty": asked.repetition_penalty, "presence_penalty": asked.presence_penalty,
        "frequency_penalty": asked.frequency_penalty, "stop": stops_of(asked.stop), "regex": asked.regex,
        "logprobs": asked.logprobs, "logit_bias": asked.logit_bias or None,
    }  # fmt: skip
    if asked.top_p == 0.0:
        given["top_p"], given["top_k"] = None, 1
    return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class _Answer:
    """What all chunks of an answer have in common."""

    asked: CompletionRequest
    voice: Voice
    id: str
    created: int

    def completion(self, said: Sequence[Said]) -> dict[str, Any]:
        """The whole answer."""
        choices = [
            self._choice(number, self.echoed(number) + one.text, one.chances, one.ended, 0)
            for number, one in enumerate(said)
        ]
        told = {"interconnected_ai": dict(said[0].told)}
        return {**self._head(), "choices": choices, "usage": usage_of(said, self.asked.num_choices), **told}

    def chunk(
        self, number: int, text: str, chances: Sequence[TokenChance], reason: str | None, offset: int
    ) -> dict[str, Any]:
        """A part of it. offset: letters of the answer before."""
        head = self._head()
        if self.includes_usage:
            head["usage"] = None
        return {**head, "choices": [self._choice(number, text, chances, reason, offset)]}

    def last(self, said: Sequence[Said]) -> dict[str, Any]:
        """What it took."""
        return {**self._head(), "choices": [], "usage": usage_of(said, self.asked.num_choices)}

    def _choice(
        self, number: int, text: str, chances: Sequence[TokenChance], reason: str | None, offset: int
    ) -> dict[str, Any]:
        logprobs = None if self.asked.logprobs is None else _logprobs(chances, offset)
        return {"text": text, "index": number, "logprobs": logprobs, "finish_reason": reason}

    def echoed(self, number: int) -> str:
        """The prompt, where it is to be repeated."""
        prompt = self.asked.prompts[number // self.asked.num_choices]
        return prompt if self.asked.echo and isinstance(prompt, str) else ""

    def _head(self) -> dict[str, Any]:
        return {
            "id": self.id, "object": "text_completion", "created": self.created, "model": self.voice.name,
            "system_fingerprint": self.voice.fingerprint,
        }  # fmt: skip

    @property
    def includes_usage(self) -> bool:
        """Whether the stream ends with what it took."""
        return bool(self.asked.stream_options and self.asked.stream_options.include_usage)


async def _chunks(
    answer: _Answer, reading: Reading[Delta, Said], door: Door, caller: Caller, request: Request
) -> AsyncIterator[bytes]:
    number_of_answers = len(answer.asked.prompts) * answer.asked.num_choices
    lengths, told = [0] * number_of_answers, [0] * number_of_answers
    for number in range(number_of_answers):
        if echoed := answer.echoed(number):
            yield event(answer.chunk(number, echoed, (), None, 0))
    with_chances = answer.asked.logprobs is not None
    texts = [] if with_chances else [Template(answer.chunk(n, TEXT, (), None, 0)) for n in range(number_of_answers)]
    async for number, delta in reading:
        if delta.text and not with_chances:
            yield texts[number].event(delta.text)
        elif delta.text or delta.chances:
            yield event(answer.chunk(number, delta.text, delta.chances, None, lengths[number]))
            lengths[number] += len(delta.text)
            told[number] += len(delta.chances)
    said = reading.wholes
    ending = [
        event(answer.chunk(number, "", one.chances[told[number] :], one.ended, lengths[number]))
        for number, one in enumerate(said)
    ]
    account(request, door, caller, answer.voice, said, answer.asked.num_choices)
    if answer.includes_usage:
        ending.append(event(answer.last(said)))
    yield b"".join((*ending, _DONE))


def _logprobs(chances: Sequence[TokenChance], offset: int) -> dict[str, Any]:
    """As the older API has them. text_offset: letters of the answer before each token."""
    tokens = [one.token.decode("utf-8", "replace") for one in chances]
    offsets, written = [], b""
    for one in chances:
        offsets.append(offset + len(written.decode("utf-8", "ignore")))
        written += one.token
    return {
        "tokens": tokens,
        "token_logprobs": [one.logprob for one in chances],
        "top_logprobs": [{token.decode("utf-8", "replace"): value for token, value in one.top} for one in chances],
        "text_offset": offsets,
    }
