"""`Door`: what every route of a server shares, and who is asking. Routes find both by FastAPI's `Depends`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

from fastapi import Depends, Request
from starlette.datastructures import Headers

from interconnected_ai.config import ServingConfig
from interconnected_ai.serving.counters import Counters
from interconnected_ai.serving.faults import Envelope, Refusal
from interconnected_ai.serving.hall import Hall
from interconnected_ai.serving.journal import Entry
from interconnected_ai.serving.keys import SCOPES, ApiKey, KeyFile
from interconnected_ai.serving.lanes import ASKING, Lane
from interconnected_ai.serving.quotas import Quotas

USER = "default"  # whose memory it is where no key says
HEADERS = "headers"  # in a request's state: what the answer tells of the key's limits
HELD = "held"  # in a request's state: the key that has one answer more until it is out


@dataclass
class Door:
    """What the routes share.

    answers: the lane of everything that a model says; memories: that of the memory, which another process may be writing in;
    errands: that of everything else that is short. open_paths: that take a body from
    anybody, such as a login's. envelopes: of errors, by the beginning of the path, where they are not OpenAI's.
    """

    hall: Hall
    config: ServingConfig
    keys: KeyFile | None
    answers: Lane
    errands: Lane
    memories: Lane
    counters: Counters
    quotas: Quotas = field(default_factory=Quotas)
    open_paths: set[str] = field(default_factory=set)
    envelopes: dict[str, Envelope] = field(default_factory=dict)
    is_ending: bool = False

    @property
    def needs_key(self) -> bool:
        """Whether a request needs a key: on every address but this machine's own, and wherever there has been one."""
        return not self.config.is_loopback or (self.keys is not None and bool(self.keys.all()))

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """All of them."""
        return self.answers, self.errands, self.memories

    def envelope_of(self, path: str) -> Envelope | None:
        """How errors are told on this path; None is OpenAI's way."""
        return next((each for beginning, each in self.envelopes.items() if path.startswith(beginning)), None)

    def key_of(self, headers: Headers) -> ApiKey | None:
        """The key that a request came with; None where none is needed. Raises `Refusal`, 401."""
        if not self.needs_key:
            return None
        secret = _secret_in(headers)
        key = None if secret is None or self.keys is None else self.keys.find(secret)
        if key is None:
            what = "this server needs an API key" if secret is None else "the API key is not one of this server"
            raise Refusal(
                401, f"{what}; send it as Authorization: Bearer …", code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )  # fmt: skip
        return key


@dataclass(frozen=True)
class Caller:
    """Who asks. key: None where no key is needed, and then everything is allowed. user: whose memory it is."""

    user: str = USER
    key: ApiKey | None = None

    @property
    def owner(self) -> str | None:
        """Whose is what is kept for this caller: the id of the key; None where no key is needed."""
        return None if self.key is None else self.key.id

    @property
    def name(self) -> str | None:
        """As the log names it."""
        return None if self.key is None else self.key.name


def door_of(request: Request) -> Door:
    """The server that a request came to."""
    return cast("Door", request.app.state.door)


def entry_of(request: Request) -> Entry:
    """The request's line in the log, to which a route may add."""
    return cast("Entry", request.scope["state"]["entry"])


def needs(scope: str | None) -> Callable[..., Awaitable[Caller]]:
    """The dependency of a route that takes callers with this scope; None: with any key that is in force.

    Where the server has keys a request without one is refused with 401, without the scope with 403, and over the key's limits
    with 429.
    """
    assert scope is None or scope in SCOPES

    async def caller(request: Request) -> Caller:
        door = door_of(request)
        key = door.key_of(request.headers)
        if key is None:
            return Caller()
        entry_of(request).key = key.name
        if scope is not None and not key.may(scope):
            raise Refusal(
                403, f"the key {key.name!r} lacks the scope {scope!r}; it has {', '.join(key.scopes)}",
                code="missing_scope",
            )  # fmt: skip
        if request.method == "POST" and HELD not in request.scope["state"]:
            door.quotas.enter(key)
            request.scope["state"][HELD] = key  # given back by the gate, when the answer is out
        request.scope["state"][HEADERS] = door.quotas.take_request(key)
        ASKING.set(key.id)
        return Caller(key.user, key)

    caller.__dict__["scope"] = scope or "any"
    return caller


def _secret_in(headers: Headers) -> str | None:
    """The key that came along: as OpenAI's clients send it, or as Anthropic's do."""
    kind, _, secret = headers.get("authorization", "").strip().partition(" ")
    if kind.lower() == "bearer" and secret.strip():
        return secret.strip()
    if kind and not secret and kind.lower() != "bearer":
        return kind  # some clients leave the word out
    return headers.get("x-api-key")


async def _door(request: Request) -> Door:
    """As a dependency; what is not async FastAPI calls in a thread, which takes longer than the call."""
    return door_of(request)


AtTheDoor = Annotated[Door, Depends(_door)]
Chatter = Annotated[Caller, Depends(needs("chat"))]
classifier = needs("classify")
Classifier = Annotated[Caller, Depends(classifier)]
Rememberer = Annotated[Caller, Depends(needs("memory"))]
Admin = Annotated[Caller, Depends(needs("admin"))]
Anyone = Annotated[Caller, Depends(needs(None))]


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers beside 200 that a route documents: those of the door, and these."""
    from interconnected_ai.serving.schemas import ErrorAnswer

    return {
        status: {"model": ErrorAnswer} for status in sorted({400, 401, 403, 404, 413, 415, 429, 500, 503, *statuses})
    }
