"""Which messages stand in which level. Levels are stretches of places, so moving one is moving a boundary."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from interconnected_ai.memory.jobs import want
from interconnected_ai.memory.numbering import Kind, entry_of, number_of
from interconnected_ai.memory.records import Capacities, Level, Summary
from interconnected_ai.memory.store import Rows, Store

# What one summary stands for; a fifth of a small level.
_SEGMENT_TOKENS = 2_000
_READ_AT_ONCE = 512  # messages


@dataclass(slots=True)
class Boundaries:
    """The levels of one session: places up to long_upto are long, those after it up to stale_upto stale, the rest current."""

    session: int
    current_tokens: int
    stale_tokens: int
    long_tokens: int
    stale_upto: int
    long_upto: int

    def level_of(self, place: int) -> Level:
        """The level of a place."""
        return level_at(place, self.stale_upto, self.long_upto)

    def save(self, rows: Rows) -> None:
        """Write them down."""
        rows.run(
            "UPDATE sessions SET current_tokens = ?, stale_tokens = ?, long_tokens = ?, stale_upto = ?, long_upto = ? "
            "WHERE number = ?",
            self.current_tokens, self.stale_tokens, self.long_tokens, self.stale_upto, self.long_upto, self.session,
        )  # fmt: skip


def level_at(place: int, stale_upto: int, long_upto: int) -> Level:
    """The level of a place, of the boundaries alone."""
    return "long" if place <= long_upto else "stale" if place <= stale_upto else "current"


BOUNDARY_COLUMNS = "number, current_tokens, stale_tokens, long_tokens, stale_upto, long_upto"


def settle(rows: Rows, levels: Boundaries, capacities: Capacities) -> bool:
    """Move what overflows from current to stale and from stale to long, and ask for its compression; whether any did."""
    moved = False
    while levels.current_tokens > capacities.current_tokens:
        _current_to_stale(rows, levels, capacities)
        moved = True
    while levels.stale_tokens > capacities.stale_tokens and _stale_to_long(rows, levels):
        moved = True
    if moved and levels.long_tokens > capacities.long_tokens:
        want(rows, "merge", levels.session)
    if moved:
        levels.save(rows)
    return moved


_SUMMARY = (
    "SELECT u.number, u.level, u.first_place, u.last_place, u.first_time, u.last_time, u.source_tokens, u.text, u.num_tokens, "
    "u.method, s.name FROM summaries u JOIN sessions s ON s.number = u.session"
)


def read_summaries(rows: Rows, session: int, *, level: Level | None = None) -> list[Summary]:
    """The summaries of a session in the order of its places, those not made yet too."""
    where, values = ("AND u.level = ?", [level]) if level else ("", [])
    found = rows.all(f"{_SUMMARY} WHERE u.session = ? {where} ORDER BY u.first_place", session, *values)
    return [Summary(*row) for row in found]


def summaries_of(rows: Rows, numbers: Sequence[int]) -> list[Summary]:
    """The summaries of these numbers, in the order of time."""
    marks = ", ".join("?" * len(numbers))
    found = rows.all(
        f"{_SUMMARY} WHERE u.number IN ({marks}) ORDER BY u.first_time, u.session, u.first_place", *numbers
    )
    return [Summary(*row) for row in found]


def read_summary(rows: Rows, number: int) -> Summary | None:
    """The summary of that number; None when it was merged into another one or forgotten."""
    found = rows.one(f"{_SUMMARY} WHERE u.number = ?", number)
    return None if found is None else Summary(*found)


def summaries_over(rows: Rows, session: int, places: Iterable[int]) -> list[tuple[int, int, int]]:
    """(number, first place, last place) of the summaries that speak of any of these places."""
    ordered = sorted(places)
    return [
        (number, first, last)
        for number, first, last in rows.all(
            "SELECT number, first_place, last_place FROM summaries WHERE session = ? ORDER BY first_place", session
        )
        if bisect_left(ordered, first) < bisect_right(ordered, last)
    ]


def drop_summary_terms(store: Store, rows: Rows, session: int, summary: int) -> None:
    """Take a summary's words out of the index."""
    found = rows.one("SELECT num_words FROM summaries WHERE number = ?", summary)
    if found is not None:
        store.remove_terms(rows, [entry_of(number_of(session, summary), Kind.SUMMARY, found[0])])


def _current_to_stale(rows: Rows, levels: Boundaries, capacities: Capacities) -> None:
    """Cut stretches of one summary's size off the beginning of current, until the rest has room."""
    size = max(1, min(_SEGMENT_TOKENS, capacities.current_tokens // 5))
    oldest = rows.all(
        "SELECT number, num_tokens, time FROM messages WHERE number > ? AND number < ? ORDER BY number LIMIT ?",
        number_of(levels.session, levels.stale_upto), number_of(levels.session + 1, 0), _READ_AT_ONCE,
    )  # fmt: skip
    base = number_of(levels.session, 0)
    stretch: list[tuple[int, int, float]] = []
    stretch_tokens = 0
    for number, num_tokens, time in oldest:
        stretch.append((number - base, num_tokens, time))
        stretch_tokens += num_tokens
        levels.current_tokens -= num_tokens
        levels.stale_tokens += num_tokens
        levels.stale_upto = number - base
        if stretch_tokens >= size:
            _new_summary(rows, levels.session, stretch)
            stretch, stretch_tokens = [], 0
            if levels.current_tokens <= capacities.current_tokens:
                return
    if stretch:
        _new_summary(rows, levels.session, stretch)


def _new_summary(rows: Rows, session: int, stretch: list[tuple[int, int, float]]) -> None:
    times = [time for _, _, time in stretch]
    made = rows.all(
        "INSERT INTO summaries (session, level, first_place, last_place, first_time, last_time, source_tokens, text, "
        "num_tokens, num_words, method) VALUES (?, 'stale', ?, ?, ?, ?, ?, '', 0, 0, 'pending') RETURNING number",
        session, stretch[0][0], stretch[-1][0], min(times), max(times), sum(tokens for _, tokens, _ in stretch),
    )  # fmt: skip
    want(rows, "compress", session, made[0][0])


def _stale_to_long(rows: Rows, levels: Boundaries) -> bool:
    """Move the oldest stale summary to long; False when there is none."""
    oldest = rows.one(
        "SELECT number, last_place, source_tokens FROM summaries WHERE session = ? AND first_place > ? "
        "AND level = 'stale' ORDER BY first_place LIMIT 1",
        levels.session, levels.long_upto,
    )  # fmt: skip
    if oldest is None:
        return False
    number, last_place, source_tokens = oldest
    rows.run("UPDATE summaries SET level = 'long' WHERE number = ?", number)
    levels.stale_tokens -= source_tokens
    levels.long_tokens += source_tokens
    levels.long_upto = last_place
    want(rows, "compress", levels.session, number)
    return True
