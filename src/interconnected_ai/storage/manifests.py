"""The manifest of a folder: its kind, its format, and the size and SHA-256 of every file. It is written last."""

import hashlib
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from interconnected_ai.errors import FormatVersionError, IntegrityError, NotAModelError, UnsafeFileError
from interconnected_ai.storage.files import sha256_of
from interconnected_ai.storage.objects import read_json, write_json
from interconnected_ai.storage.tensors import PICKLES

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
_PART_BYTES, _READ_BYTES = 2**23, 2**18
_SETTLED_NS, _MOST_VERIFIED = 2 * 10**9, 10_000
_verified: dict[tuple[int, ...], str] = {}  # files that were found unaltered: device, inode, size and times → SHA-256


def is_complete(folder: str | Path) -> bool:
    """Whether `folder` holds a manifest, which is written last."""
    return (Path(folder) / MANIFEST).is_file()


def version_of(folder: str | Path) -> str | None:
    """What tells this state of a folder from every other: SHA-256 of its manifest. None where no folder of ours stands.

    It may be asked at any time; to have version and contents of one state, ask inside `read_folder`.
    """
    try:
        return sha256_of(Path(folder) / MANIFEST)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def state_of(path: str | Path) -> str:
    """What tells what stands at a path from what stood there: of a folder of ours its version, of anything else names, sizes
    and times of its files. It may be asked at any time, and of what is not there.
    """
    path = Path(path)
    if (version := version_of(path)) is not None:
        return version
    try:
        files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
        known = [(str(file.relative_to(path)), file.stat()) for file in files]
    except OSError:  # nothing is there, or it goes just now
        return "nothing"
    told = [f"{name} {status.st_size} {status.st_mtime_ns} {status.st_ino}" for name, status in known]
    return hashlib.sha256("\n".join(told).encode("utf-8", "surrogateescape")).hexdigest()


def check_folder(folder: str | Path, *, kind: str) -> None:
    """Raise unless `folder` is a complete, unaltered folder of this `kind`, in a format this version reads.

    Any number of threads may check at once. Beside a writer use `read_folder`, or a folder that is being replaced may seem
    damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        found = f"{folder} is a file" if folder.is_file() else f"no folder at {folder}"
        raise NotAModelError(f"{found}; needed is the folder of a saved {kind}")
    if not is_complete(folder):
        pickles = [f.name for f in folder.iterdir() if f.suffix in PICKLES]
        if pickles:
            raise UnsafeFileError(
                f"{folder} holds the pickle file {pickles[0]!r}; pickles can run code when loaded and are refused. "
                "Convert the weights to safetensors and save them with save_pretrained"
            )
        raise NotAModelError(f"{folder} is no {kind} of ours: it has no {MANIFEST}")
    manifest = read_json(folder / MANIFEST)
    version = manifest.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise FormatVersionError(
            f"{folder} has format version {version!r}, this package reads up to {FORMAT_VERSION}; upgrade interconnected-ai"
        )
    if manifest.get("kind") != kind:
        raise NotAModelError(f"{folder} holds a {manifest.get('kind')!r}, needed is a {kind!r}")
    files = manifest.get("files")
    if not isinstance(files, dict):
        raise IntegrityError(f"{folder / MANIFEST} lists no files; the folder is damaged, restore it from a copy")
    for name, expected in files.items():
        _check_file(folder, name, expected)


def write_manifest(folder: Path, kind: str) -> str:
    """Write the manifest of what now stands in `folder`, and return the folder's version."""
    files = {
        path.relative_to(folder).as_posix(): _described(path) for path in sorted(folder.rglob("*")) if path.is_file()
    }
    write_json(folder / MANIFEST, {"kind": kind, "format_version": FORMAT_VERSION, "files": files})
    return sha256_of(folder / MANIFEST)


def _check_file(folder: Path, name: str, expected: Any) -> None:
    path = folder / name
    if not isinstance(expected, dict) or not {"size_bytes", "sha256"} <= expected.keys():
        raise IntegrityError(
            f"{folder / MANIFEST} says nothing of {name}; the folder is damaged, restore it from a copy"
        )
    if not path.is_file():
        raise IntegrityError(f"{path} is missing; the folder is damaged, restore it from a copy")
    size = path.stat().st_size
    if size != expected["size_bytes"]:
        raise IntegrityError(f"{path} has {size} bytes, saved were {expected['size_bytes']}; restore it from a copy")
    if not _is_unaltered(path, expected):
        raise IntegrityError(f"{path} was altered after saving (its SHA-256 differs); restore it from a copy")


def _described(path: Path) -> dict[str, Any]:
    """What the manifest says of a file."""
    size = path.stat().st_size
    said = {"size_bytes": size, "sha256": sha256_of(path)}
    return said | ({"sha256_parts": _sha256_of_parts(path)} if size > 2 * _PART_BYTES else {})


def _is_unaltered(path: Path, expected: Mapping[str, Any]) -> bool:
    """Whether a file holds the bytes that were saved; one that did, and has not changed since, is not read again.

    Changed is what has another inode, size or time. A file as young as a file system's clock is coarse could change without
    that, so such a file is read every time (what git calls racily clean). Nor is it kept in mind when it was another file
    at the end of the reading than at the beginning.
    """
    identity = _identity(path)
    if _verified.get(identity) == str(expected["sha256"]):
        return True
    if "sha256_parts" in expected:
        unaltered = _sha256_of_parts(path) == list(expected["sha256_parts"])
    else:
        unaltered = sha256_of(path) == str(expected["sha256"])
    is_settled = time.time_ns() - max(identity[-2:]) > _SETTLED_NS
    if unaltered and is_settled and _identity(path) == identity:
        if len(_verified) >= _MOST_VERIFIED:
            _verified.clear()
        _verified[identity] = str(expected["sha256"])
    return unaltered


def _identity(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _sha256_of_parts(path: Path) -> list[str]:
    """SHA-256 of a file's parts: a large file's are computed on all cores, where its own would keep one busy."""
    starts = range(0, path.stat().st_size, _PART_BYTES)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return list(pool.map(lambda start: _sha256_of_part(path, start), starts))


def _sha256_of_part(path: Path, start: int) -> str:
    found, left = hashlib.sha256(), _PART_BYTES
    buffer = memoryview(bytearray(_READ_BYTES))  # one for all reads: a new one each time costs page faults
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        while left and (size := file.readinto(buffer[: min(left, _READ_BYTES)])):
            found.update(buffer[:size])
            left -= size
    return found.hexdigest()
