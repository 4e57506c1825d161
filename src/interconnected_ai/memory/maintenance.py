"""What the worker does: summaries, facts and vectors, each made from the log and written with the job that asked for it."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from interconnected_ai.errors import StorageError
from interconnected_ai.memory import fact_rules
from interconnected_ai.memory.compression import (
    LONG_RATIO,
    STALE_RATIO,
    choose_passages,
    fault_of,
    target_tokens,
)
from interconnected_ai.memory.fact_reading import without_quotations
from interconnected_ai.memory.facts import remove_facts_of, stands_in, statement_of, write_facts
from interconnected_ai.memory.indexing import index_derived, index_messages
from interconnected_ai.memory.jobs import Job, finish, renew, want
from interconnected_ai.memory.levels import drop_summary_terms, read_summaries, read_summary
from interconnected_ai.memory.log import as_spoken, messages_after, messages_between, read_messages
from interconnected_ai.memory.numbering import Kind, entry_of, number_of
from interconnected_ai.memory.ordering import put_in_order
from interconnected_ai.memory.provenance import remember_dimension, vector_dimension
from interconnected_ai.memory.records import Capacities, Message, Summary
from interconnected_ai.memory.scope import owner_of
from interconnected_ai.memory.search import session_range
from interconnected_ai.memory.speakers import is_named, is_reply, speaker_of
from interconnected_ai.memory.store import Rows, Store
from interconnected_ai.memory.timeline import merged
from interconnected_ai.memory.vectors import VectorModel, parts_of
from interconnected_ai.text import terms, unit_rows
from interconnected_ai.types import CountTokens, Extract, Summarize

_MESSAGES_AT_ONCE = 64
_TEXTS_AT_ONCE = 8
_LOOK_SECONDS = 0.1  # while a summariser is at work: whether the memory is being closed

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Maintenance:
    """The work behind every kind of job, for one memory.

    breathe is called between small pieces of work. timeout_seconds: how long a `summarize` may take; one that hangs is left
    alone, and not asked again before it has come back. Each of the jobs may run in several threads and processes at once.
    """

    store: Store
    capacities: Capacities
    count_tokens: CountTokens
    breathe: Callable[[], None]
    summarize: Summarize | None = None
    extract: Extract | None = None
    model: VectorModel | None = None
    timeout_seconds: float = 60.0
    lifetimes: Mapping[str, float] = field(default_factory=dict)
    _hanging: threading.Thread | None = None

    def work(self) -> dict[str, Callable[[Job], None]]:
        """What to do for each kind of job. Without a model, jobs of vectors wait for a process that has one."""
        work: dict[str, Callable[[Job], None]] = {
            "compress": self.compress,
            "merge": self.merge,
            "facts": self.learn_facts,
            "order": self.put_in_order,
            "erase": self.erase,
            "index": self.index_again,
        }
        if self.model is not None:
            work["embed"] = self.embed
        return work

    # Summaries

    def compress(self, job: Job) -> None:
        """Write the summary that a stretch of stale or long memory asks for."""
        with self.store.read() as rows:
            wanted = read_summary(rows, job.target)
            sources = messages_between(rows, job.session, wanted.first_place, wanted.last_place) if wanted else []
        if wanted is None:  # merged or forgotten meanwhile
            with self.store.write() as rows:
                finish(rows, job)
            return
        text, method = self.summary_of(sources, wanted)
        self._write_summary(job, wanted, text, method)

    def summary_of(self, sources: Sequence[Message], summary: Summary) -> tuple[str, str]:
        """(text, method): the summariser's, where it holds what it must, else the extractive one."""
        room = target_tokens(summary.source_tokens, LONG_RATIO if summary.level == "long" else STALE_RATIO)
        spoken = [(message.content, message.is_reply) for message in sources]
        self.breathe()
        passages = choose_passages(spoken, room, self.count_tokens, self.breathe)
        extractive = " ".join(passage.text for passage in passages)
        if self.summarize is None or not passages:
            return extractive, "extractive"
        source = "\n".join(f"{message.role}: {message.content}" for message in sources)
        required = frozenset().union(*(passage.keys for passage in passages))
        answer = self._ask_summarizer(source, room)
        if answer is None:
            return extractive, "extractive"
        fault = fault_of(answer, source, required, self.count_tokens)
        if not fault and self.count_tokens(answer) > 2 * room:
            fault = f"it is longer than {2 * room} tokens, twice what was asked for"
        if fault:
            log.info("memory: a summary was refused: %s", fault)
            return extractive, "extractive"
        return answer.strip(), "summarize"

    def merge(self, job: Job) -> None:
        """Put the oldest timeline summaries together until the long level is as short as its capacity asks."""
        limit = max(self.capacities.long_tokens // LONG_RATIO, 2)
        with self.store.read() as rows:
            timeline = read_summaries(rows, job.session, level="long")
        merges = merged(timeline, limit, self.count_tokens, self.breathe)
        with self.store.write() as rows:
            self.store.lock(rows, job.session)
            if not renew(rows, job, time.time()):
                return
            for group, text in merges:  # what changed meanwhile is left alone
                self._replace(rows, job.session, group, text)
            finish(rows, job)

    def _write_summary(self, job: Job, summary: Summary, text: str, method: str) -> None:
        found = terms(text)
        with self.store.write() as rows:
            self.store.lock(rows, job.session)
            if not finish(rows, job):
                return
            drop_summary_terms(self.store, rows, job.session, summary.number)
            rows.run(
                "UPDATE summaries SET text = ?, num_tokens = ?, num_words = ?, method = ? WHERE number = ?",
                text, self.count_tokens(text), found.num_words, method, summary.number,
            )  # fmt: skip
            entry = entry_of(number_of(job.session, summary.number), Kind.SUMMARY, found.num_words)
            self.store.add_terms(rows, owner_of(rows, job.session), [(entry, found.terms)])
            if summary.level == "long" and self._is_over_long(rows, job.session):
                want(rows, "merge", job.session)

    def _is_over_long(self, rows: Rows, session: int) -> bool:
        found = rows.one("SELECT long_tokens FROM sessions WHERE number = ?", session)
        return found is not None and found[0] > self.capacities.long_tokens

    def _replace(self, rows: Rows, session: int, group: Sequence[Summary], text: str) -> None:
        """One row for a group of neighbours; nothing when one of them was forgotten or changed meanwhile."""
        marks = ", ".join("?" * len(group))
        numbers = [summary.number for summary in group]
        there = rows.all(f"SELECT number, text FROM summaries WHERE number IN ({marks})", *numbers)
        if dict(there) != {summary.number: summary.text for summary in group}:
            return
        for number in numbers:
            drop_summary_terms(self.store, rows, session, number)
        first, found = group[0], terms(text)
        rows.run(
            "UPDATE summaries SET last_place = ?, first_time = ?, last_time = ?, source_tokens = ?, text = ?, num_tokens = ?, "
            "num_words = ?, method = 'merged' WHERE number = ?",
            group[-1].last_place, min(s.first_time for s in group), max(s.last_time for s in group),
            sum(s.source_tokens for s in group), text, self.count_tokens(text), found.num_words, first.number,
        )  # fmt: skip
        rows.run(f"DELETE FROM summaries WHERE number IN ({marks}) AND number <> ?", *numbers, first.number)
        entry = entry_of(number_of(session, first.number), Kind.SUMMARY, found.num_words)
        self.store.add_terms(rows, owner_of(rows, session), [(entry, found.terms)])

    def _ask_summarizer(self, source: str, max_tokens: int) -> str | None:
        """What `summarize` says within the time, or None. A thread cannot be ended, so one that hangs is waited out."""
        assert self.summarize is not None
        if self._hanging is not None and self._hanging.is_alive():
            return None
        answers: list[Any] = []
        summarize = self.summarize

        def ask() -> None:
            try:
                answers.append(summarize(source, max_tokens=max_tokens))
            except Exception as error:  # noqa: BLE001 - a foreign callable may raise anything
                log.warning("memory: summarize raised %s: %s", type(error).__name__, error)

        thread = threading.Thread(target=ask, name="memory-summarize", daemon=True)
        thread.start()
        deadline = time.monotonic() + self.timeout_seconds
        while thread.is_alive() and time.monotonic() < deadline:
            thread.join(min(_LOOK_SECONDS, max(0.0, deadline - time.monotonic())))
            self.breathe()
        if thread.is_alive():
            self._hanging = thread
            log.warning(
                "memory: summarize did not answer within %s s; the extractive summary is used", self.timeout_seconds
            )
            return None
        if not answers:
            return None
        if not isinstance(answers[0], str):
            log.warning("memory: summarize returned %s, needed is text", type(answers[0]).__name__)
            return None
        return answers[0]

    # Facts

    def learn_facts(self, job: Job) -> None:
        """Read the messages that were not read yet, and write down what their speakers say of themselves.

        A job with a target is of that one message, whose words have changed.
        """
        if job.target:
            self._learn_again(job)
            return
        with self.store.read() as rows:
            (upto,) = rows.one("SELECT facts_upto FROM sessions WHERE number = ?", job.session) or (0,)
        while True:
            with self.store.read() as rows:
                fresh = messages_after(rows, job.session, upto, _MESSAGES_AT_ONCE)
            found = [
                (message.number, message.time, statement)
                for message in fresh
                for statement in self._statements(message)
            ]
            is_last = len(fresh) < _MESSAGES_AT_ONCE
            with self.store.write() as rows:
                self._lock(rows, job.session)
                if not renew(rows, job, time.time()):
                    return
                # only if nobody else read them meanwhile: two workers must not write the same facts
                moved = rows.run(
                    "UPDATE sessions SET facts_upto = ? WHERE number = ? AND facts_upto = ?",
                    fresh[-1].place if fresh else upto, job.session, upto,
                )  # fmt: skip
                there = self._unchanged(rows, {message.number: message.content for message in fresh})
                if moved:
                    for message in fresh:
                        if message.number not in there:  # edited meanwhile
                            want(rows, job.kind, job.session, message.number)
                    # what was read before it was put in order is read again
                    remove_facts_of(self.store, rows, sorted(there))
                    write_facts(
                        self.store, rows, job.session, [one for one in found if one[0] in there], self.lifetimes
                    )
                else:
                    want(rows, job.kind, job.session)
                # what was read is read for good; messages that came meanwhile ask for the job anew
                if is_last or not moved:
                    finish(rows, job)
            if is_last or not moved:
                self._gather_index()
                return
            upto = fresh[-1].place

    def _learn_again(self, job: Job) -> None:
        with self.store.read() as rows:
            (upto,) = rows.one("SELECT facts_upto FROM sessions WHERE number = ?", job.session) or (0,)
            message = read_messages(rows, [job.target]).get(job.target)
        # a message beyond that place is read in its turn
        known = message is not None and message.place <= upto
        found = [(job.target, message.time, one) for one in self._statements(message)] if message and known else []
        with self.store.write() as rows:
            self._lock(rows, job.session)
            if finish(rows, job) and message is not None and self._unchanged(rows, {job.target: message.content}):
                remove_facts_of(self.store, rows, [job.target])
                write_facts(self.store, rows, job.session, found, self.lifetimes)

    def _statements(self, message: Message) -> list[fact_rules.Statement]:
        if is_reply(message.role):  # what an assistant says of the user it has from the user, or from us
            return []
        self.breathe()
        subject = speaker_of(message.role)
        if self.extract is None:
            found = list(fact_rules.statements(message.content, subject))
        else:
            text = without_quotations(message.content)
            given = [statement_of(one, subject) for one in self.extract(text)]
            found = [one for one in given if stands_in(one.value, text)]
            if len(found) < len(given):
                log.info(
                    "memory: %d facts of extract left out: their values are not in the message", len(given) - len(found)
                )
        if is_named(message.role):  # a guest gives the user's model no standing orders; that it was said is a fact
            return [replace(one, kind="fact") if one.kind == "instruction" else one for one in found]
        return found

    def _unchanged(self, rows: Rows, read: Mapping[int, str]) -> set[int]:
        """Of messages that were read, by number, those that were neither forgotten nor edited since."""
        found = read_messages(rows, list(read))
        return {number for number, content in read.items() if number in found and found[number].content == content}

    def _lock(self, rows: Rows, session: int) -> None:
        """Keep others away from a session and from its user's facts, in the order in which all do."""
        found = rows.one("SELECT user_name FROM sessions WHERE number = ?", session)
        if found is not None:
            self.store.lock_user(rows, found[0])
        self.store.lock(rows, session)

    # Order

    def put_in_order(self, job: Job) -> None:
        """Give what was said earlier than it came its place."""
        with self.store.write() as rows:
            self._lock(rows, job.session)
            put_in_order(self.store, rows, job.session, self.capacities)
            finish(rows, job)

    # The index

    def index_again(self, job: Job) -> None:
        """Make the entries of an index by an earlier analyser anew, some dozens at a time: it is searched meanwhile."""
        with self.store.write() as rows:
            self.store.lock(rows, job.session)
            if not renew(rows, job, time.time()):
                return
            index_derived(self.store, rows, job.session)
        place: int | None = 0
        while place is not None:
            self.breathe()
            with self.store.write() as rows:
                self.store.lock(rows, job.session)
                if not renew(rows, job, time.time()):
                    return
                place = index_messages(self.store, rows, job.session, place, _MESSAGES_AT_ONCE)
                if place is None:
                    finish(rows, job)

    def _gather_index(self) -> None:
        """Put the pieces of the index together, some at a time. No job: whoever is killed at it leaves nothing undone."""
        with self.store.read() as rows:
            is_left = self.store.is_scattered(rows)
        is_first = True
        while is_left:
            self.breathe()
            with self.store.write() as rows:
                is_left = self.store.gather(rows, is_first=is_first)
            is_first = False

    # Bytes

    def erase(self, job: Job) -> None:
        """Take deleted bytes out of the files, which a reader elsewhere prevented when they were forgotten."""
        if not self.store.erase():
            raise StorageError(f"{self.store.location} is being read elsewhere: forgotten bytes are not gone yet")
        with self.store.write() as rows:
            finish(rows, job)

    # Vectors

    def embed(self, job: Job) -> None:
        """Embed the messages that have no vectors yet, users' first."""
        model = self.model
        assert model is not None
        first, end = session_range(job.session)
        while True:
            self.breathe()
            with self.store.read() as rows:
                waiting = rows.all(
                    "SELECT m.number, m.role, m.content FROM messages m "
                    "LEFT JOIN vectors v ON v.number = m.number AND v.part = 0 "
                    "WHERE m.number > ? AND m.number < ? AND v.number IS NULL AND m.is_reply <= ? "
                    "ORDER BY m.is_reply, m.number LIMIT ?",
                    first, end, int(model.replies), _TEXTS_AT_ONCE,
                )  # fmt: skip
                dimension = vector_dimension(rows)
            if not waiting:
                with self.store.write() as rows:
                    finish(rows, job)
                return
            parts = [
                (number, part, text)
                for number, role, content in waiting
                for part, text in enumerate(parts_of(as_spoken(role, content)) or [" "])
            ]
            vectors = unit_rows(model([text for _, _, text in parts]), len(parts), dimension, model.model_id)
            with self.store.write() as rows:
                self.store.lock(rows, job.session)
                if not renew(rows, job, time.time()):
                    return
                remember_dimension(rows, vectors.shape[1])
                there = self._unchanged(rows, {number: content for number, _, content in waiting})
                made = zip(parts, vectors, strict=True)
                self.store.put_vectors(rows, job.session, [(n, part, v) for (n, part, _), v in made if n in there])
