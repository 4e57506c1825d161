"""Chats of other programs, told apart by what stands in them, as rows that a memory can add. Knows no store."""

from interconnected_ai.memory.importing.formats import FORMATS, Format, items_of
from interconnected_ai.memory.importing.identity import Identities
from interconnected_ai.memory.importing.records import BadRow, Item, PinRow, Reading, Row, Unread

__all__ = ["FORMATS", "BadRow", "Format", "Identities", "Item", "PinRow", "Reading", "Row", "Unread", "items_of"]
