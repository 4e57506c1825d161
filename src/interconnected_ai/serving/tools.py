"""Functions that a model may call: how it is told of them, the form its call is held to, and the call as it comes."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from interconnected_ai.serving.turns import Delta, Tool
from interconnected_ai.types import ChatMessage

BEGINNING, END = "<tool_call>", "</tool_call>"
_NO_PARAMETERS: Mapping[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
_CALL = re.compile(r'\s*\{\s*"name"\s*:\s*"([^"\\]+)"\s*,\s*"arguments"\s*:\s*')
_LONGEST_BEGINNING = 400  # letters until a call says its name


def described(messages: Sequence[ChatMessage], tools: Sequence[Tool], choice: str) -> tuple[ChatMessage, ...]:
    """The conversation with what the model is told of the functions, in the system message (the words of Hermes and Qwen)."""
    lines = [json.dumps({"type": "function", "function": _plain(tool)}, ensure_ascii=False) for tool in tools]
    told = "\n".join(
        [
            "You may call one of these functions to help with what the user asks:",
            "<tools>", *lines, "</tools>",
            f'To call one, answer with nothing but {BEGINNING}{{"name": …, "arguments": {{…}}}}{END}.'
            if choice == "auto" else "Answer with the call alone, as JSON.",
        ]
    )  # fmt: skip
    first = messages[0] if messages and messages[0].role == "system" else None
    if first is None:
        return (ChatMessage("system", told), *messages)
    return (ChatMessage("system", f"{first.content}\n\n{told}"), *messages[1:])


def written_call(name: str, arguments: str) -> str:
    """A call as the model is shown its own of the turns before."""
    return f'{BEGINNING}{{"name": {json.dumps(name)}, "arguments": {arguments or "{}"}}}{END}'


def schema_of(tools: Sequence[Tool], choice: str) -> dict[str, Any]:
    """What a call is held to: the arguments alone of a function that is named, else one of the functions with its own."""
    named = next((tool for tool in tools if tool.name == choice), None)
    if named is not None:
        return dict(named.parameters or _NO_PARAMETERS)
    calls = [_call(tool, f"#/anyOf/{number}" if len(tools) > 1 else "#") for number, tool in enumerate(tools)]
    return calls[0] if len(calls) == 1 else {"anyOf": calls}


def _call(tool: Tool, at: str) -> dict[str, Any]:
    parameters = _moved(dict(tool.parameters or _NO_PARAMETERS), f"{at}/properties/arguments")
    return {
        "type": "object",
        "properties": {"name": {"const": tool.name}, "arguments": parameters},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _moved(schema: Any, to: str) -> Any:
    """A schema whose references to itself still lead there from within another."""
    if isinstance(schema, list):
        return [_moved(part, to) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: to + part[1:]
        if key == "$ref" and isinstance(part, str) and part.startswith("#")
        else _moved(part, to)
        for key, part in schema.items()
    }  # fmt: skip


def _plain(tool: Tool) -> dict[str, Any]:
    return {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters or _NO_PARAMETERS),
    }


class CallFeed:
    """JSON of a call in, its name and arguments out, as they come. name: where it is known, and the text is the arguments."""

    def __init__(self, name: str | None = None) -> None:
        self.name = name
        self.arguments = ""
        self._is_wrapped = name is None
        self._has_told = False
        self._waiting = ""

    def add(self, text: str) -> list[Delta]:
        """What this text brings to light."""
        found: list[Delta] = []
        if self.name is None:
            self._waiting += text
            match = _CALL.match(self._waiting)
            if match is None:
                return []
            self.name, text = match.group(1), self._waiting[match.end() :]
            self._waiting = ""
        if not self._has_told:
            self._has_told = True
            found.append(Delta(call=self.name))
        if shown := self._shown(text):
            self.arguments += shown
            found.append(Delta(arguments=shown))
        return found

    def _shown(self, text: str) -> str:
        """The arguments in it; the brace that ends the call around them waits."""
        if not self._is_wrapped:
            return text
        unshown = self._waiting + text
        kept = unshown.rstrip().removesuffix("}")
        if len(unshown.rstrip()) == len(kept):  # no brace at the end
            kept = unshown.rstrip()
        self._waiting = unshown[len(kept) :]
        return kept

    def finish(self, *, is_whole: bool) -> list[Delta]:
        """What waited; of a call that came to its end the last brace was not the arguments'."""
        found: list[Delta] = []
        rest, self._waiting = self._waiting, ""
        if self.name is None:
            return found
        if not self._has_told:
            self._has_told = True
            found.append(Delta(call=self.name))
        if rest.strip() and not is_whole:
            self.arguments += rest
            found.append(Delta(arguments=rest))
        return found


class Watch:
    """Whether a text that begins to come is a call: `text` is what may be shown, `is_call` says it is one."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._names = {tool.name for tool in tools}
        self._waiting: str | None = ""
        self.is_call = False

    def add(self, text: str) -> str:
        """What of it may be shown."""
        if self._waiting is None:
            return text
        self._waiting += text
        begun = self._waiting.lstrip()
        if begun.startswith(BEGINNING) or ((found := _CALL.match(begun)) and found.group(1) in self._names):
            self.is_call = True
            return ""
        if BEGINNING.startswith(begun) or (begun.startswith("{") and self._may_name(begun)):
            return ""
        return self._all()

    def _may_name(self, begun: str) -> bool:
        """Whether JSON that has begun may still be a call."""
        squeezed = re.sub(r"\s", "", begun)
        beginning = '{"name":"'
        return len(begun) < _LONGEST_BEGINNING and (
            beginning.startswith(squeezed) or (squeezed.startswith(beginning) and _CALL.match(begun) is None)
        )

    def finish(self) -> str:
        """What waited in vain."""
        return "" if self._waiting is None or self.is_call else self._all()

    def _all(self) -> str:
        shown, self._waiting = self._waiting or "", None
        return shown
