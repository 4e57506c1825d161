"""The response object: what is told of an answer before it is there, when it is, and when it is asked for again."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from interconnected_ai.serving.faults import Fault
from interconnected_ai.serving.openai.chat import logprobs_of
from interconnected_ai.serving.openai.responses.asked import LOGPROBS, ResponseRequest, TextFormat
from interconnected_ai.serving.openai.responses.items import Kept, said_item
from interconnected_ai.serving.turns import Said

_CODES = {429: "rate_limit_exceeded", 400: "invalid_prompt"}  # of those that OpenAI knows; every other is the server's


@dataclass(frozen=True)
class Answer:
    """What everything that is told of one answer has in common. number: what its ids end with."""

    asked: ResponseRequest
    model: str
    created: int
    number: str = field(default_factory=lambda: secrets.token_hex(24))

    @property
    def id(self) -> str:
        """The response's."""
        return f"resp_{self.number}"

    @property
    def message_id(self) -> str:
        """Of its one item, where that is a message."""
        return f"msg_{self.number}"

    @property
    def call_id(self) -> str:
        """Of its one item, where that is a call."""
        return f"fc_{self.number}"

    def begun(self) -> dict[str, Any]:
        """Before anything of it is there."""
        return {**self._head("in_progress"), "output": []}

    def failed(self, fault: Fault) -> dict[str, Any]:
        """When it could not be made to its end."""
        error = {"code": _CODES.get(fault.status, "server_error"), "message": fault.message}
        return {**self._head("failed"), "error": error, "output": []}

    def whole(self, said: Said, *, is_kept: bool, completed: int) -> dict[str, Any]:
        """When it is there. is_kept: whether it may be asked for again."""
        is_cut = said.ended == "length"
        ending = {"incomplete_details": {"reason": "max_output_tokens"}} if is_cut else {"completed_at": completed}
        return {
            **self._head("incomplete" if is_cut else "completed"), **ending, "store": is_kept,
            "output": [self.output(said)], "usage": _usage(said), "interconnected_ai": dict(said.told),
        }  # fmt: skip

    def output(self, said: Said) -> Kept:
        """What was said: a message, or the call of a function."""
        status = "incomplete" if said.ended == "length" else "completed"
        if said.call is not None:
            return self.calling(said.call, said.arguments, status)
        return said_item(self.message_id, [said.text], status, self.logprobs(said))

    def calling(self, name: str, arguments: str, status: str) -> Kept:
        """The call of a function."""
        return {
            "type": "function_call", "id": self.call_id, "call_id": f"call_{self.number[:24]}", "name": name,
            "arguments": arguments, "status": status,
        }  # fmt: skip

    def logprobs(self, said: Said) -> Sequence[Any]:
        """Of all its tokens, where they were asked for."""
        listed: list[Any] = logprobs_of(said.chances)["content"] if LOGPROBS in (self.asked.include or ()) else []
        return listed

    def _head(self, status: str) -> dict[str, Any]:
        asked = self.asked
        head = {
            "id": self.id, "object": "response", "created_at": self.created, "completed_at": None, "status": status,
            "background": False, "error": None, "incomplete_details": None, "instructions": asked.instructions,
            "max_output_tokens": asked.max_output_tokens, "max_tool_calls": asked.max_tool_calls, "model": self.model,
            "parallel_tool_calls": asked.parallel_tool_calls is not False,
            "previous_response_id": asked.previous_response_id, "reasoning": {"effort": None, "summary": None},
            "safety_identifier": asked.safety_identifier, "prompt_cache_key": asked.prompt_cache_key,
            "service_tier": "default", "store": asked.is_kept, "temperature": asked.temperature,
            "text": {"format": _format(asked), "verbosity": "medium"}, "tool_choice": _choice(asked),
            "tools": [{**tool.model_dump(), "type": "function"} for tool in asked.tools or ()],
            "top_logprobs": asked.top_logprobs or 0, "top_p": asked.top_p, "truncation": asked.truncation or "disabled",
            "metadata": asked.metadata or {},
        }  # fmt: skip
        return head if asked.user is None else {**head, "user": asked.user}


def _format(asked: ResponseRequest) -> dict[str, Any]:
    form = (None if asked.text is None else asked.text.format) or TextFormat(type="text")
    if form.type != "json_schema":
        return {"type": form.type}
    return {
        "type": form.type, "name": form.name or "answer", "description": form.description or "",
        "schema": form.schema_, "strict": form.strict,
    }  # fmt: skip


def _choice(asked: ResponseRequest) -> Any:
    choice = asked.tool_choice or "auto"
    return choice if isinstance(choice, str) else choice.model_dump(exclude_none=True)


def _usage(said: Said) -> dict[str, Any]:
    """What an answer took, in this dialect's words."""
    return {
        "input_tokens": said.num_prompt_tokens,
        "input_tokens_details": {"cached_tokens": said.num_cached_tokens, "cache_write_tokens": 0},
        "output_tokens": said.num_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": said.num_prompt_tokens + said.num_tokens,
    }
