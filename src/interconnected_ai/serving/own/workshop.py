"""`Workshop`: jobs, one after another in a thread; their records outlive the server, and whoever watches is told of changes."""

import asyncio
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from interconnected_ai.errors import InterconnectedAIError, StorageError, UnknownNameError
from interconnected_ai.serving.faults import RETRY_SECONDS, Refusal, words_of
from interconnected_ai.serving.own.job_records import (
    CANCELLED,
    FAILED,
    INTERRUPTED,
    QUEUED,
    RUNNING,
    SUCCEEDED,
    Job,
    JobFolder,
)

_MOST_WAITING = 32
_LOOK_SECONDS = 0.5  # how soon a server that is about to end is noticed
_LOGGER = logging.getLogger("interconnected_ai.serving")


class JobStoppedError(Exception):
    """Raised by work that has heeded `stopped`."""


class Work(Protocol):
    """What a kind of job does, in a thread of the workshop. It returns once `stopped` is set."""

    def __call__(
        self, job: Job, folder: Path, tell: Callable[[str, int, int], None], stopped: threading.Event
    ) -> Mapping[str, Any]:
        """The result. folder: of the job's files. Raises errors of ours, whose words its owner reads; `JobStoppedError`."""


class Workshop:
    """Jobs of some kinds.

    Threads: everything may be called from any number of them, `changes` from event loops.
    """

    def __init__(self, place: Path, kinds: Mapping[str, Work]) -> None:
        self._folder, self._kinds = JobFolder(place), kinds
        self._changed = threading.Condition()
        self._jobs: dict[str, Job] = self._folder.read_all()
        self._waiting: deque[str] = deque()
        self._stopped: dict[str, threading.Event] = {}
        self._watching: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="serving jobs", daemon=True)
        self._thread.start()

    # Asking for work

    def submit(
        self,
        kind: str,
        owner: str | None,
        asked: Mapping[str, Any],
        *,
        files: Mapping[str, bytes],
        check: Callable[[Path], object],
    ) -> Job:
        """A new job, whose record and files are on disk when this returns. Raises `Refusal`, 503, where too many wait.

        check: looks at the folder of the files; what it raises is raised, and there is no job.
        """
        assert kind in self._kinds
        job = Job(f"job_{secrets.token_hex(12)}", kind, owner, asked, created_at=time.time())
        self._require_room()
        try:
            self._folder.write(job)
            for name, data in files.items():
                (self._folder.of(job.id) / name).write_bytes(data)
            check(self._folder.of(job.id))
        except BaseException as error:
            self._folder.remove(job.id)
            if isinstance(error, OSError):
                raise StorageError(f"the upload could not be kept: {error.strerror or error}") from error
            raise
        return self._queue(job)

    def restart(self, owner: str | None, id: str) -> Job:
        """A job that did not succeed, from its beginning. Raises `Refusal`, 409, for one that did, or has not ended."""
        self._require_room()
        with self._changed:
            job = self._of(owner, id)
            if job.status not in (FAILED, CANCELLED, INTERRUPTED):
                raise Refusal(
                    409, f"the job is {job.status}; only one that has not succeeded starts again", code="job_state"
                )
            again = replace(job, status=QUEUED, started_at=None, ended_at=None, doing="", done=0, total=0, error=None)
            self._jobs[id] = again
        self._folder.write(again)
        return self._queue(again)

    def cancel(self, owner: str | None, id: str) -> Job:
        """End a job that waits or runs; one that has ended stays as it is. What runs ends soon after."""
        with self._changed:
            job = self._of(owner, id)
            if job.status == QUEUED and id in self._waiting:
                self._waiting.remove(id)
                job = self._ended(job, CANCELLED)
            elif id in self._stopped:
                self._stopped[id].set()
        if job.has_ended:
            self._folder.write(job)
        return job

    def remove(self, owner: str | None, id: str) -> None:
        """Forget a job that has ended. Raises `Refusal`, 409, for one that has not."""
        with self._changed:
            job = self._of(owner, id)
            if not job.has_ended:
                raise Refusal(409, f"the job is {job.status}; cancel it first", code="job_state")
            del self._jobs[id]
        self._folder.remove(id)

    def job(self, owner: str | None, id: str) -> Job:
        """A job of this owner. Raises `UnknownNameError`, also for another's."""
        with self._changed:
            return self._of(owner, id)

    def jobs(self, owner: str | None) -> list[Job]:
        """An owner's jobs, the newest first."""
        with self._changed:
            return [job for job in reversed(self._jobs.values()) if job.owner == owner]

    async def changes(
        self, owner: str | None, id: str, silence_seconds: float, is_over: Callable[[], bool]
    ) -> AsyncGenerator[Job | None, None]:
        """The job as it is, and again whenever it has changed, until it has ended, or `is_over`; None after so much silence."""
        watcher = asyncio.get_running_loop(), asyncio.Event()
        self._watching.add(watcher)
        try:
            shown: Job | None = None
            silent_until = watcher[0].time() + silence_seconds
            while not is_over():
                watcher[1].clear()
                job = self.job(owner, id)
                if job != shown:
                    shown = job
                    yield job
                    if job.has_ended:
                        return
                    silent_until = watcher[0].time() + silence_seconds
                elif watcher[0].time() >= silent_until:
                    yield None
                    silent_until = watcher[0].time() + silence_seconds
                with suppress(TimeoutError):
                    await asyncio.wait_for(watcher[1].wait(), min(silence_seconds, _LOOK_SECONDS))
        finally:
            self._watching.discard(watcher)

    # Doing it

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                id = self._waiting.popleft()
                stopped = self._stopped[id] = threading.Event()
                job = self._jobs[id] = replace(self._jobs[id], status=RUNNING, started_at=time.time())
            try:
                self._do(job, stopped)
            except Exception:  # of this file; the jobs behind it are to be done all the same
                _LOGGER.exception("job %s", id)
            finally:
                with self._changed:
                    del self._stopped[id]

    def _do(self, job: Job, stopped: threading.Event) -> None:
        def tell(doing: str, done: int, total: int) -> None:
            self._put(replace(self._jobs[job.id], doing=doing, done=done, total=total))

        try:
            self._folder.write(job)
            self._tell()
            result = self._kinds[job.kind](job, self._folder.of(job.id), tell, stopped)
        except JobStoppedError:
            if self._closed:  # the record says that it runs, which the next server reads as interrupted
                return
            ended = self._ended(self._jobs[job.id], CANCELLED)
        except InterconnectedAIError as error:
            ended = self._ended(self._jobs[job.id], FAILED, error=words_of(error))
        except Exception:
            _LOGGER.exception("job %s", job.id)
            ended = self._ended(self._jobs[job.id], FAILED, error="internal error; the server's log says more")
        else:
            ended = self._ended(self._jobs[job.id], SUCCEEDED, result=result)
        try:
            self._folder.write(ended)
        except (StorageError, OSError) as error:
            _LOGGER.error("job %s has ended, which could not be written down: %s", job.id, error)

    # The state

    def _of(self, owner: str | None, id: str) -> Job:
        job = self._jobs.get(id)
        if job is None or job.owner != owner:
            raise UnknownNameError("job", id, [each.id for each in self._jobs.values() if each.owner == owner])
        return job

    def _require_room(self) -> None:
        with self._changed:
            if self._closed:
                raise Refusal(
                    503, "the server is about to end; try again later", code="ending", retry_seconds=RETRY_SECONDS
                )
            if len(self._waiting) >= _MOST_WAITING:
                raise Refusal(
                    503, f"{len(self._waiting)} jobs wait already; try again later", code="full", retry_seconds=60
                )

    def _queue(self, job: Job) -> Job:
        with self._changed:
            self._jobs[job.id] = job
            self._waiting.append(job.id)
            self._changed.notify_all()
        self._tell()
        return job

    def _ended(self, job: Job, status: str, **more: Any) -> Job:
        ended = replace(job, status=status, ended_at=time.time(), **more)
        self._put(ended)
        return ended

    def _put(self, job: Job) -> None:
        with self._changed:
            self._jobs[job.id] = job
        self._tell()

    def _tell(self) -> None:
        for loop, event in tuple(self._watching):
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(event.set)

    # Its end

    def close(self) -> None:
        """Stop what runs; it is interrupted, and so is what waits. Idempotent."""
        with self._changed:
            self._closed = True
            for stopped in self._stopped.values():
                stopped.set()
            self._changed.notify_all()
        self._tell()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
