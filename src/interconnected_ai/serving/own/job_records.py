"""What is known of a job, and the folder where jobs outlive the server: a folder a job, its record whole or as it was."""

import re
import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from interconnected_ai.errors import StorageError
from interconnected_ai.storage import atomic_file, read_json, write_json

QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED, INTERRUPTED = STATUSES = (
    "queued", "running", "succeeded", "failed", "cancelled", "interrupted",
)  # fmt: skip
_RECORD = "job.json"
_FORMAT = 1
_ID = re.compile(r"job_[0-9a-f]{24}")
_MOST_KEPT = 1_000  # of those that ended


@dataclass(frozen=True)
class Job:
    """One piece of long work.

    owner: the id of the key it was made with. asked: what was asked for, files apart. doing, done, total: how far it is.
    result: where it succeeded; error: why it did not, and what may be done.
    """

    id: str
    kind: str
    owner: str | None
    asked: Mapping[str, Any]
    status: str = QUEUED
    created_at: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None
    doing: str = ""
    done: int = 0
    total: int = 0
    result: Mapping[str, Any] | None = None
    error: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes of it by itself."""
        return self.status not in (QUEUED, RUNNING)

    def shown(self) -> dict[str, Any]:
        """As its owner sees it."""
        told = {name: value for name, value in asdict(self).items() if name not in ("owner", "doing", "done", "total")}
        return {
            "object": "job", **told,
            "progress": {"doing": self.doing, "done": self.done, "total": self.total},
            "may_restart": self.status in (FAILED, CANCELLED, INTERRUPTED),
        }  # fmt: skip


class JobFolder:
    """Jobs on disk. Threads: any number at once, in one process."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._guard = threading.Lock()

    def of(self, id: str) -> Path:
        """Where a job's files stand."""
        assert _ID.fullmatch(id)
        return self.place / id

    def write(self, job: Job) -> None:
        """Keep a record; when this returns it is on disk. Raises `StorageError`."""
        folder = self.of(job.id)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StorageError(f"could not make {folder}: {error.strerror or error}") from error
        with self._guard, atomic_file(folder / _RECORD) as scratch:
            write_json(scratch, {"format_version": _FORMAT, **asdict(job)})

    def remove(self, id: str) -> None:
        """Job and files are gone."""
        shutil.rmtree(self.of(id), ignore_errors=True)

    def read_all(self) -> dict[str, Job]:
        """Every job that can be read, the oldest first. What a server that ended left undone is interrupted."""
        if not self.place.is_dir():
            return {}
        found = [
            job for folder in self.place.iterdir() if _ID.fullmatch(folder.name) and (job := _read(folder)) is not None
        ]
        found.sort(key=lambda job: (job.created_at, job.id))
        return {job.id: self._after_the_end(job) for job in found[-_MOST_KEPT:]}

    def _after_the_end(self, job: Job) -> Job:
        if job.has_ended:
            return job
        what = "while this job ran" if job.status == RUNNING else "before this job began"
        interrupted = replace(
            job, status=INTERRUPTED, ended_at=time.time(),
            error=f"the server ended {what}; nothing of it was saved. Start it again with POST /v1/jobs/{job.id}/restart",
        )  # fmt: skip
        self.write(interrupted)
        return interrupted


def _read(folder: Path) -> Job | None:
    """A job's record; None where there is none, or one that a person has spoilt."""
    try:
        content = read_json(folder / _RECORD)
        known = {field.name for field in fields(Job)}
        job = Job(**{name: value for name, value in content.items() if name in known})
    except (StorageError, OSError, TypeError, ValueError):
        return None
    sound = content.get("format_version") == _FORMAT and job.id == folder.name and job.status in STATUSES
    return job if sound and isinstance(job.created_at, (int, float)) and isinstance(job.asked, dict) else None
