"""How full a memory is, counted from the rows themselves."""

from collections.abc import Sequence

from interconnected_ai.memory.jobs import MAX_ATTEMPTS
from interconnected_ai.memory.numbering import place_of
from interconnected_ai.memory.records import LEVELS, Capacities, Level, LevelStats, MemoryStats
from interconnected_ai.memory.store import Rows, Store


def stats_of(store: Store, rows: Rows, sessions: Sequence[int], capacities: Capacities) -> MemoryStats:
    """Pieces, tokens and share of capacity of each level, of these sessions together; jobs and bytes of the whole store."""
    # of each level: pieces, messages, tokens, stored tokens
    levels: dict[Level, list[int]] = {level: [0, 0, 0, 0] for level in LEVELS}
    counts = [0, 0, 0, 0, 0]  # facts, superseded, vectors, pins, messages dated ahead
    for session in sessions:
        for level, found in _levels_of(rows, session).items():
            levels[level] = [old + new for old, new in zip(levels[level], found, strict=True)]
        counts = [old + new for old, new in zip(counts, _counts_of(rows, session), strict=True)]
    jobs = rows.one(
        "SELECT count(*), coalesce(sum(CASE WHEN attempts >= ? THEN 1 ELSE 0 END), 0) FROM jobs", MAX_ATTEMPTS
    )
    assert jobs is not None, "a count is always one row"
    num_sessions = max(1, len(sessions))
    made = tuple(_level_stats(level, levels[level], capacities[level] * num_sessions) for level in LEVELS)
    return MemoryStats(
        made, sum(s.num_messages for s in made), sum(s.num_tokens for s in made), len(sessions), counts[0], counts[1],
        counts[3], counts[2], int(jobs[0]), int(jobs[1]), store.file_bytes(rows),
        store.cached_vector_bytes(), counts[4],
    )  # fmt: skip


def _level_stats(level: Level, found: Sequence[int], capacity_tokens: int) -> LevelStats:
    num_pieces, num_messages, num_tokens, stored_tokens = found
    return LevelStats(level, num_pieces, num_messages, num_tokens, stored_tokens, capacity_tokens)


def _levels_of(rows: Rows, session: int) -> dict[Level, list[int]]:
    """Level → pieces, messages, represented tokens, stored tokens, counted from the rows themselves."""
    bounds = rows.one("SELECT stale_upto, long_upto FROM sessions WHERE number = ?", session)
    assert bounds is not None, "a session that has a number has a row"
    found: dict[Level, list[int]] = {level: [0, 0, 0, 0] for level in LEVELS}
    for number, num_tokens in rows.all("SELECT number, num_tokens FROM messages WHERE session = ?", session):
        place = place_of(number)
        level: Level = "long" if place <= bounds[1] else "stale" if place <= bounds[0] else "current"
        found[level][1] += 1
        found[level][2] += num_tokens
    found["current"][0], found["current"][3] = found["current"][1], found["current"][2]
    pieces = "SELECT level, count(*), coalesce(sum(num_tokens), 0) FROM summaries WHERE session = ? GROUP BY level"
    for level, num_pieces, stored in rows.all(pieces, session):
        found[level][0], found[level][3] = int(num_pieces), int(stored)
    return found


def _counts_of(rows: Rows, session: int) -> tuple[int, int, int, int, int]:
    facts = rows.one(
        "SELECT count(*), coalesce(sum(CASE WHEN superseded_by IS NULL THEN 0 ELSE 1 END), 0) FROM facts "
        "WHERE session = ? AND repeats IS NULL",
        session,
    )
    vectors = rows.one("SELECT count(*) FROM vectors WHERE session = ?", session)
    pins = rows.one("SELECT count(*) FROM pins WHERE session = ?", session)
    assert facts is not None, "a count is always one row"
    ahead = rows.one("SELECT count(*) FROM messages WHERE session = ? AND ahead = 1", session)
    num_vectors, num_pins, num_ahead = (found[0] if found else 0 for found in (vectors, pins, ahead))
    return int(facts[0]), int(facts[1]), int(num_vectors), int(num_pins), int(num_ahead)
