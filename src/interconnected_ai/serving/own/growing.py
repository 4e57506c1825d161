"""The job that adds a branch. It trains in a process of its own, which ends with the server; then the server takes it up."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from interconnected_ai.data import columns_of
from interconnected_ai.errors import DataError, TrainingError
from interconnected_ai.patience import with_sleeping_threads
from interconnected_ai.serving.own.confusions import Confusions
from interconnected_ai.serving.own.job_records import Job
from interconnected_ai.serving.own.workshop import JobStoppedError

if TYPE_CHECKING:
    from interconnected_ai.serving.hall import Hall

ROWS = "rows.csv"
_READ_AT_ONCE_BYTES = (
    4_000_000  # of a table that is looked at before its job is taken on; of more the job says what is wrong
)
_CHILD = "interconnected_ai.serving.own.growing_process"
_LOOK_SECONDS = 0.1
_LAST_WORDS = 2_000


class BranchWork:
    """See `workshop.Work`."""

    kind = "branch.add"

    def __init__(self, hall: "Hall", confusions: Confusions) -> None:
        self._hall, self._confusions = hall, confusions

    def __call__(
        self, job: Job, folder: Path, tell: Callable[[str, int, int], None], stopped: threading.Event
    ) -> Mapping[str, Any]:
        """What the training tells at its end; the server answers with the branch by then."""
        rows, system = folder / ROWS, str(job.asked["system"])
        if not rows.is_file():
            raise DataError("the uploaded file is gone; upload it again as a new job")
        order = {**job.asked, "folder": str(self._hall.folder(system)), "rows": str(rows)}
        tell("starting", 0, 1)
        result = dict(_trained(order, folder / "errors.txt", tell, stopped))
        tell("loading", 0, 1)
        fingerprint, counts = result.pop("fingerprint", None), result.pop("confusion", None)
        if fingerprint and counts:
            self._confusions.keep(fingerprint, counts)
        self._hall.refresh(system)
        rows.unlink(missing_ok=True)
        return result


def refuse_unreadable(folder: Path, asked: Mapping[str, Any]) -> None:
    """Raise `DataError` for an uploaded table whose texts and labels cannot be told, as far as that takes no time."""
    path = folder / ROWS
    if path.stat().st_size <= _READ_AT_ONCE_BYTES:
        try:
            columns_of(path, text=asked["text"], labels=[asked["label"]] if asked["label"] else [])
        except DataError as error:
            raise DataError(str(error).replace(str(path), asked["file"])).blaming(*error.blames) from error


def _trained(
    order: Mapping[str, Any], errors: Path, tell: Callable[[str, int, int], None], stopped: threading.Event
) -> Mapping[str, Any]:
    """What the process says at its end."""
    found: Mapping[str, Any] = {}
    with (
        errors.open("wb") as complaints,
        subprocess.Popen(
            [sys.executable, "-P", "-m", _CHILD], env=with_sleeping_threads(os.environ), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=complaints,
        ) as process,
    ):  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        watching = threading.Thread(target=_end_when, args=(stopped, process), name="serving job's end", daemon=True)
        watching.start()
        try:
            # The pipe stays open: the process ends when it closes, and so with this one, however that ends.
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
            for line in _lines(process.stdout):
                if "result" in line or "error" in line:
                    found = line
                else:
                    tell(line["doing"], line["done"], line["total"])
        except BrokenPipeError:  # it ended at once; its code says more
            pass
        finally:
            process.kill()
            code = process.wait()
            watching.join()
    if stopped.is_set() and "result" not in found:
        raise JobStoppedError
    if "error" in found:
        raise DataError(str(found["error"]))
    if "result" not in found:
        words = errors.read_bytes()[-_LAST_WORDS:].decode("utf-8", "replace").strip().splitlines()
        raise TrainingError(f"the training ended with code {code}: {words[-1] if words else 'it said nothing'}")
    result: Mapping[str, Any] = found["result"]
    return result


def _end_when(stopped: threading.Event, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        if stopped.wait(_LOOK_SECONDS):
            process.kill()
            return


def _lines(output: IO[bytes]) -> Iterator[dict[str, Any]]:
    for line in output:
        if line.startswith(b"{"):
            yield json.loads(line)


def end_with_parent(output: IO[bytes]) -> None:
    """End this process as soon as the pipe does. For a thread."""
    output.read()
    os._exit(3)
