"""What every dialect asks and is answered: a `Turn` of a conversation, `Delta`s of its answer, and what was `Said`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from interconnected_ai.types import ChatMessage

Ended = Literal["stop", "length"]


@dataclass(frozen=True)
class Tool:
    """A function that a model may call. parameters: a JSON schema of its arguments."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Turn:
    """One turn of a conversation, whatever dialect it was asked in.

    messages: the whole conversation, the last of them what is to be answered: of the roles system, user, assistant, and tool
    for what a function gave. settings: fields of `GenerationConfig`; fields: what the request calls these, where it is
    something else.
    user: whose memory it is. session: the conversation's name, for memory and for what need not be read again. width: how many
    experts deliberate, of a council. role: as a role token, for its router.
    tools: what may be called. choice: "none", "auto" (the model decides), "required", or the name of one that has to be called.
    drops_oldest: where an expert's window does not hold it all, the oldest turns go; otherwise that is refused. A council
    always lets them go.
    """

    messages: tuple[ChatMessage, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    user: str = "default"
    session: str | None = None
    width: int | None = None
    role: str | None = None
    tools: tuple[Tool, ...] = ()
    choice: str = "none"
    drops_oldest: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TokenChance:
    """A token of an answer: its text and bytes, the natural logarithm of its probability, and the likeliest in its place."""

    token: bytes
    logprob: float
    top: tuple[tuple[bytes, float], ...] = ()


@dataclass(frozen=True)
class Delta:
    """What comes of an answer: text, or a call's name and then its arguments, piece by piece."""

    text: str = ""
    call: str | None = None
    arguments: str = ""
    chances: tuple[TokenChance, ...] = ()


@dataclass(frozen=True)
class Said:
    """A whole answer.

    stop: the stop string that ended it, where one did and it is known which. call, arguments: of the function that the model
    calls in the place of a text; arguments are JSON unless the answer was cut short. cached: tokens of the prompt that did not
    have to be read again. told: how it came about, in plain values.
    """

    text: str
    ended: Ended
    num_prompt_tokens: int
    num_tokens: int
    num_cached_tokens: int = 0
    stop: str | None = None
    call: str | None = None
    arguments: str = ""
    chances: tuple[TokenChance, ...] = ()
    told: Mapping[str, Any] = field(default_factory=dict)


def session_of(messages: tuple[ChatMessage, ...]) -> str:
    """A name that a conversation keeps from turn to turn, where its client gives none: what it began with."""
    beginning: list[tuple[str, str]] = []
    for message in messages:
        beginning.append((message.role, message.content))
        if message.role == "user":
            break
    digest = hashlib.sha256(json.dumps(beginning).encode()).hexdigest()
    return f"chat-{digest[:24]}"
