"""Work that adding a message leaves for later, in a table that outlives the process: leased, retried, done at most once.

A job says which session (and which summary) needs work, not what the work is: whoever does it looks at the log. Wanting the
same job again while it runs raises `wanted`, and its result is then not taken for the last word.
"""

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from interconnected_ai.errors import ClosedError, InterconnectedAIError
from interconnected_ai.memory.calls import Calls
from interconnected_ai.memory.forks import Forkable, Gate, Rank, survive_forks
from interconnected_ai.memory.store import Rows, Store

LEASE_SECONDS = 120.0
MAX_ATTEMPTS = 5
_POLL_SECONDS = 5.0  # how soon the jobs of a process that died are found
_WAIT_SECONDS = 0.01  # between two looks at jobs that another process is at
_STOP_SECONDS = 10.0  # a callable of the user's that takes longer is left behind; its result is not taken

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """A leased piece of work. attempt counts from 1."""

    number: int
    kind: str
    session: int
    target: int
    wanted: int
    attempt: int
    owner: str


def want(rows: Rows, kind: str, session: int, target: int = 0) -> None:
    """Ask for a job, once however often it is asked for."""
    rows.run(
        "INSERT INTO jobs (kind, session, target) VALUES (?, ?, ?) "
        "ON CONFLICT (kind, session, target) DO UPDATE SET wanted = jobs.wanted + 1, attempts = 0, not_before = 0",
        kind, session, target,
    )  # fmt: skip


def take(
    store: Store, owner: str, kinds: tuple[str, ...], now: float, lease_seconds: float = LEASE_SECONDS
) -> Job | None:
    """Lease the next job of these kinds that is due and that nobody holds; None when there is none."""
    marks = ", ".join("?" * len(kinds))
    with store.read() as rows:  # most looks find nothing, and need no writing
        due = rows.one(
            f"SELECT 1 FROM jobs WHERE leased_until < ? AND not_before <= ? AND attempts < ? AND kind IN ({marks}) LIMIT 1",
            now, now, MAX_ATTEMPTS, *kinds,
        )  # fmt: skip
    if due is None:
        return None
    with store.write() as rows:
        found = rows.all(
            "UPDATE jobs SET leased_until = ?, owner = ?, attempts = attempts + 1 WHERE number = (SELECT number FROM jobs "
            # no bare `kind`, or SQLite reads all jobs of these kinds by that index, to sort them, for each that is taken
            f"WHERE leased_until < ? AND not_before <= ? AND attempts < ? AND kind || '' IN ({marks}) "
            f"ORDER BY number LIMIT 1{store.skip_locked}) RETURNING number, kind, session, target, wanted, attempts",
            now + lease_seconds, owner, now, now, MAX_ATTEMPTS, *kinds,
        )  # fmt: skip
    return Job(*(*found[0], owner)) if found else None


def renew(rows: Rows, job: Job, now: float, lease_seconds: float = LEASE_SECONDS) -> bool:
    """Hold a job longer, in the transaction that writes a part of its result; False when it went to another worker."""
    held = "UPDATE jobs SET leased_until = ? WHERE number = ? AND owner = ?"
    return bool(rows.run(held, now + lease_seconds, job.number, job.owner))


def finish(rows: Rows, job: Job) -> bool:
    """Remove a job that was done, in the transaction that writes its result; False when it does not count as done.

    That is when the lease went to another worker, or when the log changed meanwhile: then the job is asked for anew, behind
    all that wait already, or one busy session would keep its place before all others for ever.
    """
    if rows.run("DELETE FROM jobs WHERE number = ? AND owner = ? AND wanted = ?", job.number, job.owner, job.wanted):
        return True
    if rows.run("DELETE FROM jobs WHERE number = ? AND owner = ?", job.number, job.owner):
        want(rows, job.kind, job.session, job.target)
    return False


def hand_back(store: Store, job: Job) -> None:
    """Let go of a job that was not done, as if nobody had taken it."""
    with store.write() as rows:
        rows.run(
            "UPDATE jobs SET leased_until = 0, attempts = CASE WHEN attempts > 0 THEN attempts - 1 ELSE 0 END "
            "WHERE number = ? AND owner = ?",  # 0 when it was wanted again meanwhile
            job.number, job.owner,
        )  # fmt: skip


def give_up(store: Store, job: Job, error: BaseException, now: float) -> None:
    """Put a job back after an error, to be tried again later and later; after `MAX_ATTEMPTS` it stays, with its error."""
    with store.write() as rows:
        rows.run(
            "UPDATE jobs SET leased_until = 0, not_before = ?, error = ? WHERE number = ? AND owner = ?",
            now + 2.0**job.attempt, f"{type(error).__name__}: {error}"[:500], job.number, job.owner,
        )  # fmt: skip


def _num_hopeful(store: Store, kinds: tuple[str, ...], now: float) -> int:
    """Jobs that were not tried in vain, and those that some worker is at."""
    marks = ", ".join("?" * len(kinds))
    with store.read() as rows:
        waiting = rows.one(
            f"SELECT count(*) FROM jobs WHERE kind IN ({marks}) AND attempts < ? AND error = ''", *kinds, MAX_ATTEMPTS
        )
        leased = rows.one("SELECT count(*) FROM jobs WHERE leased_until >= ?", now)
    assert waiting is not None, "a count is always one row"
    assert leased is not None, "a count is always one row"
    return int(waiting[0]) + int(leased[0])


class JobStoppedError(Exception):
    """The worker is to end: the job at hand goes back undone."""


@dataclass(slots=True, eq=False)
class _Hand:
    """What a worker is in one process: its name among those who hold jobs, its thread, and which threads are at a job."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    owner: str = field(default_factory=lambda: f"{os.getpid()}-{uuid.uuid4().hex[:8]}")
    wake: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None
    working: Gate = field(default_factory=Gate)


class Worker(Forkable):
    """A thread that does jobs while nobody is being served, and has its turn when somebody always is (see `Calls`).

    All of it may be called from many threads at once.
    """

    fork_rank = Rank.WORK

    def __init__(self, store: Store, calls: Calls, work: dict[str, Callable[[Job], None]]) -> None:
        self._store, self._calls, self._work = store, calls, work
        self._hand = _Hand()
        self._is_stopped = False
        survive_forks(self)

    def wake(self) -> None:
        """Start the thread if it does not run, or has died of a fault of ours, and tell it that there is work."""
        hand = self._hand
        with hand.lock:
            if (hand.thread is None or not hand.thread.is_alive()) and not self._is_stopped:
                hand.thread = threading.Thread(target=self._run, args=(hand,), name="memory-worker", daemon=True)
                hand.thread.start()
        hand.wake.set()

    def breathe(self) -> None:
        """Let calls be served, between small pieces of work. Raises `JobStoppedError` after `stop`."""
        self._calls.give_way(self.is_stopped)
        self._hand.working.pause()
        if self._is_stopped:
            raise JobStoppedError

    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._is_stopped

    def do_next(self, *, now: float | None = None) -> bool:
        """Do one job in this thread; False when none is due. Raises `JobStoppedError` after `stop`."""
        moment = time.time() if now is None else now
        with self._hand.working.passed():
            if self._is_stopped:
                raise JobStoppedError
            job = take(self._store, self._hand.owner, tuple(self._work), moment)
            if job is None:
                return False
            self._do(job, moment)
        return True

    def finish_all(self, timeout_seconds: float | None = None, *, progress: Callable[[int], None] | None = None) -> int:
        """Do, or wait for, all jobs that have not failed; returns how many are left, which then did or time ran out.

        progress: is told after every job how many are left.
        Raises `ClosedError` when the memory is closed meanwhile.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while deadline is None or time.monotonic() < deadline:
            self._calls.require_open()
            try:
                if self.do_next():
                    if progress is not None:
                        progress(self._num_left())
                    continue
            except JobStoppedError:
                continue
            if not _num_hopeful(self._store, tuple(self._work), time.time()):
                break
            time.sleep(_WAIT_SECONDS)
        return self._num_left()

    def _num_left(self) -> int:
        with self._store.read() as rows:
            left = rows.one("SELECT count(*) FROM jobs")
        return int(left[0]) if left else 0

    def stop(self) -> None:
        """End the thread; jobs that it and others are at go back undone."""
        self._is_stopped = True
        hand = self._hand
        hand.wake.set()
        hand.working.wait_for_others(_STOP_SECONDS)
        if hand.thread is not None and hand.thread is not threading.current_thread():
            hand.thread.join(_STOP_SECONDS)

    def before_fork(self, deadline: float) -> None:
        """See `Forkable`."""
        self._hand.working.shut(deadline)

    def after_fork_in_parent(self) -> None:
        """See `Forkable`."""
        self._hand.working.open()

    def after_fork_in_child(self) -> None:
        """See `Forkable`. The child has a thread of its own as soon as it has work."""
        self._hand = _Hand()

    def _do(self, job: Job, moment: float) -> None:
        try:
            self._work[job.kind](job)
        except ClosedError:
            raise
        except Exception as error:  # whatever a callable of the user's raises is kept with its job
            if isinstance(error, JobStoppedError):
                self._let_go(job)
                raise
            log.warning("memory: %s failed (attempt %d of %d): %s", job.kind, job.attempt, MAX_ATTEMPTS, error)
            give_up(self._store, job, error, moment)
        except BaseException:  # Ctrl-C
            self._let_go(job)
            raise

    def _let_go(self, job: Job) -> None:
        """The next who looks need not wait for the lease to run out."""
        with suppress(InterconnectedAIError):
            hand_back(self._store, job)

    def _run(self, hand: _Hand) -> None:
        # a child that a callable forked comes here too, with its parent's hand, whose locks it must not touch
        while not self._is_stopped and hand is self._hand:
            hand.wake.wait(_POLL_SECONDS)
            hand.wake.clear()
            try:
                self.breathe()
                while self.do_next():
                    self.breathe()
            except (JobStoppedError, ClosedError):
                return
            except InterconnectedAIError as error:  # the disk is full, the database went away: look again later
                log.warning("memory: the worker waits: %s", error)
                hand.wake.wait(_POLL_SECONDS)
