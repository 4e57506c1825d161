"""safetensors files by their headers: what is inside without reading it, and new files made of byte ranges of old ones.

A checkpoint larger than memory is edited by copying ranges: an expert of a stacked tensor is one range, and so is a
router's row.
"""

import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, NonNegativeInt, Strict, ValidationError

from interconnected_ai.errors import IntegrityError, NotAModelError, UnsafeFileError

ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1,
              "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "U32": 4, "U64": 8}  # fmt: skip
_CHUNK_BYTES = 1 << 24
_MOST_HEADER_BYTES = 1 << 30


class _Told(BaseModel):
    """What a header says of a tensor."""

    model_config = ConfigDict(strict=True)

    dtype: str
    shape: Annotated[tuple[NonNegativeInt, ...], Strict(False)]  # JSON has lists
    data_offsets: Annotated[tuple[NonNegativeInt, NonNegativeInt], Strict(False)]


@dataclass(frozen=True)
class ByteRange:
    """Some bytes: of a file, or given."""

    path: Path | None
    start: int
    size: int
    given: bytes = b""

    @classmethod
    def of(cls, content: bytes) -> "ByteRange":
        """Bytes that are in memory."""
        return cls(None, 0, len(content), content)

    def chunks(self) -> Iterator[bytes]:
        """The bytes, some megabytes at a time."""
        if self.path is None:
            yield self.given
            return
        with self.path.open("rb") as file:
            file.seek(self.start)
            left = self.size
            while left:
                chunk = file.read(min(left, _CHUNK_BYTES))
                if not chunk:
                    raise IntegrityError(f"{self.path} ends before byte {self.start + self.size}; fetch it again")
                left -= len(chunk)
                yield chunk


@dataclass(frozen=True)
class Entry:
    """A tensor in a file: its dtype as safetensors writes it, its shape, and where its bytes are."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    ranges: tuple[ByteRange, ...]

    @property
    def size_bytes(self) -> int:
        """How many bytes it takes."""
        return sum(each.size for each in self.ranges)

    @property
    def num_params(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)

    def slice(self, index: int) -> tuple[ByteRange, ...]:
        """The bytes of one entry along the first axis; only for a tensor that lies in one range."""
        (whole,) = self.ranges
        size = whole.size // self.shape[0]
        return (ByteRange(whole.path, whole.start + index * size, size),)

    def content(self) -> bytes:
        """All its bytes."""
        return b"".join(chunk for each in self.ranges for chunk in each.chunks())


def read_header(path: Path) -> dict[str, Entry]:
    """The tensors of a file, none of them read; `IntegrityError` when it is truncated or no safetensors file."""
    try:
        with path.open("rb") as file:
            prefix = file.read(8)
            size = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else _MOST_HEADER_BYTES
            if size >= _MOST_HEADER_BYTES:
                raise IntegrityError(f"{path} is not a safetensors file; fetch it again")
            header = json.loads(file.read(size))
        there = path.stat().st_size
    except FileNotFoundError as error:
        raise NotAModelError(f"{path} does not exist") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise IntegrityError(f"{path} is truncated or not a safetensors file: {error}; fetch it again") from error
    if not isinstance(header, dict):
        raise IntegrityError(f"{path} is not a safetensors file: its header is no object; fetch it again")
    told = {name: each for name, each in header.items() if name != "__metadata__"}
    return {name: _entry(path, name, each, 8 + size, there) for name, each in told.items()}


def _entry(path: Path, name: str, told: object, begin: int, there: int) -> Entry:
    """A tensor as the header tells of it. begin: where the tensors' bytes begin; there: the size of the file."""
    try:
        said = _Told.model_validate(told)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "all of it"
        raise IntegrityError(
            f"{path} is damaged: what its header says of {name!r} cannot be ({where}: {first['msg']}); fetch it again"
        ) from error
    start, end = said.data_offsets
    if begin + end > there:
        raise IntegrityError(f"{path} has {there} bytes, its header speaks of {begin + end}; fetch it again")
    item_bytes = ITEM_BYTES.get(said.dtype)  # of a dtype that came later only the range is checked
    if start > end or (item_bytes is not None and prod(said.shape) * item_bytes != end - start):
        raise IntegrityError(
            f"{path} is damaged: {name!r}, {said.dtype} of shape {said.shape}, cannot lie in bytes {start} to {end}; "
            "fetch it again"
        )
    return Entry(name, said.dtype, said.shape, (ByteRange(path, begin + start, end - start),))


def write_file(path: Path, entries: Sequence[Entry]) -> None:
    """A safetensors file of these tensors, copied range by range."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for entry in entries:
        header[entry.name] = {
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "data_offsets": [offset, offset + entry.size_bytes],
        }
        offset += entry.size_bytes
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)  # readers map tensors in place, which wants them aligned
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        for entry in entries:
            for each in entry.ranges:
                file.writelines(each.chunks())


def files_of(folder: Path) -> list[Path]:
    """The weight files of a checkpoint folder, all of them there.

    Raises `NotAModelError` without any, `IntegrityError` when the index names files that are missing, `UnsafeFileError` for
    pickles alone.
    """
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, AttributeError) as error:
            raise IntegrityError(f"{index} is no index of shards: {error}; fetch it again") from error
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise IntegrityError(
                f"{folder} lacks {len(missing)} of {len(names)} shards: {_listed(missing)}; fetch them, then open it again"
            )
        return [folder / name for name in names]
    found = sorted(folder.glob("*.safetensors"))
    if found:
        return found
    pickles = sorted([*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")])
    if pickles:
        raise UnsafeFileError(
            f"{folder} has its weights in the pickle {pickles[0].name!r}, which can run code when loaded; take the model's "
            "safetensors files"
        )
    raise NotAModelError(f"{folder} holds no safetensors weights; fetch the model's *.safetensors files into it")


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")
