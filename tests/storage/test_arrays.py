"""Arrays of numbers in npz files: they come back as they were, and damage and pickles are refused."""

from pathlib import Path

import numpy as np
import pytest

from interconnected_ai.errors import IntegrityError, NotAModelError
from interconnected_ai.storage import load_arrays, save_arrays


def test_arrays_come_back_and_the_same_ones_are_written_in_the_same_bytes(tmp_path: Path) -> None:
    arrays = {"a": np.arange(5, dtype=np.uint64), "b": np.zeros((0,), dtype=np.int16)}
    for name in ("one", "two"):
        save_arrays(tmp_path / f"{name}.npz", arrays)
    found = load_arrays(tmp_path / "one.npz")
    assert all(np.array_equal(found[n], a) and found[n].dtype == a.dtype for n, a in arrays.items())
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_what_is_damaged_absent_or_a_pickle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotAModelError, match="does not exist"):
        load_arrays(tmp_path / "absent.npz")
    save_arrays(tmp_path / "whole.npz", {"a": np.arange(500)})
    whole = (tmp_path / "whole.npz").read_bytes()
    np.savez(tmp_path / "pickled.npz", a=np.array([{}], dtype=object))
    np.save(tmp_path / "one.npy", np.arange(3))
    for name, content in (
        ("cut.npz", whole[:-40]), ("empty.npz", b""), ("words.npz", b"words"),
        ("pickled.npz", (tmp_path / "pickled.npz").read_bytes()), ("one.npz", (tmp_path / "one.npy").read_bytes()),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(content)
        with pytest.raises(IntegrityError, match=name):
            load_arrays(tmp_path / name)
