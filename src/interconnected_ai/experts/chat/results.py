"""What functions gave, as models read it whose templates write no messages of tools: as a turn of the user's, with marks."""

from collections.abc import Sequence
from itertools import groupby

from interconnected_ai.types import ChatMessage

_SIDES = {"user": "user", "tool": "user"}


def written_result(content: str) -> str:
    """One result, in the words of Hermes and Qwen."""
    return f"<tool_response>\n{content}\n</tool_response>"


def results_as_turns(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """The messages without any of the role tool: results in a row, and the user's words beside them, are one turn."""
    turns: list[ChatMessage] = []
    for side, run in groupby(messages, key=lambda message: _SIDES.get(message.role)):
        together = list(run)
        if side is None or all(message.role == "user" for message in together):
            turns += together
        else:
            turns.append(ChatMessage(side, "\n".join(map(_words, together))))
    return turns


def _words(message: ChatMessage) -> str:
    return written_result(message.content) if message.role == "tool" else message.content
