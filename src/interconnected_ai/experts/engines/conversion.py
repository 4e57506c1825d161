"""An expert in the form an engine reads: converted once, beside its folder, and again when its weights change."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from interconnected_ai.experts.folder import ExpertFiles
from interconnected_ai.storage import is_complete, locked, recover

_LAYOUT = 2  # raised when an exporter writes something else for the same weights
_SECONDS = 600.0  # of waiting for another process that converts the same expert

T = TypeVar("T")


def converted(
    files: ExpertFiles, form: str, write: Callable[[Path], None], read: Callable[[Path], T], cache: Path | None = None
) -> T:
    """What `read` makes of the folder that holds `form` of an expert; `write` fills it where it does not stand yet.

    cache: where conversions are kept; None is the hidden folder `.NAME.engines` beside the expert. Conversions of weights
    that the expert no longer has are removed. Threads and processes that ask for one form wait for each other, so it is
    written once, and none is removed while it is read. Raises `BusyError` where another takes more than ten minutes.
    """
    home = cache_folder(files.folder, cache)
    place = home / f"{form}-{_LAYOUT}-{files.key}"
    with locked(home / form, purpose=f"converting {files.folder.name} to {form}", timeout_seconds=_SECONDS):
        recover(place)
        if not is_complete(place):
            write(place)
            for stale in home.glob(f"{form}-*"):
                if stale != place and is_complete(stale):
                    shutil.rmtree(stale, ignore_errors=True)
        return read(place)


def cache_folder(folder: Path, cache: Path | None = None) -> Path:
    """Where what engines need of this expert is kept."""
    return cache or folder.resolve().parent / f".{folder.resolve().name}.engines"
