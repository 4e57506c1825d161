"""A safetensors header, checked whole before anybody believes it: kinds, dtypes, shapes, and that the tensors fill the file.

The format: 8 bytes with the length of a JSON object, the object, then the tensors' bytes, without a gap and without overlap
(https://github.com/huggingface/safetensors#format).
"""

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from interconnected_ai.errors import IntegrityError, NotAModelError

# dtype → bits of one number
ITEM_BITS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32, "U16": 16,
    "U8": 8, "BOOL": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "C64": 64,
    "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip
_MOST_HEADER_BYTES = 100_000_000  # safetensors' own bound
_MOST_SIZE = 2**63  # more numbers than any file has: a product must not run away
_LENGTH_BYTES = 8


@dataclass(frozen=True)
class Told:
    """What a header says of one tensor. start: its first byte in the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int


def read_told(path: Path) -> list[Told]:
    """What the header of a file says of its tensors, in the header's order.

    Raises `NotAModelError` without the file, `IntegrityError` naming file and tensor where the header cannot be true.
    """
    try:
        with path.open("rb") as file:
            there = file.seek(0, 2)
            file.seek(0)
            begins = _length(path, file.read(_LENGTH_BYTES), there)
            header = _object(path, file.read(begins - _LENGTH_BYTES))
    except FileNotFoundError as error:
        raise NotAModelError(f"{path} does not exist") from error
    except OSError as error:
        raise IntegrityError(f"{path} could not be read: {error.strerror or error}") from error
    header.pop("__metadata__", None)
    told = [_tensor(path, name, content, begins) for name, content in header.items()]
    _check_whole(path, told, begins, there)
    return told


def _length(path: Path, prefix: bytes, there: int) -> int:
    """Where the tensors begin."""
    if len(prefix) < _LENGTH_BYTES:
        raise IntegrityError(f"{path} has {len(prefix)} bytes and is no safetensors file; fetch it again")
    size = int.from_bytes(prefix, "little")
    if size > _MOST_HEADER_BYTES:
        raise IntegrityError(f"{path} is not a safetensors file (a header of {size} bytes); fetch it again")
    if _LENGTH_BYTES + size > there:
        raise IntegrityError(f"{path} is truncated: {there} bytes, and a header of {size}; fetch it again")
    return _LENGTH_BYTES + size


def _object(path: Path, encoded: bytes) -> dict[str, Any]:
    try:
        header = json.loads(encoded, object_pairs_hook=_without_doubles)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise IntegrityError(
            f"{path} is no safetensors file, its header is damaged: {error}; fetch it again"
        ) from error
    if not isinstance(header, dict):
        raise IntegrityError(f"{path}: its header is a JSON {type(header).__name__}, not an object; fetch it again")
    return header


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands in it twice")
    return content


def _tensor(path: Path, name: str, content: Any, begins: int) -> Told:
    place = f"{path}, tensor {name!r}"
    if not isinstance(content, dict) or not {"dtype", "shape", "data_offsets"} <= content.keys():
        raise IntegrityError(f"{place}: the header says {content!r:.80}; needs dtype, shape and data_offsets")
    dtype, shape, offsets = content["dtype"], content["shape"], content["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BITS:
        raise IntegrityError(f"{place}: dtype {dtype!r:.40} is none of {', '.join(ITEM_BITS)}")
    if not isinstance(shape, list) or not all(map(_is_size, shape)) or prod(shape) > _MOST_SIZE:
        raise IntegrityError(f"{place}: shape {shape!r:.80}; needs whole numbers of 0 or more")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_size, offsets)) or offsets[0] > offsets[1]:
        raise IntegrityError(f"{place}: data_offsets {offsets!r:.80}; needs two bytes of the file, the first one first")
    start, end = offsets
    bits = prod(shape) * ITEM_BITS[dtype]
    if bits != 8 * (end - start):
        raise IntegrityError(
            f"{place}: {dtype} of shape {tuple(shape)} takes {bits / 8:g} bytes, and the header gives it {end - start}"
        )
    return Told(name, dtype, tuple(shape), begins + start, end - start)


def _check_whole(path: Path, told: list[Told], begins: int, there: int) -> None:
    """The tensors follow each other from the header to the file's end."""
    reached = begins
    for each in sorted(told, key=lambda each: (each.start, each.size)):
        if each.start != reached:
            what = "overlaps the tensor before it" if each.start < reached else "leaves a gap before it"
            raise IntegrityError(
                f"{path}, tensor {each.name!r} {what} (byte {each.start}, not {reached}); fetch it again"
            )
        reached += each.size
    if reached != there:
        what = "is truncated" if there < reached else "goes on behind its last tensor"
        raise IntegrityError(f"{path} {what}: {there} bytes, its header speaks of {reached}; fetch it again")


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_SIZE
