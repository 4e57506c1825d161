"""Chat: messages as a model was trained to read them, conversations, what need not be read again. Imports no torch."""

from interconnected_ai.experts.chat.answer import ChatAnswer
from interconnected_ai.experts.chat.chatting import Chatting
from interconnected_ai.experts.chat.conversation import Answers, Conversation
from interconnected_ai.experts.chat.prompt_cache import PromptCache
from interconnected_ai.experts.chat.results import results_as_turns
from interconnected_ai.experts.chat.template import CHATML, ROLES, ChatTemplate, CountedTokens
from interconnected_ai.experts.chat.window import TooLong

__all__ = [
    "CHATML",
    "ROLES",
    "Answers",
    "ChatAnswer",
    "ChatTemplate",
    "Chatting",
    "Conversation",
    "CountedTokens",
    "PromptCache",
    "TooLong",
    "results_as_turns",
]
