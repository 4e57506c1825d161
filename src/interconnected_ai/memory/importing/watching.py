"""Which exports of a folder have grown or come since the last look."""

from pathlib import Path

from interconnected_ai.errors import DataError, StorageError
from interconnected_ai.memory.importing import slack
from interconnected_ai.memory.importing.formats import files_in, is_known

_State = tuple[tuple[str, int, int], ...]


class Watch:
    """Looks at a folder from time to time. For one thread.

    What is imported as one thing is seen as one: a Slack export as a whole, anything else file by file.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DataError(f"{folder} is no folder; to import a file once: iai memory import")
        self._folder = folder
        self._seen: dict[Path, _State] = {}

    def changed(self) -> list[Path]:
        """The exports of a known kind that are new or not as they were at the last look, in the order of their names."""
        try:
            found = {path: state for path in self._exports() if (state := _state_of(path)) is not None}
        except OSError as error:
            raise StorageError(f"cannot look into {error.filename or self._folder}: {error.strerror}") from error
        changed = [path for path, state in found.items() if self._seen.get(path) != state]
        self._seen = found
        return [path for path in changed if path.is_dir() or _may_be_known(path)]

    def again(self, path: Path) -> None:
        """Have the next look give a path again, though it does not change: it could not be imported for a reason elsewhere."""
        self._seen.pop(path, None)

    def _exports(self) -> list[Path]:
        if slack.recognises(self._folder):
            return [self._folder]
        return files_in(self._folder)


def _state_of(path: Path) -> _State | None:
    """Name, size and time of change of a file, or of all files of a folder; None of what went away meanwhile."""
    try:
        files = [path] if not path.is_dir() else sorted(inner for inner in path.rglob("*") if inner.is_file())
        return tuple((str(file), (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files)
    except FileNotFoundError:  # downloads and editors make files that live for a moment
        return None


def _may_be_known(file: Path) -> bool:
    """Whether a file is to be imported; one that cannot be read, so that its import says why."""
    try:
        return is_known(file)
    except OSError:
        return file.exists()
