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
from dataclasses import dataclass

from interconnected_ai.errors import InterconnectedAIError
from interconnected_ai.memory.store import Rows, Store

LEASE_SECONDS = 120.0
MAX_ATTEMPTS = 5
_POLL_SECONDS = 5.0  # how soon the jobs of a process that died are found
_QUIET_SECONDS = 0.02  # the worker begins when nobody has been served for this long

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
            f"WHERE leased_until < ? AND not_before <= ? AND attempts < ? AND kind IN ({marks}) "
            f"ORDER BY number LIMIT 1{store.skip_locked}) RETURNING number, kind, session, target, wanted, attempts",
            now + lease_seconds, owner, now, now, MAX_ATTEMPTS, *kinds,
        )  # fmt: skip
    return Job(*(*found[0], owner)) if found else None


def renew(rows: Rows, job: Job, now: float, lease_seconds: float = LEASE_SECONDS) -> bool:
    """Hold a job longer, in the transaction that writes a part of its result; False when it went to another worker."""
    held = "UPDATE jobs SET leased_until = ? WHERE number = ? AND owner = ?"
    return bool(rows.run(held, now + lease_seconds, job.number, job.owner))


def finish(rows: Rows, job: Job) -> bool:
    """Remove a job that was done, in the transaction that writes its result; False when the result must not be written.

    That is when the lease went to another worker, or when the log changed meanwhile: then the job stays to be done again.
    """
    if rows.run("DELETE FROM jobs WHERE number = ? AND owner = ? AND wanted = ?", job.number, job.owner, job.wanted):
        return True
    rows.run("UPDATE jobs SET leased_until = 0, attempts = 0 WHERE number = ? AND owner = ?", job.number, job.owner)
    return False


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


class Worker:
    """A thread that does jobs while nobody is being served.

    Python runs one thread at a time: a busy worker would make every `add` wait for its turn. So the worker asks
    `breathe` between small pieces of work, and waits there while a call is being served.
    """

    def __init__(self, store: Store, work: dict[str, Callable[[Job], None]]) -> None:
        self._store, self._work = store, work
        self._owner = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._wake, self._stop = threading.Event(), threading.Event()
        self._num_served, self._last_served = 0, 0.0
        self._state = threading.Lock()
        self._thread: threading.Thread | None = None
        self._process = os.getpid()

    def __enter__(self) -> None:
        """Serve a call: the worker holds its breath."""
        with self._state:
            self._num_served += 1

    def __exit__(self, *_: object) -> None:
        with self._state:
            self._num_served -= 1
            self._last_served = time.monotonic()

    def wake(self) -> None:
        """Start the thread if it does not run yet, and tell it that there is work."""
        with self._state:
            if self._process != os.getpid():  # a fork keeps no threads
                self._process, self._thread = os.getpid(), None
                self._wake, self._stop = threading.Event(), threading.Event()
                self._owner = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="memory-worker", daemon=True)
                self._thread.start()
        self._wake.set()

    def breathe(self) -> None:
        """Wait while a call is being served."""
        while not self._stop.is_set():
            with self._state:
                if not self._num_served and time.monotonic() - self._last_served > _QUIET_SECONDS:
                    return
            time.sleep(_QUIET_SECONDS / 4)

    def do_next(self, *, now: float | None = None) -> bool:
        """Do one job in this thread; False when none is due."""
        moment = time.time() if now is None else now
        job = take(self._store, self._owner, tuple(self._work), moment)
        if job is None:
            return False
        try:
            self._work[job.kind](job)
        except Exception as error:  # noqa: BLE001 - whatever a callable of the user's raises is kept with its job
            log.warning("memory: %s failed (attempt %d of %d): %s", job.kind, job.attempt, MAX_ATTEMPTS, error)
            give_up(self._store, job, error, moment)
        return True

    def finish_all(self, timeout_seconds: float | None = None) -> int:
        """Do, or wait for, all jobs that have not failed; returns how many are left, which then did or time ran out."""
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while deadline is None or time.monotonic() < deadline:
            if self.do_next():
                continue
            if not _num_hopeful(self._store, tuple(self._work), time.time()):
                break
            time.sleep(_QUIET_SECONDS / 2)
        with self._store.read() as rows:
            left = rows.one("SELECT count(*) FROM jobs")
        return int(left[0]) if left else 0

    def stop(self) -> None:
        """End the thread after the job it is at."""
        self._stop.set()
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread() and self._process == os.getpid():
            thread.join(timeout=LEASE_SECONDS)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(_POLL_SECONDS)
            self._wake.clear()
            try:
                self.breathe()
                while not self._stop.is_set() and self.do_next():
                    self.breathe()
            except InterconnectedAIError as error:  # the disk is full, the database went away: look again later
                log.warning("memory: the worker waits: %s", error)
                self._stop.wait(_POLL_SECONDS)
