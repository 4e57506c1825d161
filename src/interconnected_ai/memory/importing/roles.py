"""Who speaks, in the dialects of other tools."""

from interconnected_ai.memory.speakers import part_of


def role_of(name: str) -> str:
    """`user` or `assistant` for a dialect's word for either; any other name is a tool's or a speaker's and stays."""
    part = part_of(name.removesuffix("Chunk").removesuffix("Message"))
    return part if part in ("user", "assistant") else name
