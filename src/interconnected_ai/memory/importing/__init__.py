"""Chats of other programs, told apart by what stands in them, as rows that a memory can add. Knows no store."""

from interconnected_ai.memory.importing.formats import FORMATS, KINDS, Format, items_of
from interconnected_ai.memory.importing.plain import read as read_messages
from interconnected_ai.memory.importing.records import (
    BadRow,
    FactRow,
    Item,
    PinRow,
    Reading,
    Row,
    SessionRow,
    Unread,
    ZoneRow,
)
from interconnected_ai.memory.importing.watching import Watch

__all__ = [
    "FORMATS",
    "KINDS",
    "BadRow",
    "FactRow",
    "Format",
    "Item",
    "PinRow",
    "Reading",
    "Row",
    "SessionRow",
    "Unread",
    "Watch",
    "ZoneRow",
    "items_of",
    "read_messages",
]
