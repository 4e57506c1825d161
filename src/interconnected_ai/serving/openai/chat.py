"""`POST /v1/chat/completions`: in one piece, or as chunks while it is made."""

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from interconnected_ai.serving.accounts import account, usage_of
from interconnected_ai.serving.bounds import refuse_long
from interconnected_ai.serving.door import AtTheDoor, Caller, Chatter, Door, entry_of, errors
from interconnected_ai.serving.events import TEXT, Template, event, streamed, whole
from interconnected_ai.serving.faults import Refusal
from interconnected_ai.serving.lanes import Reading
from interconnected_ai.serving.openai.asked import ChatRequest, turn_of
from interconnected_ai.serving.turns import Delta, Said, TokenChance, Turn
from interconnected_ai.serving.voices import CouncilVoice, Voice

router = APIRouter(tags=["openai"])
DONE = event("[DONE]")


@router.post("/v1/chat/completions", responses=errors(408), response_model=None)
async def chat(asked: ChatRequest, request: Request, door: AtTheDoor, caller: Chatter) -> Response:
    """An answer to a conversation, by an expert or by the council."""
    voice = door.hall.voice(asked.model)
    turns = _turns(asked, voice, door, caller)
    entry = entry_of(request)
    entry.model = voice.name
    if door.config.log_prompts:
        entry.prompt = [message.content for message in turns[0].messages]
    reading = door.answers.read(*(partial(voice.talk, turn) for turn in turns))
    answer = _Answer(asked, voice, f"chatcmpl-{secrets.token_hex(12)}", int(time.time()))
    if asked.stream:
        events = _chunks(answer, reading, door, caller, request)
        return await streamed(request, door, reading, events, last=DONE)
    said = await whole(request, door, reading)
    account(request, door, caller, voice, said)
    return JSONResponse(answer.completion(said))


def _turns(asked: ChatRequest, voice: Voice, door: Door, caller: Caller) -> list[Turn]:
    """One turn for each choice. The first alone is remembered; the others have seeds of their own."""
    number = asked.num_choices
    if number > door.config.max_choices:
        raise Refusal(400, f"n: {number} choices are more than {door.config.max_choices}; ask for fewer", param="n")
    if number > 1 and isinstance(voice, CouncilVoice):
        raise Refusal(
            400,
            "n: a council has one answer; ask for an expert by its name, or leave n out",
            code="unsupported",
            param="n",
        )
    first = turn_of(asked, user=caller.user, max_new_tokens=door.config.max_new_tokens)
    refuse_long((message.content for message in first.messages), door.config.max_prompt_tokens, param="messages")
    return [first, *(replace(first, session=None, seed=_seed(first, place)) for place in range(1, number))]


def _seed(turn: Turn, place: int) -> int | None:
    return None if turn.seed is None else (turn.seed + place) % 2**63


@dataclass(frozen=True)
class _Answer:
    """What all chunks of an answer have in common."""

    asked: ChatRequest
    voice: Voice
    id: str
    created: int

    def completion(self, said: Sequence[Said]) -> dict[str, Any]:
        """The whole answer."""
        return {
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.voice.name,
            "choices": [self._choice(number, one) for number, one in enumerate(said)],
            "usage": usage_of(said),
            "system_fingerprint": self.voice.fingerprint,
            "interconnected_ai": dict(said[0].told),
        }

    def _choice(self, number: int, said: Said) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": said.text, "refusal": None}
        if said.call is not None:
            function = {"name": said.call, "arguments": said.arguments}
            message |= {"content": None, "tool_calls": [{"id": _call_id(), "type": "function", "function": function}]}
        logprobs = logprobs_of(said.chances) if self.asked.logprobs and said.call is None else None
        return {"index": number, "message": message, "logprobs": logprobs, "finish_reason": self.reason(said)}

    def reason(self, said: Said) -> str:
        """Why it ended; a call that was asked for by name is told as "stop", as OpenAI does."""
        if said.call is not None and said.ended == "stop" and self.asked.tool_choice in (None, "auto", "required"):
            return "tool_calls"
        return said.ended

    def chunk(
        self,
        number: int,
        delta: dict[str, Any],
        reason: str | None = None,
        chances: Sequence[TokenChance] = (),
        **more: Any,
    ) -> bytes:
        """One chunk as an event."""
        logprobs = logprobs_of(chances) if chances else None
        choice = {"index": number, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        return event({**self._head(), "choices": [choice], **more})

    def texts(self, number: int) -> Template:
        """The chunks of a choice that bring nothing but text."""
        choice = {"index": number, "delta": {"content": TEXT}, "logprobs": None, "finish_reason": None}
        return Template({**self._head(), "choices": [choice]})

    def last(self, said: Sequence[Said]) -> bytes:
        """What the answer took, in a chunk without choices."""
        return event({**self._head(), "choices": [], "usage": usage_of(said)})

    def _head(self) -> dict[str, Any]:
        head: dict[str, Any] = {
            "id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.voice.name,
            "system_fingerprint": self.voice.fingerprint,
        }  # fmt: skip
        return {**head, "usage": None} if self.includes_usage else head

    @property
    def includes_usage(self) -> bool:
        """Whether the stream ends with what it took."""
        return bool(self.asked.stream_options and self.asked.stream_options.include_usage)


async def _chunks(
    answer: _Answer, reading: Reading[Delta, Said], door: Door, caller: Caller, request: Request
) -> AsyncIterator[bytes]:
    number_of_choices = answer.asked.num_choices
    told = [0] * number_of_choices  # tokens whose log probabilities were sent
    texts = [answer.texts(number) for number in range(number_of_choices)]
    for number in range(number_of_choices):
        yield answer.chunk(number, {"role": "assistant", "content": ""})
    async for number, delta in reading:
        if delta.call is not None:
            function = {"name": delta.call, "arguments": ""}
            call = {"index": 0, "id": _call_id(), "type": "function", "function": function}
            yield answer.chunk(number, {"tool_calls": [call]})
        elif delta.arguments:
            yield answer.chunk(number, {"tool_calls": [{"index": 0, "function": {"arguments": delta.arguments}}]})
        elif delta.chances:
            told[number] += len(delta.chances)
            yield answer.chunk(number, {"content": delta.text}, chances=delta.chances)
        elif delta.text:
            yield texts[number].event(delta.text)
    said = reading.wholes
    ending = []
    for number, one in enumerate(said):
        more = {"interconnected_ai": dict(one.told)} if number == 0 else {}
        ending.append(answer.chunk(number, {}, answer.reason(one), one.chances[told[number] :], **more))
    account(request, door, caller, answer.voice, said)
    if answer.includes_usage:
        ending.append(answer.last(said))
    yield b"".join((*ending, DONE))


def logprobs_of(chances: Sequence[TokenChance]) -> dict[str, Any]:
    """Tokens with their log probabilities, as OpenAI tells them; a token that is part of a letter shows in its bytes."""
    return {
        "content": [
            {**_chance(one.token, one.logprob), "top_logprobs": [_chance(token, value) for token, value in one.top]}
            for one in chances
        ],
        "refusal": None,
    }


def _chance(token: bytes, logprob: float) -> dict[str, Any]:
    return {"token": token.decode("utf-8", "replace"), "logprob": logprob, "bytes": list(token)}


def _call_id() -> str:
    return f"call_{secrets.token_hex(12)}"
