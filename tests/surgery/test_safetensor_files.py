"""Headers of safetensors files: whatever stands in one, tensors that lie inside the file or an IntegrityError."""

import json
import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interconnected_ai.errors import IntegrityError
from interconnected_ai.surgery.checkpoints.safetensor_files import read_header

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
TENSOR = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "BF16", "F4", "F33"]) | ANYTHING,
        "shape": st.lists(st.integers(-1, 6), max_size=3) | ANYTHING,
        "data_offsets": st.lists(st.integers(-8, 40), min_size=2, max_size=2) | ANYTHING,
    }
)


def written(path: Path, header: object, num_bytes: int = 32) -> Path:
    encoded = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + bytes(num_bytes))
    return path


@settings(deadline=None)
@given(header=ANYTHING | st.dictionaries(st.text(max_size=3), TENSOR | ANYTHING, max_size=3))
def test_any_header_is_read_or_refused(header: object) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = written(Path(place) / "a.safetensors", header)
        try:
            entries = read_header(path)
        except IntegrityError:
            return
        begin, end = path.stat().st_size - 32, path.stat().st_size
        for entry in entries.values():
            (there,) = entry.ranges
            assert begin <= there.start <= there.start + there.size <= end


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"shape": [6], "data_offsets": [0, 24]}, "dtype: Field required"),
        ({"dtype": "F32", "data_offsets": [0, 24]}, "shape: Field required"),
        ({"dtype": "F32", "shape": [6]}, "data_offsets: Field required"),
        ({"dtype": "F32", "shape": [6], "data_offsets": [-24, 0]}, "greater than or equal to 0"),
        ({"dtype": "F32", "shape": [-6], "data_offsets": [0, 24]}, "greater than or equal to 0"),
        ({"dtype": "F32", "shape": [6], "data_offsets": [24, 0]}, "cannot lie in bytes 24 to 0"),
        ({"dtype": "F32", "shape": [7], "data_offsets": [0, 24]}, "cannot lie in bytes 0 to 24"),
        ({"dtype": "F32", "shape": [6], "data_offsets": [16, 40]}, "its header speaks of"),
        ({"dtype": "F32", "shape": [6], "data_offsets": [0, 24.0]}, "cannot be"),
        ({"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}, "cannot be"),
        ({"dtype": "F32", "shape": [0, 6], "data_offsets": [0, 24]}, "cannot lie in bytes 0 to 24"),
        (None, "all of it"),
    ],
)
def test_a_tensor_that_cannot_be_is_refused_by_name(tmp_path: Path, told: object, message: str) -> None:
    with pytest.raises(IntegrityError, match=message):
        read_header(written(tmp_path / "a.safetensors", {"w": told}))


@pytest.mark.parametrize("header", [[], 3, None, "w"])
def test_a_header_that_is_no_object_is_refused(tmp_path: Path, header: object) -> None:
    with pytest.raises(IntegrityError, match="no object"):
        read_header(written(tmp_path / "a.safetensors", header))
