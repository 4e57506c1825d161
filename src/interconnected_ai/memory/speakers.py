"""Who speaks in a message: the user, an assistant or a tool (in the words of the common dialects), or somebody with a name."""

import re
import unicodedata
from functools import lru_cache
from typing import Literal

# Of OpenAI, LangChain (human, ai), ShareGPT (gpt, observation), Gemini (model), Cohere (chatbot), Llama (ipython), and
# OpenAssistant (prompter).
_ASSISTANTS = frozenset({"assistant", "ai", "model", "bot", "chatbot", "gpt", "chatgpt"})
_AIDES = frozenset(
    {"system", "developer", "tool", "tool_call", "tool_result", "tool_response", "function", "function_call",
     "function_response", "observation", "ipython"}
)  # fmt: skip
_USERS = frozenset({"user", "human", "prompter"})
USER = "user"
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+")


@lru_cache(maxsize=4096)
def one_line(name: str) -> str:
    """A name as it may stand in a heading: line breaks and controls of all kinds are spaces, and spaces are single."""
    return " ".join(_UNSEEN.sub(" ", name).split())


@lru_cache(maxsize=4096)
def part_of(role: str) -> Literal["user", "assistant", "aide"] | None:
    """What a role is in a conversation; None for a speaker's name. Case, width, and what is not seen make no difference."""
    seen = _UNSEEN.sub(" ", unicodedata.normalize("NFKC", role))
    key = "_".join(seen.casefold().replace("-", " ").split())
    if key in _USERS:
        return "user"
    if key in _ASSISTANTS:
        return "assistant"
    return "aide" if key in _AIDES else None


def is_reply(role: str) -> bool:
    """Whether the role answers or works for the user: its words are a model's or a program's own."""
    return part_of(role) in ("assistant", "aide")


def is_named(role: str) -> bool:
    """Whether the role is somebody's name."""
    return part_of(role) is None


def speaker_of(role: str) -> str:
    """Whom a message's facts are of: `user` under all that role's names, else the name, cleaned."""
    return USER if part_of(role) == "user" else one_line(role)
