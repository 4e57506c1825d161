"""`POST /v1/messages`: an answer as one message, or as events while it is made; and `/v1/messages/count_tokens`."""

import json
import secrets
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from interconnected_ai.serving.accounts import account
from interconnected_ai.serving.anthropic.asked import Conversation, MessagesRequest, read, turn_of
from interconnected_ai.serving.anthropic.wording import BEGINNING, broken, reason_of, told, usage_of
from interconnected_ai.serving.bounds import refuse_long
from interconnected_ai.serving.door import AtTheDoor, Caller, Chatter, Door, entry_of, errors
from interconnected_ai.serving.events import TEXT, Template, streamed, whole
from interconnected_ai.serving.lanes import Reading
from interconnected_ai.serving.turns import Delta, Said, Turn
from interconnected_ai.serving.voices import Voice

router = APIRouter(tags=["anthropic"])
_DELTA = "content_block_delta"
_TEXTS = Template({"type": _DELTA, "index": 0, "delta": {"type": "text_delta", "text": TEXT}}, name=_DELTA)


@router.post(BEGINNING, responses=errors(408), response_model=None)
async def messages(asked: MessagesRequest, request: Request, door: AtTheDoor, caller: Chatter) -> Response:
    """An answer to a conversation, by an expert or by the council."""
    voice = door.hall.voice(asked.model)
    turn = turn_of(asked, user=caller.user, max_new_tokens=door.config.max_new_tokens)
    refuse_long((message.content for message in turn.messages), door.config.max_prompt_tokens, param="messages")
    entry = entry_of(request)
    entry.model = voice.name
    if door.config.log_prompts:
        entry.prompt = [message.content for message in turn.messages]
    reading = door.answers.read(partial(voice.talk, turn))
    name = f"msg_{secrets.token_hex(12)}"
    if asked.stream:
        events = _events(name, voice, turn, reading, door, caller, request)
        return await streamed(request, door, reading, events, told=broken)
    said = await whole(request, door, reading)
    account(request, door, caller, voice, said)
    return JSONResponse(_message(name, voice, turn, said[0]))


@router.post(f"{BEGINNING}/count_tokens", responses=errors(408))
async def count_tokens(asked: Conversation, request: Request, door: AtTheDoor, caller: Chatter) -> dict[str, int]:
    """How many tokens a model reads of a conversation: exact for an expert of this machine, else an estimate."""
    voice = door.hall.voice(asked.model)
    conversation, tools, choice = read(asked)
    turn = Turn(conversation, tools=tools, choice=choice)
    refuse_long((message.content for message in turn.messages), door.config.max_prompt_tokens, param="messages")
    entry_of(request).model = voice.name
    return {"input_tokens": await door.errands.run(partial(voice.count, turn))}


def _message(name: str, voice: Voice, turn: Turn, said: Said) -> dict[str, Any]:
    content: dict[str, Any] = {"type": "text", "text": said.text}
    if said.call is not None:
        content = {"type": "tool_use", "id": _call_id(), "name": said.call, "input": _parsed(said.arguments)}
    return {
        **_head(name, voice),
        "content": [content],
        "stop_reason": reason_of(said, turn),
        "stop_sequence": said.stop,
        "usage": usage_of(said),
        "interconnected_ai": dict(said.told),
    }


def _head(name: str, voice: Voice) -> dict[str, Any]:
    return {"id": name, "type": "message", "role": "assistant", "model": voice.name}


def _parsed(arguments: str) -> Any:
    """A call's arguments; those of a call that was cut short are no JSON, and are told as they stand."""
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return {"incomplete": arguments}


async def _events(
    name: str, voice: Voice, turn: Turn, reading: Reading[Delta, Said], door: Door, caller: Caller, request: Request
) -> AsyncIterator[bytes]:
    """One block: a text, or a call in its place. What the answer took is known at its end alone, and told there."""
    nothing = {"input_tokens": 0, "output_tokens": 0}
    head: dict[str, Any] = {"content": [], "stop_reason": None, "stop_sequence": None, "usage": nothing}
    yield told("message_start", message={**_head(name, voice), **head})
    has_begun = False
    async for _, delta in reading:
        if delta.call is not None:
            call = {"type": "tool_use", "id": _call_id(), "name": delta.call, "input": {}}
            has_begun = True
            yield told("content_block_start", index=0, content_block=call)
        elif delta.arguments:
            yield _arguments(delta.arguments)
        elif delta.text:
            if not has_begun:
                has_begun = True
                yield _text_begins()
            yield _TEXTS.event(delta.text)
    (said,) = reading.wholes
    account(request, door, caller, voice, [said])
    ending = {"stop_reason": reason_of(said, turn), "stop_sequence": said.stop}
    yield b"".join((
        b"" if has_begun else _text_begins(), told("content_block_stop", index=0),
        told("message_delta", delta=ending, usage=usage_of(said), interconnected_ai=dict(said.told)),
        told("message_stop"),
    ))  # fmt: skip


def _text_begins() -> bytes:
    return told("content_block_start", index=0, content_block={"type": "text", "text": ""})


def _arguments(piece: str) -> bytes:
    return told(_DELTA, index=0, delta={"type": "input_json_delta", "partial_json": piece})


def _call_id() -> str:
    return f"toolu_{secrets.token_hex(12)}"
