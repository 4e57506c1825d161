"""Who speaks, in the dialects of other tools."""

_ROLES = {
    "human": "user", "me": "user", "prompter": "user",
    "ai": "assistant", "model": "assistant", "bot": "assistant", "gpt": "assistant", "chatgpt": "assistant",
    "claude": "assistant", "gemini": "assistant", "bard": "assistant", "aimessagechunk": "assistant",
    "function_call": "assistant", "observation": "tool", "function_response": "tool", "tool_response": "tool",
}  # fmt: skip


def role_of(name: str) -> str:
    """The role that a dialect's word stands for; any other name is a speaker's and stays."""
    return _ROLES.get(name.strip().lower(), name)
