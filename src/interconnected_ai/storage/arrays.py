"""Named numpy arrays in npz files. Pickles inside are refused."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interconnected_ai.errors import IntegrityError, NotAModelError

if TYPE_CHECKING:
    import numpy as np


def save_arrays(path: str | Path, arrays: "Mapping[str, np.ndarray]") -> None:
    """Write named arrays of numbers into a file that nobody else reads or writes yet: see `atomic_folder`."""
    import numpy as np  # here, so that rooms without numpy can use this room

    assert not any(array.dtype.hasobject for array in arrays.values()), "objects would be pickled"
    named: dict[str, Any] = dict(arrays)
    with Path(path).open("wb") as file:
        np.savez(file, **named)


def load_arrays(path: str | Path) -> "dict[str, np.ndarray]":
    """The arrays of an npz file; `NotAModelError` where there is none, `IntegrityError` for a damaged one.

    Any number of threads may read one file at once.
    """
    import numpy as np

    try:
        with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as file:  # np.load reads other kinds too
            return {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise NotAModelError(f"{path} does not exist") from error
    except (ValueError, EOFError, KeyError, OSError, AttributeError, zipfile.BadZipFile) as error:
        raise IntegrityError(f"{path} is damaged or no npz file: {error}; restore it from a copy") from error
