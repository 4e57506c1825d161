"""Chat: messages as a model was trained to read them, conversations, and what of them need not be computed again."""

from interconnected_ai.experts.chat.template import CHATML, ROLES, ChatTemplate, CountedTokens

__all__ = ["CHATML", "ROLES", "ChatTemplate", "CountedTokens"]
