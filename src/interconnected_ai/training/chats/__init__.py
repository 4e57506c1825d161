"""Conversations and preferences as token ids with what of them is learnt: read, held out, rendered, cut to a length, kept.

How ids are packed into blocks and learnt is left to the learners."""

from interconnected_ai.training.chats.corpus import ChatCorpus, PreferenceCorpus, chat_corpus, preference_corpus
from interconnected_ai.training.chats.rendering import Renders, TokenizedChat, TokenizedPair

__all__ = [
    "ChatCorpus",
    "PreferenceCorpus",
    "Renders",
    "TokenizedChat",
    "TokenizedPair",
    "chat_corpus",
    "preference_corpus",
]
