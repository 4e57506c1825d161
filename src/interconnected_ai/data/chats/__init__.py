"""Conversations and preferences to learn from, as people have them: told apart by what is in a row, never by a file's name.

`read_chats` and `read_preferences` give examples and what is odd about them; `dealt_out` holds some of them out. Which tokens
of an example count is the affair of whoever has the model's template."""

from interconnected_ai.data.chats.dealing import DealtOut, dealt_out
from interconnected_ai.data.chats.examples import ChatExample, PreferencePair
from interconnected_ai.data.chats.reading import Chats, Preferences, read_chats, read_preferences

__all__ = [
    "ChatExample",
    "Chats",
    "DealtOut",
    "PreferencePair",
    "Preferences",
    "dealt_out",
    "read_chats",
    "read_preferences",
]
