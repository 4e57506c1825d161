"""What the memory hands out and is set up with: small frozen records."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from interconnected_ai.errors import ConfigError

Level = Literal["current", "stale", "long"]
LEVELS: tuple[Level, ...] = ("current", "stale", "long")
DEFAULT_USER, DEFAULT_SESSION = "default", "default"


@dataclass(frozen=True, slots=True)
class Capacities:
    """Tokens of the log that each level of a session represents at most; the document's 750,000 together.

    long_tokens is where the oldest summaries begin to be merged with each other, since nothing is ever thrown away.
    """

    current_tokens: int = 50_000
    stale_tokens: int = 200_000
    long_tokens: int = 500_000

    def __post_init__(self) -> None:
        _require_positive(self)

    def __getitem__(self, level: Level) -> int:
        return {"current": self.current_tokens, "stale": self.stale_tokens, "long": self.long_tokens}[level]


@dataclass(frozen=True, slots=True)
class Portions:
    """How a context divides its budget; what one part leaves, the evidence takes, and what that leaves, all of them.

    num_last: messages at the end that come along. last_share: of the budget, what they may take together before the evidence
    has its turn; longest_share: what one of them may, before only its beginning and end come. facts_tokens, timeline_tokens:
    at most, and before the evidence at most a 24th of the budget each. fills: whether what the hits leave free is filled, with
    their neighbours, the newest messages, then summaries.
    """

    num_last: int = 10
    longest_share: float = 0.04
    facts_tokens: int = 1_000
    timeline_tokens: int = 2_000
    last_share: float = 0.125
    fills: bool = True

    def __post_init__(self) -> None:
        if self.num_last < 0 or self.facts_tokens < 0 or self.timeline_tokens < 0:
            raise ConfigError(f"{self}: portions are numbers from 0")
        for name in ("longest_share", "last_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name}={getattr(self, name)}: a share of the budget lies above 0 and up to 1")


EVIDENCE_ONLY = Portions(num_last=0, facts_tokens=0, timeline_tokens=0, fills=False)
"""Portions of a context that holds nothing but what was found, for measuring retrieval."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the log, as it was given. place counts from 1 within the session; level is where it stands now.

    is_ahead: it was dated beyond tomorrow when it came. It is kept and found, supersedes nothing, and is no newest message.
    thousandths: of a token, what its words add to the estimate of a context that quotes them; None where that is not known.
    """

    id: str
    user: str
    session: str
    place: int
    role: str
    content: str
    time: float
    num_tokens: int
    level: Level
    number: int
    is_reply: bool
    is_ahead: bool = False
    thousandths: int | None = field(default=None, repr=False, compare=False)


class _Filled:
    """A message as it is filled in: each field of a frozen record is set through a call, which takes six times as long."""

    __slots__ = Message.__slots__

    def __init__(
        self, id: str, user: str, session: str, place: int, role: str, content: str, time: float, num_tokens: int, level: Level,
        number: int, is_reply: bool, is_ahead: bool, thousandths: int | None,
    ) -> None:  # fmt: skip
        self.id, self.user, self.session, self.place = id, user, session, place
        self.role, self.content, self.time, self.num_tokens = role, content, time, num_tokens
        self.level, self.number, self.is_reply, self.is_ahead = level, number, is_reply, is_ahead
        self.thousandths = thousandths


def message_of(*fields: Any) -> Message:
    """`Message(*fields)` with all its fields, for those who make hundreds at a time."""
    made: Any = _Filled(*fields)
    made.__class__ = Message  # of the same slots
    filled: Message = made
    return filled


@dataclass(frozen=True, slots=True)
class Found:
    """A message that answers a query, with its score and the legs of the search that found it."""

    message: Message
    score: float
    legs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """What somebody said of themselves: subject, relation, value, when, and the message it stands in.

    kind is `fact`, `preference` or `instruction`; `end` (or `end of all`, of any value) where somebody said that it holds no
    more, which is its own `superseded_by`. superseded_by is the number of the newer fact that replaced this one; contradicts
    holds the numbers of older facts that say otherwise, which are kept. valid_until: in seconds since 1970, after which it
    holds no more. by_hand: a person set it, rules never overwrite it; its source_id is `by hand`.
    """

    number: int
    user: str
    session: str
    subject: str
    relation: str
    value: str
    kind: str
    time: float
    source_id: str
    superseded_by: int | None
    contradicts: tuple[int, ...]
    valid_until: float | None = None
    by_hand: bool = False

    @property
    def is_current(self) -> bool:
        """Whether nothing newer replaced it."""
        return self.superseded_by is None

    @property
    def valid_from(self) -> float:
        """When it was said, in seconds since 1970."""
        return self.time


@dataclass(frozen=True, slots=True)
class HandFact:
    """What a person set by hand, or (ends) retracted, as it stands in the log.

    is_single: whether the subject has one value of the relation at a time. valid_until: in seconds since 1970.
    """

    user: str
    session: str
    subject: str
    relation: str
    value: str
    kind: str
    is_single: bool
    ends: bool
    time: float
    valid_until: float | None


@dataclass(frozen=True, slots=True)
class Pin:
    """An instruction or fact that comes along with every context, of one session or (session None) of all of a user's."""

    number: int
    user: str
    session: str | None
    text: str
    time: float


@dataclass(frozen=True, slots=True)
class Summary:
    """What stands for the messages first_place to last_place in the stale or long level.

    method is `extractive`, `summarize`, or `merged` for timeline summaries put together; `pending` until the worker made it.
    """

    number: int
    level: Level
    first_place: int
    last_place: int
    first_time: float
    last_time: float
    source_tokens: int
    text: str
    num_tokens: int
    method: str
    session: str = DEFAULT_SESSION


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a message stands in a context, or why not.

    part: where it stands: `last`, `evidence`, `timeline` (in a summary), or None. cause: in a word: `last`, `found`,
    `neighbour` (of what was found), `room` (there was some left), `summarised`; and of what is not there: `not found`, `over
    budget`, `other session`, or `unknown`: the user has no such message, be it that it never was, was forgotten, or is
    somebody else's. rank: its place in the ranking of all that was found, from 1. score: of that ranking. legs: of the search
    that found it. words: of the question, as they were asked, that stand in it. text: all of that as a sentence.
    """

    id: str
    session: str | None
    place: int | None
    part: Literal["last", "evidence", "timeline"] | None
    cause: str
    rank: int | None
    score: float | None
    legs: tuple[str, ...]
    words: tuple[str, ...]
    text: str

    @property
    def is_shown(self) -> bool:
        """Whether the message's own words stand there, all or some."""
        return self.part in ("last", "evidence")

    def saying(self, text: str) -> "Reason":
        """The same with another sentence."""
        return replace(self, text=text)


@dataclass(frozen=True, slots=True)
class Context:
    """What goes to the model: never more than the budget.

    text: everything, with recalled words as quotations. messages: the same for a chat API, the recalled block as one user
    message, then the last messages in their own roles. source_ids: the messages whose words stand in it in full.
    summarised_ids: those that stand in it only cut or summarised. seconds: how long it took, query embedding apart. reasons:
    why each message is there whose words stand in it, where that was asked for.
    """

    text: str
    messages: tuple[dict[str, str], ...]
    num_tokens: int
    source_ids: tuple[str, ...]
    summarised_ids: tuple[str, ...]
    seconds: float
    reasons: tuple[Reason, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        plain = {one.name: _plain(getattr(self, one.name)) for one in fields(self)}
        return {**plain, "reasons": [asdict(one) for one in self.reasons]}

    def turns(self, question: str = "") -> tuple[dict[str, str], ...]:
        """`messages` for servers that demand turns: user and assistant alternate, and the user begins.

        Neighbours of one role are joined by a blank line; an answer that would begin is a quotation of the user's; what has
        no words is left out, since such servers refuse that too. question: what the user says now, which comes last. The
        joining takes at most a token or two a message beside `num_tokens`.
        """
        turns: list[dict[str, str]] = []
        for message in (*self.messages, {"role": "user", "content": question}):
            role, content = message["role"], message["content"]
            if not content.strip():
                continue
            if not turns and role != "user":
                role, content = "user", "\n".join(f"> {line}" for line in content.split("\n"))
            if turns and turns[-1]["role"] == role:
                turns[-1]["content"] += f"\n\n{content}"
            else:
                turns.append({"role": role, "content": content})
        return tuple(turns)


@dataclass(frozen=True, slots=True)
class LevelStats:
    """One level: its pieces (messages or summaries), the tokens it represents, and those it takes as it is stored."""

    level: Level
    num_pieces: int
    num_messages: int
    num_tokens: int
    stored_tokens: int
    capacity_tokens: int

    @property
    def share(self) -> float:
        """Tokens over capacity; above 1 for a long level that merges its summaries."""
        return self.num_tokens / self.capacity_tokens

    def __str__(self) -> str:
        return f"{self.level.capitalize()} memory: {self.num_pieces} pieces, {self.num_tokens} tokens ({self.share:.1%} used)"


@dataclass(frozen=True, slots=True)
class MemoryStats:
    """Levels, and what else there is, of one session or of many together.

    num_ahead: of the messages, those dated beyond tomorrow when they came. file_bytes, of the whole store; cached_vector_bytes,
    of the vectors that this process holds in memory.
    """

    levels: tuple[LevelStats, ...]
    num_messages: int
    num_tokens: int
    num_sessions: int
    num_facts: int
    num_superseded: int
    num_pins: int
    num_vectors: int
    num_jobs: int
    num_failed_jobs: int
    file_bytes: int
    cached_vector_bytes: int
    num_ahead: int = 0

    def __getitem__(self, level: Level) -> LevelStats:
        return next(stats for stats in self.levels if stats.level == level)

    def __iter__(self) -> Iterator[LevelStats]:
        return iter(self.levels)

    def __str__(self) -> str:
        lines = [f"Messages added: {self.num_messages}", *map(str, self.levels)]
        return "\n".join([*lines, "", f"All tokens in the system: {self.num_tokens}"])


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One session of one user."""

    user: str
    session: str
    num_messages: int
    num_tokens: int
    first_time: float | None
    last_time: float | None


@dataclass(frozen=True, slots=True)
class Forgettable:
    """How much `forget` would remove. num_sessions: in how many sessions. num_facts: of those by hand; others go with the
    messages that they came from.
    """

    num_messages: int
    num_sessions: int
    num_pins: int
    num_facts: int = 0

    @property
    def is_any(self) -> bool:
        """Whether there is anything."""
        return any((self.num_messages, self.num_sessions, self.num_pins, self.num_facts))


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What `forget` removed. bytes_erased: no bytes of it, or of what was forgotten before, are left in the files (a reader
    elsewhere may delay that). num_sessions: sessions that were removed, or renamed since the words stood in their names.
    """

    num_messages: int
    num_facts: int
    num_summaries: int
    num_vectors: int
    num_pins: int
    bytes_erased: bool
    num_sessions: int = 0

    @property
    def is_any(self) -> bool:
        """Whether anything was."""
        counts = (self.num_messages, self.num_facts, self.num_summaries, self.num_vectors)
        return any((*counts, self.num_pins, self.num_sessions))


@dataclass(frozen=True, slots=True)
class Edit:
    """What a message said before it was edited. time: when the memory learnt of the later words."""

    role: str
    content: str
    time: float


@dataclass(frozen=True, slots=True)
class Transfer:
    """What an import or export moved: rows added, and those that stood there already.

    num_bad: rows that could not be read and were left out. not_understood: what else was passed over, by kind, and how often.
    num_edited: of those that stood there already, whose words were others. num_facts: by hand. num_zones: time zones of users.
    """

    num_messages: int
    num_pins: int
    num_present: int = 0
    num_bad: int = 0
    not_understood: Mapping[str, int] = field(default_factory=dict)
    num_edited: int = 0
    num_facts: int = 0
    num_zones: int = 0


def _require_positive(record: Any) -> None:
    for one in fields(record):
        value = getattr(record, one.name)
        if not isinstance(value, int) or value < 1:
            raise ConfigError(f"{one.name}={value!r}: a level needs room for at least one token")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
