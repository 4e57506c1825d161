"""Damaged safetensors files: whatever stands in one, the answer is its tensors or an IntegrityError."""

import json
import struct
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interconnected_ai.errors import IntegrityError, NotAModelError
from interconnected_ai.storage import load_tensors, save_tensors

TENSORS = {"w": torch.arange(6.0).view(2, 3), "b": torch.ones(4, dtype=torch.bfloat16)}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NUMBERS = st.integers(-10, 40) | st.sampled_from([2**31, 2**62, 2**63, 2**64 - 1, 2**64, -1])
DTYPES = st.sampled_from(["F32", "BF16", "F64", "BOOL", "U64", "F4", "F6_E2M3", "F8_E4M3", "C64", "F33", ""])


@pytest.fixture(scope="module")
def saved() -> bytes:
    with tempfile.TemporaryDirectory() as place:
        save_tensors(Path(place) / "a.safetensors", TENSORS, {"note": "да"})
        return (Path(place) / "a.safetensors").read_bytes()


def parts(content: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and the bytes after it."""
    (size,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def load_or_refuse(content: bytes) -> dict[str, torch.Tensor] | None:
    """The tensors of a file with these bytes, None for an IntegrityError; any other error is the test's failure."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "a.safetensors"
        path.write_bytes(content)
        try:
            return load_tensors(path)
        except IntegrityError:
            return None


def with_header(header: object, data: bytes) -> bytes:
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


@settings(deadline=None)
@given(data=st.data())
def test_a_header_that_says_something_else_of_a_tensor_is_read_as_it_says_or_refused(
    data: st.DataObject, saved: bytes
) -> None:
    header, body = parts(saved)
    told = header[data.draw(st.sampled_from(["w", "b"]))]
    key = data.draw(st.sampled_from(["dtype", "shape", "data_offsets"]))
    shapes = st.lists(NUMBERS, max_size=4)
    told[key] = data.draw(ANYTHING | {"dtype": DTYPES, "shape": shapes, "data_offsets": shapes}[key])
    found = load_or_refuse(with_header(header, body))
    if found is not None:
        assert found.keys() == TENSORS.keys()
        assert sum(tensor.numel() * tensor.element_size() for tensor in found.values()) == len(body)


@settings(deadline=None)
@given(header=ANYTHING, body=st.binary(max_size=40))
def test_any_header_at_all_is_read_or_refused(header: object, body: bytes) -> None:
    load_or_refuse(with_header(header, body))


@settings(deadline=None)
@given(content=st.binary(max_size=60))
def test_any_bytes_at_all_are_read_or_refused(content: bytes) -> None:
    load_or_refuse(content)


@settings(deadline=None)
@given(data=st.data())
def test_flipped_bits_anywhere_are_read_or_refused(data: st.DataObject, saved: bytes) -> None:
    content = bytearray(saved)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    load_or_refuse(bytes(content))


@pytest.mark.parametrize("offsets", [[-8, 24], [24, 0], [0, 24.0], [8, 32], [0, 2**63], [0], None])
def test_offsets_that_cannot_be_are_refused(saved: bytes, offsets: object) -> None:
    header, body = parts(saved)
    header["w"]["data_offsets"] = offsets
    assert load_or_refuse(with_header(header, body)) is None


def test_a_length_that_no_tensor_can_have_is_refused() -> None:
    header = {"w": {"dtype": "F32", "shape": [0, 2**63], "data_offsets": [0, 0]}}
    assert load_or_refuse(with_header(header, b"")) is None


def test_a_folder_is_no_file_of_tensors(tmp_path: Path) -> None:
    with pytest.raises(NotAModelError, match="is no file"):
        load_tensors(tmp_path)
