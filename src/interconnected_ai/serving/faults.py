"""What an error is to a client: a status, and OpenAI's envelope around a kind, a message and, where it is known, a field."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from interconnected_ai.errors import (
    AdapterError,
    BusyError,
    ClosedError,
    ConfigError,
    DataError,
    EngineError,
    FullWindowError,
    InterconnectedAIError,
    MissingExtraError,
    PoolError,
    PromptError,
    QueueFullError,
    StorageError,
    UnknownNameError,
    nearest_first,
)

RETRY_SECONDS = 2  # where nobody can tell when there will be room
_LONGEST_SHOWN = 500
# Of where a mistake stands: where it came from, and the names of the kinds that a field may be one of.
_NO_FIELD = re.compile(
    r"body|query|path|header|str|int|float|bool|none|(?:list|dict|literal|constrained|function)[-\[].*|[A-Z]\w*"
)
_PLACES = re.compile(r"(?<![\w/:.])/(?:[^\s/:;,'\"]+/)+")

# status → the kind, as OpenAI's clients know it
_KINDS = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
    405: "invalid_request_error", 408: "timeout_error", 413: "invalid_request_error", 415: "invalid_request_error",
    429: "rate_limit_error", 500: "server_error", 503: "service_unavailable_error",
}  # fmt: skip


class Refusal(HTTPException):
    """A request that is not answered, and why. It may be raised anywhere below the gate.

    code: a word for programs. param: the field that is to blame. retry_seconds: when to come again.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_seconds: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        told = dict(headers or {})
        if retry_seconds is not None:
            told["Retry-After"] = str(max(1, int(retry_seconds + 0.999)))
        super().__init__(status, message, told or None)
        self.code, self.param = code, param

    def __str__(self) -> str:
        return str(self.detail)


@dataclass(frozen=True)
class Fault:
    """An error as a client is told of it."""

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """OpenAI's `type`."""
        return _KINDS.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")

    def envelope(self) -> dict[str, Any]:
        """The body of the answer, and of the event that ends a stream."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}

    def response(self, envelope: "Envelope | None" = None) -> JSONResponse:
        """The answer; envelope: another dialect's."""
        body = self.envelope() if envelope is None else envelope(self)
        return JSONResponse(body, self.status, dict(self.headers))


Envelope = Callable[[Fault], dict[str, Any]]


def fault_of(error: BaseException) -> Fault:
    """The fault that an error is. What nobody foresaw is a 500 that tells nothing of the inside."""
    if isinstance(error, Refusal):
        return Fault(error.status_code, str(error.detail), error.code, error.param, error.headers or {})
    if isinstance(error, HTTPException):
        return _of_http(error)
    if isinstance(error, RequestValidationError):
        return _of_validation(error)
    if isinstance(error, InterconnectedAIError):
        return _of_ours(error)
    return Fault(
        500, "internal error: a fault of the server, whose log says more under this request's id", "internal_error"
    )


def _of_http(error: HTTPException) -> Fault:
    headers = error.headers or {}
    if error.status_code == HTTPStatus.NOT_FOUND:
        message = (
            "nothing is served at this path; GET /v1/models is a beginning, and a base_url for it ends in /v1, once"
        )
        return Fault(404, message, "not_found", None, headers)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = headers.get("Allow", "another method")
        return Fault(405, f"this path does not take this method; use {allowed}", "method_not_allowed", None, headers)
    return Fault(error.status_code, str(error.detail), None, None, headers)


def wrong_kind(kind: str | None) -> Fault:
    """A body that is read as JSON came as something else."""
    came = "without a Content-Type" if kind is None else f"as {_short(kind)!r}"
    return Fault(415, f"the body came {came}; send JSON with Content-Type: application/json", "unsupported_media_type")


def _of_validation(error: RequestValidationError) -> Fault:
    """The mistake that lies deepest, as OpenAI tells it: a message and the field. Where a field may be one of several kinds,
    there is a mistake for each, and what was meant is the kind that was followed furthest."""
    mistake = max(error.errors(), key=lambda each: len(each["loc"]))
    where = [part for part in mistake["loc"] if isinstance(part, int) or not _NO_FIELD.fullmatch(part)]
    param = ".".join(map(str, where)) or None
    if mistake["type"] == "json_invalid":
        reason = mistake.get("ctx", {}).get("error", "not JSON")
        return Fault(400, f"the body is no JSON: {reason}", "invalid_json")
    if mistake["type"] == "extra_forbidden":
        return Fault(
            400, f"unknown field {_short(param)!r}; see the documentation of the server", "unknown_field", param
        )
    if mistake["type"] == "missing":
        return Fault(400, f"the field {_short(param or 'body')!r} is missing", "missing_field", param)
    if not where:
        return Fault(400, f"the body cannot be read: {_short(mistake['msg'])}", "invalid_body")
    return Fault(400, f"{_short(param)}: {_short(mistake['msg'])}", "invalid_value", param)


def blamed(error: InterconnectedAIError, field_of: Callable[[str], str] = str) -> Refusal:
    """What an error with `blames` is to the client whose request is wrong. field_of: setting → what the request calls it."""
    told = {field_of(blame.setting): without_places(blame.said) for blame in error.blames}
    message = "; ".join(f"{field}: {said}" for field, said in told.items())
    code = "unsupported" if isinstance(error, EngineError) else "invalid_value"
    return Refusal(400, message, code=code, param=next(iter(told)))


def words_of(error: Exception) -> str:
    """What an error is to the client whom a job of his tells it later: the request's own fields, no folder of this machine."""
    if isinstance(error, InterconnectedAIError) and error.blames:
        return str(blamed(error).detail)
    return without_places(str(error))


def _of_ours(error: InterconnectedAIError) -> Fault:
    if error.blames:
        return fault_of(blamed(error))
    message = without_places(str(error))
    later = {"Retry-After": str(RETRY_SECONDS)}
    match error:
        case FullWindowError():
            return Fault(400, message, "context_length_exceeded", "messages")
        case UnknownNameError():
            return unknown_name(error)
        case PromptError() | ConfigError() | DataError():
            return Fault(400, message, "invalid_value")
        case MissingExtraError():
            return Fault(400, message, "unsupported")
        case QueueFullError():
            return Fault(503, f"{error.told}; ask again later", "busy", None, later)
        case BusyError() | ClosedError() | PoolError():
            return Fault(503, message, "busy", None, later)
        case EngineError() | StorageError() | AdapterError():
            return Fault(503, f"it cannot answer now: {message}", "unavailable", None, later)
    return Fault(503, message, "unavailable", None, later)


def unknown_name(error: UnknownNameError) -> Fault:
    """A name nobody knows: 404, with the nearest known ones."""
    nearest = ", ".join(nearest_first(str(error.name), error.known)[:5]) or "there are none"
    code = "model_not_found" if error.kind == "model" else "not_found"
    message = f"unknown {error.kind} {_short(str(error.name))!r}; known, nearest first: {nearest}"
    return Fault(404, message, code, "model" if error.kind == "model" else None)


def without_places(text: str) -> str:
    """The text with every path on this machine cut to its last name: where things stand is nothing for clients."""
    return _PLACES.sub("…/", text)


def _short(text: str | None) -> str:
    """What a client sent, so far that it can be recognised, and never half a character."""
    shown = (text or "").encode("utf-8", "backslashreplace").decode()
    return shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}…"
