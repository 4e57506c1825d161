"""What an export is read into: messages, pins, facts by hand, rows that cannot be read, and what was not understood."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from interconnected_ai.memory.records import Edit, HandFact

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """A message as an export has it. where: file and line or place, for people.

    time: seconds since 1970; a datetime without a zone where the export has the clock on the wall, which `items_of` turns into
    seconds; None where it has none. id: the export's own, or None. session, user: None where the export names none. edits:
    what it said before, the first words first.
    """

    where: str
    role: str
    content: str
    session: str | None = None
    user: str | None = None
    time: float | datetime | None = None
    id: str | None = None
    edits: tuple[Edit, ...] = ()


@dataclass(frozen=True, slots=True)
class PinRow:
    """A pin of a memory's own export."""

    where: str
    text: str
    session: str | None
    user: str | None
    time: float | None


@dataclass(frozen=True, slots=True)
class FactRow:
    """What was set by hand, of a memory's own export. Of the fact, user and session are empty where the export names none."""

    where: str
    fact: HandFact


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session of a memory's own export in which nothing stands."""

    where: str
    session: str | None
    user: str | None


@dataclass(frozen=True, slots=True)
class ZoneRow:
    """Where a user's clock hangs, of a memory's own export."""

    where: str
    time_zone: str
    user: str | None


@dataclass(frozen=True, slots=True)
class BadRow:
    """What should be a message and cannot be read as one."""

    where: str
    why: str


@dataclass(frozen=True, slots=True)
class Unread:
    """Something that is passed over, by its kind: a field, a type of content, a file."""

    what: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What an export does not say. me: the names by which its owner speaks, who becomes `user`; zone: where its clock hung, by
    default where this machine stands.
    """

    me: frozenset[str] = frozenset()
    zone: tzinfo | None = None


Item = Row | PinRow | FactRow | SessionRow | ZoneRow | BadRow | Unread
