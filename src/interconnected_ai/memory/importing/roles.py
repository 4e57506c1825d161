"""Who speaks, in the dialects of other tools."""

from typing import Any

from interconnected_ai.memory.speakers import part_of
from interconnected_ai.text import is_blank


def role_of(name: str) -> str:
    """`user` or `assistant` for a dialect's word for either; any other name is a tool's or a speaker's and stays."""
    part = part_of(name.removesuffix("Chunk").removesuffix("Message"))
    return part if part in ("user", "assistant") else name


def first_seen(*names: Any) -> str | None:
    """The first of the names that is text of which something can be seen: people call themselves U+3164."""
    return next((name for name in names if isinstance(name, str) and not is_blank(name)), None)
