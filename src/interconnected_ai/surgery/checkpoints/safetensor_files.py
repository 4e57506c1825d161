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
from typing import Any

from interconnected_ai.errors import ConfigError, IntegrityError, NotAModelError, UnsafeFileError
from interconnected_ai.mixtures import text_config_of
from interconnected_ai.storage import read_json
from interconnected_ai.surgery.checkpoints.header import read_told
from interconnected_ai.surgery.operations.history import RECIPE_TENSORS

_CHUNK_BYTES = 1 << 24


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
    return {
        told.name: Entry(told.name, told.dtype, told.shape, (ByteRange(path, told.start, told.size),))
        for told in read_told(path)
    }


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
        names = _shards_in(index)
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise IntegrityError(
                f"{folder} lacks {len(missing)} of {len(names)} shards: {_listed(missing)}; fetch them, then open it again"
            )
        return [folder / name for name in names]
    found = sorted(path for path in folder.glob("*.safetensors") if path.name != RECIPE_TENSORS)
    if found:
        return found
    pickles = sorted([*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")])
    if pickles:
        raise UnsafeFileError(
            f"{folder} has its weights in the pickle {pickles[0].name!r}, which can run code when loaded; take the model's "
            "safetensors files"
        )
    raise NotAModelError(f"{folder} holds no safetensors weights; fetch the model's *.safetensors files into it")


def _shards_in(index: Path) -> list[str]:
    """The files that an index names, all of them in its folder."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise IntegrityError(f"{index} is no index of shards: needs a weight_map, tensor → file; fetch it again")
    names = sorted(set(weight_map.values()))
    strange = next((name for name in names if Path(name).name != name or not name), None)
    if strange is not None:
        raise IntegrityError(f"{index} names the shard {strange!r}, which is no file of this folder; fetch it again")
    return names


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")


def text_config_in(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The part of a config.json that is about the language model."""
    try:
        text = text_config_of(config, str(folder / "config.json"))
    except ConfigError as error:
        raise IntegrityError(str(error)) from error
    assert isinstance(text, dict), "JSON objects are dictionaries"
    return text
