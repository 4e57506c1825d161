"""A list of turns, in the words of OpenAI (role, content) or ShareGPT (from, value), becomes messages; faults name a field."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interconnected_ai.data.chats.examples import ANSWERER
from interconnected_ai.data.streams.rows import writable
from interconnected_ai.errors import DataError, nearest_first
from interconnected_ai.types import ChatMessage

_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "ipython": "tool",
}
_CALLS = ("tool_calls", "function_call")
_LEARNT = ("weight", "train", "loss")  # OpenAI's, Axolotl's and ms-swift's word for "learn this answer"
_UNREAD = ("reasoning_content", "reasoning", "thinking", "name", "audio", "images")
_TEXT_PARTS = ("text", "input_text", "output_text")


@dataclass(frozen=True)
class Turns:
    """Messages, the places of answers that are not to be learnt, and keys with content that is passed over."""

    messages: tuple[ChatMessage, ...]
    unlearnt: frozenset[int] = frozenset()
    unread: frozenset[str] = frozenset()


def is_turn(value: Any) -> bool:
    """Whether a value looks like one turn: who says it, beside what is said."""
    return isinstance(value, dict) and ("role" in value or "from" in value)


def is_turns(value: Any) -> bool:
    """Whether a value looks like a list of turns."""
    return isinstance(value, list) and bool(value) and all(map(is_turn, value))


def turns_of(value: Any, field: str) -> Turns:
    """The turns of a list. field: what it is called in the row. Raises `DataError` that names the faulty field."""
    if not isinstance(value, list):
        raise DataError(
            f'{field} is {kind_of(value)}; needs a list of turns such as {{"role": "user", "content": "…"}}'
        )
    if not value:
        raise DataError(f"{field} is an empty list; give it a question and an answer, or take the row out")
    messages: list[ChatMessage] = []
    unlearnt, unread = set[int](), set[str]()
    for place, turn in enumerate(value):
        name = f"{field}[{place}]"
        if not isinstance(turn, dict):
            raise DataError(f'{name} is {kind_of(turn)}; needs a turn such as {{"role": "user", "content": "…"}}')
        message = _message(turn, name)
        if message.role == "system" and not message.content.strip():
            continue
        if not _is_learnt(turn, message.role, name):
            unlearnt.add(len(messages))
        unread.update(key for key in _UNREAD if turn.get(key))
        messages.append(message)
    return Turns(tuple(messages), frozenset(unlearnt), frozenset(unread))


def _message(turn: Mapping[str, Any], name: str) -> ChatMessage:
    speaker = _filled(turn, ("role", "from"))
    if speaker is None:
        raise DataError(f"{name} has the keys {_listed(turn)} and says nowhere who speaks; add a role")
    role = _role(turn[speaker], f"{name}.{speaker}")
    if called := next((key for key in _CALLS if turn.get(key)), None):
        raise DataError(
            f"{name}.{called} calls a tool{_tool_named(turn[called])}, which is not text that a template could be sure to "
            "write; write the call into the content as the model shall say it, or take the row out"
        )
    said = _filled(turn, ("content", "value", "text"))
    if said is None:
        raise DataError(f"{name} has the keys {_listed(turn)} and no content; add what is said")
    content = text_of_content(turn[said], f"{name}.{said}")
    if not content.strip() and role != "system":
        raise DataError(
            f"{name}.{said} is empty, a turn of {turn[speaker]!r} without words; fill it in, or take the row out"
        )
    return ChatMessage(role, content)


def _filled(turn: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    """The first key that holds something, or that is there: a table has every key in every row, null where it is not meant."""
    there = [key for key in keys if key in turn]
    return next((key for key in there if turn[key] is not None), there[0] if there else None)


def _role(value: Any, field: str) -> str:
    if isinstance(value, str) and (role := _ROLES.get(value.strip().lower())):
        return role
    if not isinstance(value, str):
        raise DataError(f"{field} is {kind_of(value)}; needs who speaks: {', '.join(_ROLES)}")
    known = ", ".join(map(repr, nearest_first(value, _ROLES)))
    raise DataError(
        f"{field} is {value!r}, a role that is not known; name it as one of (nearest first) {known}, or take the row out"
    )


def _tool_named(called: Any) -> str:
    """The first called function's name, where it has one."""
    first = called[0] if isinstance(called, list) and called else called
    function = first.get("function", first) if isinstance(first, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return f" ({name})" if isinstance(name, str) else ""


def text_of_content(value: Any, field: str) -> str:
    """The text of a content: itself, or its parts of text one after another. Halves of characters become U+FFFD."""
    if isinstance(value, str):
        return writable(value)
    if value is None:
        raise DataError(f"{field} is null; write what is said there, or take the row out")
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        raise DataError(f"{field} is {kind_of(value)}; needs a text")
    return "".join(_text_of_part(part, f"{field}[{place}]") for place, part in enumerate(value))


def _text_of_part(part: Any, field: str) -> str:
    if isinstance(part, str):
        return writable(part)
    if not isinstance(part, dict):
        raise DataError(f"{field} is {kind_of(part)}; needs a text")
    kind = part.get("type", "text")
    if kind not in _TEXT_PARTS or not isinstance(part.get("text"), str):
        raise DataError(
            f"{field} is a part of type {kind!r}, and text alone is learnt; put it in words, or take the row out"
        )
    return writable(part["text"])


def _is_learnt(turn: Mapping[str, Any], role: str, name: str) -> bool:
    key = next((key for key in _LEARNT if turn.get(key) is not None), None)
    if key is None:
        return True
    if turn[key] not in (0, 1):
        raise DataError(
            f"{name}.{key} is {turn[key]!r}; an answer is learnt (1) or only read (0): write one of the two"
        )
    return role != ANSWERER or bool(turn[key])


def kind_of(value: Any) -> str:
    """What a value of JSON is, in words."""
    kinds = {list: "a list", dict: "an object", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number" if isinstance(value, int | float) else f"a {type(value).__name__}")


def _listed(turn: Mapping[str, Any]) -> str:
    keys: Sequence[str] = [repr(key) for key in turn]
    return ", ".join(keys) or "(none)"
