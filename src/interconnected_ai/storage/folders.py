"""A folder on disk that is whole or absent, however many write and read it at once.

Writing goes to a hidden sibling folder, every file is flushed to the disk, the manifest comes last, and one exchange of names
puts the folder in its place; whoever reads through `read_folder` sees the old contents or the new ones.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Final, TypeVar

from interconnected_ai.errors import BusyError, ConflictError, IntegrityError, StorageError
from interconnected_ai.storage.exchange import exchange
from interconnected_ai.storage.files import keep_mode, sync_folder, sync_tree
from interconnected_ai.storage.locks import lock_path, locked, locked_if_free
from interconnected_ai.storage.manifests import MANIFEST, check_folder, is_complete, version_of, write_manifest
from interconnected_ai.storage.objects import read_json
from interconnected_ai.storage.scratch import remove, remove_leftovers, scratch_for, scratches_of

T = TypeVar("T")


class AnyVersion(Enum):
    """The type of `ANY`."""

    ANY = "any"


ANY: Final = AnyVersion.ANY
"""`replaces=ANY`: whatever stands there is replaced."""

_FREE_READS = 3  # so many times a reader tries beside writers before it makes them wait
_MOST_READS = 100  # so many times where it cannot make them wait: it may not write beside the folder


@contextmanager
def atomic_folder(target: str | Path, *, kind: str, replaces: str | AnyVersion | None = ANY) -> Iterator[Path]:
    """A scratch folder that becomes `target` when the block ends well, and leaves no trace when it does not.

    replaces: the version (see `version_of`) that must stand at `target`; None: nothing may. `ConflictError` otherwise.
    Threads and processes may write the same target at once: each has a scratch of its own, and they take turns only at the end.
    What stood at `target` before is replaced only if it was a folder of ours of the same kind (its manifest says so) or empty.
    Raises `StorageError` when the disk is full, not writable, or something else stands there.
    """
    with _writing(Path(target), kind, replaces) as (scratch, _):
        yield scratch


def write_folder(
    target: str | Path, write: Callable[[Path], None], *, kind: str, replaces: str | AnyVersion | None = ANY
) -> str:
    """`atomic_folder` around `write(scratch)`; returns the version that now stands there, for the next `replaces`."""
    with _writing(Path(target), kind, replaces) as (scratch, versions):
        write(scratch)
    return versions[0]


@contextmanager
def _writing(shown: Path, kind: str, replaces: str | AnyVersion | None) -> Iterator[tuple[Path, list[str]]]:
    """The scratch folder, and a list that holds its version when it stands in its place."""
    target, versions = Path(os.path.realpath(shown)), list[str]()
    try:
        recover(target)
        _refuse_early(target, kind, replaces, shown)
        with scratch_for(target) as scratch:
            scratch.mkdir()
            yield scratch, versions
            versions.append(write_manifest(scratch, kind))
            sync_tree(scratch)
            with locked(target, purpose=f"replacing {target.name}"):
                _heal(target)
                _refuse(target, kind, replaces, shown)
                _swap_in(scratch, target)
    except OSError as error:
        raise StorageError(
            f"could not write {shown}: {error.strerror or error}; what stood there before is unchanged. "
            "Free some space or choose another folder, then try again"
        ) from error


def read_folder(folder: str | Path, read: Callable[[Path], T], *, kind: str) -> T:
    """What `read(folder)` gives, all of it from one version of the folder, which is checked first (see `check_folder`).

    `read` is called again when a writer replaced the folder meanwhile, also when it failed for that reason; it must have no
    effect but its result. For compare-and-swap take `version_of(folder)` inside `read`. Any number of threads and processes
    may read at once and beside writers; a reader that was overtaken a few times takes the writers' lock for one reading.
    """
    folder = Path(folder)
    for _ in range(_FREE_READS):
        with _unless_replaced(folder) as is_one_version:
            try:
                check_folder(folder, kind=kind)
                found = read(folder)
            except Exception:
                if is_one_version():
                    raise
            else:
                if is_one_version():
                    return found
    return _read_with_writers_waiting(folder, read, kind)


def recover(target: str | Path) -> None:
    """After a crash: put back a folder that was set aside for a replacement which never came, drop what dead writers left.

    Works under the writers' lock and touches nothing of a living writer; where nothing was left it takes no lock.
    """
    target = Path(os.path.realpath(target))
    remove_leftovers(target)
    if _set_aside_name(target).is_dir():
        with locked(target, purpose=f"recovering {target.name}"):
            _heal(target)
    elif lock_path(target).exists():
        with locked_if_free(target):
            pass  # a dead owner's lock file goes with the lock


def _read_with_writers_waiting(folder: Path, read: Callable[[Path], T], kind: str) -> T:
    place = Path(os.path.realpath(folder))
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(place, purpose=f"reading {place.name}"))
        except BusyError:
            raise
        except StorageError:  # no lock can be had where the reader may not write
            return _read_again_and_again(folder, read, kind)
        _heal(place)
        check_folder(folder, kind=kind)
        return read(folder)


def _read_again_and_again(folder: Path, read: Callable[[Path], T], kind: str) -> T:
    for attempt in range(_MOST_READS):
        # After a crash between two renames the folder still has its other name, which this reader cannot change.
        aside = _set_aside_name(Path(os.path.realpath(folder)))
        place = aside if aside.is_dir() and not folder.exists() else folder
        with _unless_replaced(place) as is_one_version:
            try:
                check_folder(place, kind=kind)
                found = read(place)
            except Exception:
                if is_one_version():
                    raise
            else:
                if is_one_version():
                    return found
        time.sleep(0.001 * attempt)
    raise BusyError(
        f"{folder} was replaced each of the {_MOST_READS} times it was read; wait for its writers, then try again"
    )


@contextmanager
def _unless_replaced(folder: Path) -> Iterator[Callable[[], bool]]:
    """Whether the folder that stood here at the start of the block still stands here.

    It is held open meanwhile, or its inode's number might be given to the folder that takes its place.
    """
    descriptor = None
    if os.name != "nt":  # Windows opens no folders; it does not use such a number again soon
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
    before = _identity(folder if descriptor is None else descriptor)
    try:
        yield lambda: _identity(folder) == before if before else not (_has_writers(folder) or folder.exists())
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _identity(folder: Path | int) -> tuple[int, int] | None:
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _has_writers(target: Path) -> bool:
    """Whether a folder that is absent may be on its way: written, replaced, or set aside by a crash."""
    target = Path(os.path.realpath(target))
    return bool(scratches_of(target)) or lock_path(target).exists() or _set_aside_name(target).exists()


def _refuse_early(target: Path, kind: str, replaces: str | AnyVersion | None, shown: Path) -> None:
    """`_refuse` before any work is done; what it finds is believed only if it stands while no other writer is at work.

    Each look at `target` may fall before, between or after another writer's two renames.
    """
    try:
        _refuse(target, kind, replaces, shown)
    except (StorageError, OSError):
        with locked(target, purpose=f"looking at {target.name}"):
            _heal(target)
            _refuse(target, kind, replaces, shown)


def _refuse(target: Path, kind: str, replaces: str | AnyVersion | None, shown: Path) -> None:
    _refuse_foreign(target)
    _refuse_other_kind(target, kind, shown)
    _require_version(target, replaces, shown)


def _refuse_foreign(target: Path) -> None:
    if target.is_dir() and target.samefile("."):
        # The folder is replaced by another one: whoever stands in it would stand nowhere.
        raise StorageError(
            f"{target} is the current folder, which cannot be replaced; name a folder in it, or go elsewhere"
        )
    if target.is_dir() and not is_complete(target) and any(target.iterdir()):
        raise StorageError(
            f"{target} exists and was not written by this package; choose another folder, or empty that one"
        )
    if target.exists() and not target.is_dir():
        raise StorageError(f"{target} is a file; a folder is needed there")


def _refuse_other_kind(target: Path, kind: str, shown: Path) -> None:
    """A model may take the place of its earlier self, never that of something else, which nobody can have meant."""
    if not is_complete(target):
        return
    try:
        found = read_json(target / MANIFEST).get("kind")
    except IntegrityError:  # damaged: what it was nobody can say, and writing it anew is the remedy
        return
    if found != kind:
        raise StorageError(
            f"{shown} holds a {found!r}, and a {kind!r} was to be written; choose another folder, or remove that one first"
        )


def _require_version(target: Path, replaces: str | AnyVersion | None, shown: Path) -> None:
    if isinstance(replaces, AnyVersion) or (found := version_of(target)) == replaces:
        return
    stands = "nothing stands there any more" if found is None else f"version {found[:12]}… stands there"
    needed = "nothing was to stand there" if replaces is None else f"the change was made on version {replaces[:12]}…"
    raise ConflictError(
        f"{shown} was changed by someone else: {needed}, and {stands}. Nothing was written; load it again and repeat the "
        "change, or save to another folder"
    )


def _swap_in(scratch: Path, target: Path) -> None:
    """Put `scratch` where `target` is; what stood there ends up in its place, or nowhere."""
    keep_mode(target, scratch)
    if not target.exists():
        os.rename(scratch, target)
    elif not exchange(scratch, target):
        _swap_by_two_renames(scratch, target)
    sync_folder(target.parent)


def _swap_by_two_renames(scratch: Path, target: Path) -> None:
    """The same where names cannot be exchanged: readers wait for the second rename, `recover` makes up for a missing one."""
    try:
        try:
            os.rename(target, _set_aside_name(target))
            os.rename(scratch, target)
        finally:
            _heal(target)
    finally:
        _heal(target)  # Ctrl-C may have come in the midst of the first


def _heal(target: Path) -> None:
    """Undo a replacement that ended between its two renames, clear up after one that ended. Only under the lock."""
    old = _set_aside_name(target)
    if old.is_dir():
        if not target.exists():
            os.rename(old, target)
        remove(old)


def _set_aside_name(target: Path) -> Path:
    return target.parent / f".{target.name}.replaced"
