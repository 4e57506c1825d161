"""What goes into the tokens that are left: messages in a given order, as many as fit. The order is the caller's affair."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from functools import lru_cache

from interconnected_ai.memory.log import read_messages
from interconnected_ai.memory.records import Message
from interconnected_ai.memory.scope import Scope
from interconnected_ai.memory.store import Outline, Rows, Store
from interconnected_ai.memory.times import day_at
from interconnected_ai.text import estimate_tokens
from interconnected_ai.types import CountTokens

LINE_TOKENS = 5  # `> #1234 user: `, at least; counted when a message is read
LEAST_MESSAGE_TOKENS = 8
_READ_AT_ONCE, _MOST_AT_ONCE = 32, 512
_NEIGHBOURS_REACH = 3
_MOST_NEIGHBOURS = 400


Sized = tuple[int, int]  # a message that is not read yet: its number, the tokens of its content


@lru_cache(maxsize=1_024)
def _estimate(text: str) -> int:
    return estimate_tokens(text)


def counts_of_lines(count_tokens: CountTokens) -> CountTokens:
    """The same count, for short texts of which nearly the same come with every context: an estimate is remembered."""
    return _estimate if count_tokens is estimate_tokens else count_tokens


@dataclass(slots=True)
class Room:
    """The tokens that are left. zone: of the days that stand over messages, None for this machine's.

    count_line: see `counts_of_lines`.
    """

    left: int
    count_tokens: CountTokens
    zone: tzinfo | None = None
    days: set[str] = field(default_factory=set)  # those that have a heading already
    count_line: CountTokens = field(init=False)
    _heads: dict[tuple[str, int], int] = field(default_factory=dict)
    _day_tokens: int = 0
    # minutes, in which no day of a calendar ends, of the days with a heading; the day of a minute
    _headed: set[float] = field(default_factory=set)
    _day_of: dict[float, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.count_line = counts_of_lines(self.count_tokens)
        self._day_tokens = self.count_line("\n[2024-03-01]")

    def take(self, tokens: int) -> None:
        """Tokens that are gone; less than 0 of them are given back."""
        self.left -= tokens

    def fill(self, lines: Iterable[str], most: int) -> list[str]:
        """The lines that fit into `most` and into what is left, in order, too long ones passed over."""
        return self.fill_counted(((line, self.count_tokens(line)) for line in lines), most)

    def fill_counted(self, lines: Iterable[tuple[str, int]], most: int) -> list[str]:
        """The same of lines with their tokens."""
        kept = []
        most = min(most, self.left)
        for line, num_tokens in lines:
            cost = num_tokens + 1
            if cost <= most:
                kept.append(line)
                most -= cost
                self.left -= cost
        return kept

    def frame_tokens(self, message: Message) -> int:
        """What stands before a message: `> #12 user: `, and the heading of its day where that is not there yet."""
        key = message.role, len(str(message.place))
        if key not in self._heads:
            self._heads[key] = self.count_line(f"\n> #{message.place} {message.role}: ")
        has_heading = message.time // 60 in self._headed or self._has_heading(message.time)
        return self._heads[key] + (0 if has_heading else self._day_tokens)

    def take_message(
        self, message: Message, shown: str, most: int | None = None, frame_tokens: int | None = None
    ) -> bool:
        """Take what a message's lines need; False, and nothing taken, when that is not left, or is over `most`.

        frame_tokens: what `frame_tokens` says, where that is known.

        Its own tokens were counted when it was added, and are not counted again: a context has hundreds of messages.
        """
        num_tokens = message.num_tokens if shown is message.content else self.count_tokens(shown)
        cost = num_tokens + shown.count("\n")
        cost += self.frame_tokens(message) if frame_tokens is None else frame_tokens
        if cost > (self.left if most is None else min(self.left, most)):
            return False
        self.left -= cost
        if message.time // 60 not in self._headed:
            self.days.add(self._day(message.time))
        return True

    def _has_heading(self, seconds: float) -> bool:
        """Whether the day of a moment has one; hundreds of messages are looked at, many of one minute."""
        if self._day(seconds) not in self.days:
            return False
        self._headed.add(seconds // 60)
        return True

    def _day(self, seconds: float) -> str:
        """As `day_at`."""
        minute = seconds // 60
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
        messages = read_messages(rows, part)
        for message in (messages[number] for number in part if number in messages):
            frame_tokens = room.frame_tokens(message)
            most = room.left - frame_tokens
            shown = shorten(message, most) if most > 0 else ""
            if (shown or not message.content) and room.take_message(message, shown, frame_tokens=frame_tokens):
                yield message, shown


def _portions(wanted: Iterable[Sized], room: Room, longest: int | None) -> Iterator[list[int]]:
    """The numbers of what may fit, some at a time: by the next ones there is less room, and most need not be read."""
    part: list[int] = []
    asked, left = 0, room.left  # which changes while a part is being taken, and not between
    if left < LEAST_MESSAGE_TOKENS:
        return
    for number, num_tokens in wanted:
        cost = LINE_TOKENS + (num_tokens if longest is None or num_tokens < longest else longest)
        if cost > left:
            continue
        part.append(number)
        asked += cost
        # what fits for sure is read at once
        if len(part) >= _MOST_AT_ONCE or (len(part) >= _READ_AT_ONCE and asked >= left) or asked >= 2 * left:
            yield part
            part, asked, left = [], 0, room.left
            if left < LEAST_MESSAGE_TOKENS:
                return
    if part:
        yield part


def neighbours(
    store: Store, rows: Rows, numbers: Sequence[int], room: Room, known: Mapping[int, Outline]
) -> list[Sized]:
    """The messages up to three places away from these that may fit, the nearest first, of the nearest the first one's.

    known: outlines that were read already, which are not read again.
    """
    shown = set(numbers)
    wanted: dict[int, None] = {}
    for distance in range(1, _NEIGHBOURS_REACH + 1):
        for number in numbers:
            wanted[number + distance] = None
            wanted[number - distance] = None
        if len(wanted) - len(shown) >= _MOST_NEIGHBOURS:
            break
    chosen = [number for number in wanted if number not in shown][:_MOST_NEIGHBOURS]
    most = room.left - LINE_TOKENS
    unknown = [number for number in chosen if number not in known]
    read = store.outlines(rows, unknown, most) if unknown else {}
    found = [known.get(number) or read.get(number) for number in chosen]
    return [(outline[0], outline[2]) for outline in found if outline is not None and outline[2] <= most]


def newest(rows: Rows, scope: Scope, room: Room) -> list[Sized]:
    """The newest messages in scope, as many as can fit at all, the newest first."""
    limit = max(0, room.left) // (LINE_TOKENS + 1) + 1
    where, whose = scope.where()
    query = f"SELECT number, num_tokens FROM messages WHERE {where} ORDER BY time DESC, number DESC LIMIT ?"
    return [(number, num_tokens) for number, num_tokens in rows.all(query, whose, limit)]
