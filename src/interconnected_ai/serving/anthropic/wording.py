"""How Anthropic's dialect says things: errors, why an answer ended, what it took, and events, whose names stand twice."""

from typing import Any, Literal

from interconnected_ai.serving.events import event
from interconnected_ai.serving.faults import Fault
from interconnected_ai.serving.turns import Said, Turn

BEGINNING = "/v1/messages"
Reason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]

# status → the kind, as their clients know it
_KINDS = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
    405: "invalid_request_error", 408: "timeout_error", 413: "request_too_large", 415: "invalid_request_error",
    429: "rate_limit_error", 500: "api_error", 503: "overloaded_error",
}  # fmt: skip


def envelope(fault: Fault) -> dict[str, Any]:
    """The body of an error."""
    kind = _KINDS.get(fault.status, "invalid_request_error" if fault.status < 500 else "api_error")
    return {
        "type": "error",
        "error": {"type": kind, "message": fault.message, "param": fault.param, "code": fault.code},
    }


def broken(fault: Fault) -> bytes:
    """The event of a stream that an error ends."""
    return event(envelope(fault), name="error")


def told(kind: str, **content: Any) -> bytes:
    """One event of a stream."""
    return event({"type": kind, **content}, name=kind)


def reason_of(said: Said, turn: Turn) -> Reason:
    """Why an answer ended."""
    if said.ended == "length":
        return "max_tokens"
    if said.call is not None:
        return "tool_use"
    return "stop_sequence" if said.stop is not None and said.stop in turn.settings.get("stop", ()) else "end_turn"


def usage_of(said: Said) -> dict[str, int]:
    """What an answer took; what a cache supplied is counted apart, and is not input again."""
    return {
        "input_tokens": said.num_prompt_tokens - said.num_cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": said.num_cached_tokens,
        "output_tokens": said.num_tokens,
    }
