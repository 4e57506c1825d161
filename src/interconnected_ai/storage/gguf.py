"""GGUF files: what they say of themselves and where their tensors lie, read from the head of the mapped file.

No weights are touched, no package is needed, and every length that a file states is held against its real size. What the
entries mean is left to `text` (tokenizers) and `experts` (models).
"""

import math
import mmap
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interconnected_ai.errors import FormatVersionError, IntegrityError, NotAModelError, StorageError

GGUF_SUFFIX = ".gguf"
_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_ALIGNMENT = 32
_MOST_DIMENSIONS = 4
_DEEPEST = 4  # arrays within arrays
_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip

# ggml's types of tensors: number → name, weights of a block, bytes of a block (ggml's ggml-common.h)
_TENSOR_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}  # fmt: skip


@dataclass(frozen=True)
class GgufTensor:
    """A tensor as the head names it.

    shape: (out, in) for a matrix, as PyTorch has it. type_name: ggml's, such as "Q4_1". offset: bytes from the beginning of the
    file. num_bytes: 0 for a type that is newer than this reader.
    """

    name: str
    shape: tuple[int, ...]
    type_name: str
    offset: int
    num_bytes: int


@dataclass(frozen=True)
class GgufHead:
    """All of a GGUF file but its weights.

    metadata: every entry; arrays are tuples, made when they are asked for. size_bytes: of the file.
    Threads: any number may read one.
    """

    path: Path
    metadata: Mapping[str, Any]
    tensors: tuple[GgufTensor, ...]
    size_bytes: int

    @property
    def num_params(self) -> int:
        """Numbers in all tensors."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors)


def is_gguf(path: str | Path) -> bool:
    """Whether a file begins as GGUF files do."""
    place = Path(path)
    if not place.is_file():
        return False
    with place.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def read_gguf(path: str | Path) -> GgufHead:
    """The head of a GGUF file of either version in use (2 and 3).

    Raises `NotAModelError` for what is no GGUF file, `IntegrityError` for one that is cut off or states what cannot be,
    `FormatVersionError` for another version, `StorageError` for a big-endian one.
    Any number of threads may read one file at once.
    """
    place = Path(path)
    if not place.is_file():
        raise NotAModelError(f"{path} is no file" if place.exists() else f"{path} does not exist")
    size = place.stat().st_size
    if size < len(_MAGIC) + 4:
        raise NotAModelError(f"{path} has {size} bytes and is no GGUF file; was its download broken off?")
    with place.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return _read(place, _Cursor(place, mapped), size)


def _read(place: Path, cursor: "_Cursor", size: int) -> GgufHead:
    _check_version(place, cursor)
    num_tensors, num_entries = cursor.scalar("Q"), cursor.scalar("Q")
    cursor.require(num_entries * 13 + num_tensors * 24)  # the least that each of them takes
    entries: dict[str, Any] = {}
    for _ in range(num_entries):
        name = cursor.string()
        if name in entries:
            raise IntegrityError(f"{place} has the entry {name!r} twice; it was written wrongly, fetch it again")
        entries[name] = cursor.value(cursor.scalar("I"))
    stated = [_stated_tensor(cursor) for _ in range(num_tensors)]
    alignment = entries.get("general.alignment", _ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 8 or alignment % 8:
        raise IntegrityError(f"{place} has general.alignment={alignment!r}; needed is a multiple of 8")
    begin = -(-cursor.place // alignment) * alignment
    tensors = tuple(_placed(place, tensor, begin, size) for tensor in stated)
    if len({tensor.name for tensor in tensors}) < num_tensors:
        raise IntegrityError(f"{place} has two tensors of one name; it was written wrongly, fetch it again")
    return GgufHead(place, _Entries(entries), tensors, size)


def _check_version(place: Path, cursor: "_Cursor") -> None:
    if cursor.take(len(_MAGIC)) != _MAGIC:
        raise NotAModelError(f"{place} is no GGUF file: it does not begin with {_MAGIC.decode()}")
    version = cursor.scalar("I")
    if version in _VERSIONS:
        return
    if struct.unpack("<I", struct.pack(">I", version))[0] in _VERSIONS:
        raise StorageError(f"{place} is a big-endian GGUF file; convert it with gguf-convert-endian, or fetch another")
    known = " and ".join(map(str, _VERSIONS))
    raise FormatVersionError(f"{place} has GGUF version {version}, known are {known}; convert it anew with llama.cpp")


def _stated_tensor(cursor: "_Cursor") -> tuple[str, tuple[int, ...], int, int]:
    """Name, shape (out, in), number of the type, and place within the data."""
    name, num_dimensions = cursor.string(), cursor.scalar("I")
    if num_dimensions > _MOST_DIMENSIONS:
        raise cursor.impossible(
            f"the tensor {name!r} has {num_dimensions} dimensions, {_MOST_DIMENSIONS} at most can be"
        )
    shape = tuple(cursor.scalar("Q") for _ in range(num_dimensions))
    return name, shape[::-1], cursor.scalar("I"), cursor.scalar("Q")


def _placed(place: Path, stated: tuple[str, tuple[int, ...], int, int], begin: int, size: int) -> GgufTensor:
    name, shape, number, within = stated
    type_name, block, block_bytes = _TENSOR_TYPES.get(number, (f"type {number}", 1, 0))
    if shape and shape[-1] % block:
        raise IntegrityError(
            f"{place}: rows of {name!r} have {shape[-1]} weights, {type_name} needs a multiple of {block}"
        )
    num_bytes = math.prod(shape) // block * block_bytes
    end = begin + within + num_bytes
    if end > size:
        raise IntegrityError(
            f"{place} is cut off: its tensor {name!r} ends at byte {end}, the file has {size}; fetch it again"
        )
    return GgufTensor(name, shape, type_name, begin + within, num_bytes)


class _Cursor:
    """A place in the mapped head; going beyond its end raises `IntegrityError`."""

    def __init__(self, path: Path, mapped: mmap.mmap) -> None:
        self._path, self._mapped, self._size = path, mapped, len(mapped)
        self.place = 0

    def take(self, num_bytes: int) -> bytes:
        self.require(num_bytes)
        self.place += num_bytes
        return self._mapped[self.place - num_bytes : self.place]

    def scalar(self, kind: str) -> Any:
        return struct.unpack(f"<{kind}", self.take(struct.calcsize(f"<{kind}")))[0]

    def string(self) -> str:
        return _text(self.take(self.scalar("Q")))

    def value(self, kind: int, depth: int = 0) -> Any:
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            return self._array(depth)
        if kind not in _SCALARS:
            raise self.impossible(f"a value of type {kind}, which GGUF has not")
        return self.scalar(_SCALARS[kind])

    def _array(self, depth: int) -> "_Array | tuple[Any, ...]":
        kind, length = self.scalar("I"), self.scalar("Q")
        if kind == _STRING:
            begin = self.place
            self._skip_strings(length)
            return _Array(self._mapped[begin : self.place], kind, length)
        if kind in _SCALARS:
            return _Array(self.take(length * struct.calcsize(_SCALARS[kind])), kind, length)
        if kind != _ARRAY or depth == _DEEPEST:
            raise self.impossible(f"an array of type {kind} at depth {depth}")
        self.require(length * 12)
        return tuple(self.value(kind, depth + 1) for _ in range(length))

    def _skip_strings(self, length: int) -> None:
        self.require(length * 8)
        unpack, mapped, place, size = struct.Struct("<Q").unpack_from, self._mapped, self.place, self._size
        for _ in range(length):
            if place + 8 > size:
                break
            place += 8 + unpack(mapped, place)[0]
        self.require(place - self.place)
        self.place = place

    def require(self, num_bytes: int) -> None:
        """Raise `IntegrityError` where the file has not that many bytes more."""
        if num_bytes > self._size - self.place:
            raise IntegrityError(
                f"{self._path} is cut off: its head goes on for {num_bytes} bytes at byte {self.place}, the file has "
                f"{self._size}; fetch it again"
            )

    def impossible(self, what: str) -> IntegrityError:
        return IntegrityError(f"{self._path} is damaged: it states {what} before byte {self.place}; fetch it again")


@dataclass(frozen=True)
class _Array:
    """An array as it lies in the file: vocabularies are large, and few who read a head want them."""

    raw: bytes
    kind: int
    length: int

    def values(self) -> tuple[Any, ...]:
        if self.kind == _STRING:
            return tuple(self._strings())
        return struct.unpack(f"<{self.length}{_SCALARS[self.kind]}", self.raw)

    def _strings(self) -> Iterator[str]:
        unpack, place = struct.Struct("<Q").unpack_from, 0
        for _ in range(self.length):
            (num_bytes,) = unpack(self.raw, place)
            yield _text(self.raw[place + 8 : place + 8 + num_bytes])
            place += 8 + num_bytes


class _Entries(Mapping[str, Any]):
    """Entries by name; an array becomes a tuple at the first look. Two threads may both make it, of the same bytes."""

    def __init__(self, read: dict[str, Any]) -> None:
        self._read = read

    def __getitem__(self, name: str) -> Any:
        value = self._read[name]
        if isinstance(value, _Array):
            value = self._read[name] = value.values()
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", errors="surrogateescape")  # a damaged token keeps its bytes
