"""What goes into the tokens that are left: messages in a given order, as many as fit. The order is the caller's affair."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Protocol

from interconnected_ai.memory.log import read_messages
from interconnected_ai.memory.records import Message
from interconnected_ai.memory.scope import Scope
from interconnected_ai.memory.store import Rows
from interconnected_ai.memory.times import day_at
from interconnected_ai.types import CountTokens

LINE_TOKENS = 5  # `> #1234 user: `, at least; counted when a message is read
LEAST_MESSAGE_TOKENS = 8
_READ_AT_ONCE = 32
_NEIGHBOURS_REACH = 3
_MOST_NEIGHBOURS = 400


class Sized(Protocol):
    """A message that is not read yet."""

    @property
    def number(self) -> int:
        """See `numbering`."""

    @property
    def num_tokens(self) -> int:
        """Of its content."""


@dataclass(frozen=True, slots=True)
class Place:
    """A message that stands beside a hit, or that nothing but its being new speaks for."""

    number: int
    num_tokens: int
    time: float


@dataclass(slots=True)
class Room:
    """The tokens that are left. zone: of the days that stand over messages, None for this machine's."""

    left: int
    count_tokens: CountTokens
    zone: tzinfo | None = None
    days: set[str] = field(default_factory=set)  # those that have a heading already
    _heads: dict[tuple[str, int], int] = field(default_factory=dict)
    _day_tokens: int = 0
    _day_of: dict[int, str] = field(default_factory=dict)  # by the minute, in which no day of a calendar ends

    def __post_init__(self) -> None:
        self._day_tokens = self.count_tokens("\n[2024-03-01]")

    def take(self, tokens: int) -> None:
        """Tokens that are gone; less than 0 of them are given back."""
        self.left -= tokens

    def fill(self, lines: Iterable[str], most: int) -> list[str]:
        """The lines that fit into `most` and into what is left, in order, too long ones passed over."""
        kept = []
        most = min(most, self.left)
        for line in lines:
            cost = self.count_tokens(line) + 1
            if cost <= most:
                kept.append(line)
                most -= cost
                self.left -= cost
        return kept

    def frame_tokens(self, message: Message) -> int:
        """What stands before a message: `> #12 user: `, and the heading of its day where that is not there yet."""
        key = message.role, len(str(message.place))
        if key not in self._heads:
            self._heads[key] = self.count_tokens(f"\n> #{message.place} {message.role}: ")
        return self._heads[key] + (0 if self._day(message.time) in self.days else self._day_tokens)

    def take_message(self, message: Message, shown: str, most: int | None = None) -> bool:
        """Take what a message's lines need; False, and nothing taken, when that is not left, or is over `most`.

        Its own tokens were counted when it was added, and are not counted again: a context has hundreds of messages.
        """
        num_tokens = message.num_tokens if shown is message.content else self.count_tokens(shown)
        cost = num_tokens + self.frame_tokens(message) + shown.count("\n")
        if cost > (self.left if most is None else min(self.left, most)):
            return False
        self.left -= cost
        self.days.add(self._day(message.time))
        return True

    def _day(self, seconds: float) -> str:
        """As `day_at`; hundreds of messages are looked at, many of one minute."""
        minute = int(seconds // 60)
        if (day := self._day_of.get(minute)) is None:
            day = self._day_of[minute] = day_at(seconds, self.zone)
        return day


def in_full(message: Message, most: int) -> str:
    """What `pack` shows of messages when nothing is to be shortened."""
    return message.content


def pack(
    rows: Rows,
    wanted: Iterable[Sized],
    room: Room,
    longest: int | None = None,
    shorten: Callable[[Message, int], str] = in_full,
) -> Iterator[tuple[Message, str]]:
    """(message, what is shown of it) of those that fit, in the order given, too large ones passed over.

    shorten: what to show of a message in at most so many tokens, or nothing; of none it shows more than `longest` tokens.
    """
    for part in _portions(wanted, room, longest):
        messages = read_messages(rows, [one.number for one in part])
        for message in (messages[one.number] for one in part if one.number in messages):
            most = room.left - room.frame_tokens(message)
            shown = shorten(message, most) if most > 0 else ""
            if (shown or not message.content) and room.take_message(message, shown):
                yield message, shown


def _portions(wanted: Iterable[Sized], room: Room, longest: int | None) -> Iterator[list[Sized]]:
    """What may fit, some at a time: by the next one there is less room, and most need not be read."""
    part: list[Sized] = []
    asked = 0
    for one in wanted:
        if room.left < LEAST_MESSAGE_TOKENS:
            return
        cost = LINE_TOKENS + (one.num_tokens if longest is None else min(one.num_tokens, longest))
        if cost > room.left:
            continue
        part.append(one)
        asked += cost
        if len(part) >= _READ_AT_ONCE or asked >= 2 * room.left:
            yield part
            part, asked = [], 0
    if part:
        yield part


def neighbours(rows: Rows, numbers: Sequence[int]) -> list[Place]:
    """The messages up to three places away from these, the nearest first, of the nearest the first one's."""
    wanted: dict[int, None] = {}
    for distance in range(1, _NEIGHBOURS_REACH + 1):
        for number in numbers:
            wanted[number + distance] = None
            wanted[number - distance] = None
    shown = set(numbers)
    chosen = [number for number in wanted if number not in shown][:_MOST_NEIGHBOURS]
    marks = ", ".join("?" * len(chosen))
    query = f"SELECT number, num_tokens, time FROM messages WHERE number IN ({marks})"
    found = {row[0]: Place(*row) for row in rows.all(query, *chosen)} if chosen else {}
    return [found[number] for number in chosen if number in found]


def newest(rows: Rows, scope: Scope, room: Room) -> list[Place]:
    """The newest messages in scope, as many as can fit at all, the newest first."""
    limit = max(0, room.left) // (LINE_TOKENS + 1) + 1
    where, whose = scope.where()
    query = f"SELECT number, num_tokens, time FROM messages WHERE {where} ORDER BY time DESC, number DESC LIMIT ?"
    return [Place(*row) for row in rows.all(query, whose, limit)]
