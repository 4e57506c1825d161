"""A folder on disk that is whole or absent: config.json, *.safetensors, a README card and a manifest with checksums.

Writing goes to a hidden sibling folder, every file is flushed to the disk, the manifest comes last, and one rename
puts the folder in its place; whoever reads sees the old contents or the new ones. Never pickle.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interconnected_ai.errors import FormatVersionError, IntegrityError, NotAModelError, StorageError, UnsafeFileError

if TYPE_CHECKING:
    from torch import Tensor

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
_PART_BYTES, _READ_BYTES = 2**23, 2**18
_SETTLED_NS, _MOST_VERIFIED = 2 * 10**9, 10_000
_verified: dict[tuple[int, ...], str] = {}  # files that were found unaltered: device, inode, size and times → SHA-256
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")


@contextmanager
def atomic_folder(target: str | Path, *, kind: str) -> Iterator[Path]:
    """A scratch folder that becomes `target` when the block ends well, and leaves no trace when it does not.

    What stood at `target` before is replaced only if it was one of our folders (it has a manifest) or empty.
    Raises `StorageError` when the disk is full, not writable, or something else stands there.
    """
    target = Path(target)
    _refuse_foreign(target)
    scratch: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.writing-", dir=target.parent))
        yield scratch
        _write_manifest(scratch, kind)
        _sync_tree(scratch)
        _swap_in(scratch, target)
    except OSError as error:
        raise StorageError(
            f"could not write {target}: {error.strerror or error}; what stood there before is unchanged. "
            "Free some space or choose another folder, then try again"
        ) from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def atomic_file(target: str | Path) -> Iterator[Path]:
    """A scratch file that becomes `target` when the block ends well; `target` is never half-written."""
    target = Path(target)
    scratch = target.parent / f".{target.name}.writing-{os.getpid()}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield scratch
        _sync_file(scratch)
        os.replace(scratch, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise StorageError(f"could not write {target}: {error.strerror or error}; the old file is unchanged") from error
    finally:
        if scratch.parent.is_dir():
            scratch.unlink(missing_ok=True)


def is_complete(folder: str | Path) -> bool:
    """Whether `folder` holds a manifest, which is written last."""
    return (Path(folder) / MANIFEST).is_file()


def check_folder(folder: str | Path, *, kind: str) -> None:
    """Raise unless `folder` is a complete, unaltered folder of this `kind`, in a format this version reads."""
    folder = Path(folder)
    if not folder.is_dir():
        raise NotAModelError(f"no folder at {folder}; needs a {kind} saved by this package")
    if not is_complete(folder):
        pickles = [f.name for f in folder.iterdir() if f.suffix in _PICKLES]
        if pickles:
            raise UnsafeFileError(
                f"{folder} holds the pickle file {pickles[0]!r}; pickles can run code when loaded and are refused. "
                "Convert the weights to safetensors and save them with save_pretrained"
            )
        raise NotAModelError(f"{folder} is not a {kind} of ours: it has no {MANIFEST}")
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
        path = folder / name
        if not isinstance(expected, dict) or not {"size_bytes", "sha256"} <= expected.keys():
            raise IntegrityError(
                f"{folder / MANIFEST} says nothing of {name}; the folder is damaged, restore it from a copy"
            )
        if not path.is_file():
            raise IntegrityError(f"{path} is missing; the folder is damaged, restore it from a copy")
        size = path.stat().st_size
        if size != expected["size_bytes"]:
            raise IntegrityError(
                f"{path} has {size} bytes, saved were {expected['size_bytes']}; restore it from a copy"
            )
        if not _is_unaltered(path, expected):
            raise IntegrityError(f"{path} was altered after saving (its SHA-256 differs); restore it from a copy")


def read_json(path: str | Path) -> dict[str, Any]:
    """The JSON object in a file; `IntegrityError` when it is not one."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotAModelError(f"{path} does not exist") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise IntegrityError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise IntegrityError(f"{path} holds a JSON {type(content).__name__}, needed is an object")
    return content


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object, readable by people (indented, UTF-8)."""
    Path(path).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def save_tensors(path: str | Path, tensors: "Mapping[str, Tensor]", metadata: Mapping[str, str] | None = None) -> None:
    """Write named tensors to a safetensors file; tensors that share memory are written as separate copies."""
    from safetensors.torch import save_file  # here, so that rooms without torch can use this file

    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    try:
        save_file(whole, path, metadata=dict(metadata) if metadata else None)
    except Exception as error:
        # safetensors reports a full disk as its own exception type, not as OSError
        if type(error).__name__ == "SafetensorError":
            raise OSError(f"safetensors could not write {Path(path).name}: {error}") from error
        raise


def load_tensors(path: str | Path) -> "dict[str, Tensor]":
    """The tensors of a safetensors file; `UnsafeFileError` for pickles, `IntegrityError` for damaged files."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(path)
    if path.suffix in _PICKLES:
        raise UnsafeFileError(f"{path} is a pickle; pickles can run code when loaded and are refused, use safetensors")
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise NotAModelError(f"{path} does not exist") from error
    except SafetensorError as error:
        raise IntegrityError(
            f"{path} is truncated or not a safetensors file: {error}; restore it from a copy"
        ) from error


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_unaltered(path: Path, expected: Mapping[str, Any]) -> bool:
    """Whether a file holds the bytes that were saved; one that did, and has not changed since, is not read again.

    Changed is what has another inode, size or time. A file as young as a file system's clock is coarse could change without
    that, so such a file is read every time (what git calls racily clean).
    """
    status = path.stat()
    identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if _verified.get(identity) == str(expected["sha256"]):
        return True
    if "sha256_parts" in expected:
        unaltered = _sha256_of_parts(path) == list(expected["sha256_parts"])
    else:
        unaltered = sha256_of(path) == str(expected["sha256"])
    if unaltered and time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > _SETTLED_NS:
        if len(_verified) >= _MOST_VERIFIED:
            _verified.clear()
        _verified[identity] = expected["sha256"]
    return unaltered


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


def _refuse_foreign(target: Path) -> None:
    if target.is_dir() and not is_complete(target) and any(target.iterdir()):
        raise StorageError(
            f"{target} exists and was not written by this package; choose another folder, or empty that one"
        )
    if target.exists() and not target.is_dir():
        raise StorageError(f"{target} is a file; a folder is needed there")


def _write_manifest(folder: Path, kind: str) -> None:
    files = {
        path.relative_to(folder).as_posix(): _described(path) for path in sorted(folder.rglob("*")) if path.is_file()
    }
    write_json(folder / MANIFEST, {"kind": kind, "format_version": FORMAT_VERSION, "files": files})


def _described(path: Path) -> dict[str, Any]:
    """What the manifest says of a file."""
    size = path.stat().st_size
    said = {"size_bytes": size, "sha256": sha256_of(path)}
    return said | ({"sha256_parts": _sha256_of_parts(path)} if size > 2 * _PART_BYTES else {})


def _swap_in(scratch: Path, target: Path) -> None:
    """Put `scratch` where `target` is. The moment between the two renames is covered by `recover`."""
    old = _set_aside_name(target)
    scratch.chmod(0o755)  # mkdtemp makes folders that only their owner can read
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.rename(target, old)
    try:
        os.rename(scratch, target)
    except OSError:
        if old.is_dir():
            os.rename(old, target)  # or what stood there would not be unchanged, as the error says
        raise
    _sync_folder(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def recover(target: str | Path) -> None:
    """After a crash: put back a folder that was set aside for a replacement which never came, drop unfinished ones."""
    target = Path(target)
    old = _set_aside_name(target)
    if old.is_dir() and not target.exists():
        os.rename(old, target)
    shutil.rmtree(old, ignore_errors=True)
    if target.parent.is_dir():
        for leftover in target.parent.glob(f".{target.name}.writing-*"):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)


def _set_aside_name(target: Path) -> Path:
    return target.parent / f".{target.name}.replaced"


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            _sync_file(path)
    _sync_folder(folder)


def _sync_file(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder for fsync
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
