"""Named tensors in safetensors files. Pickles are refused: loading one can run any code."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from interconnected_ai.errors import IntegrityError, NotAModelError, UnsafeFileError

if TYPE_CHECKING:
    from torch import Tensor

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")


def save_tensors(path: str | Path, tensors: "Mapping[str, Tensor]", metadata: Mapping[str, str] | None = None) -> None:
    """Write named tensors to a safetensors file; tensors that share memory are written as separate copies.

    Into a file that nobody else reads or writes yet (see `atomic_folder`); nobody may change the tensors meanwhile.
    """
    from safetensors.torch import save_file  # here, so that rooms without torch can use this room

    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    try:
        save_file(whole, path, metadata=dict(metadata) if metadata else None)
    except Exception as error:
        # safetensors reports a full disk as its own exception type, not as OSError
        if type(error).__name__ == "SafetensorError":
            raise OSError(f"safetensors could not write {Path(path).name}: {error}") from error
        raise


def load_tensors(path: str | Path) -> "dict[str, Tensor]":
    """The tensors of a safetensors file; `UnsafeFileError` for pickles, `IntegrityError` for damaged files.

    Any number of threads may load one file at once; each gets tensors of its own.
    """
    from safetensors.torch import load_file

    with _readable(path) as place:
        return load_file(place)


def load_described_tensors(path: str | Path) -> "tuple[dict[str, Tensor], dict[str, str]]":
    """The tensors of a safetensors file, each in memory of its own, and its metadata; raises as `load_tensors` does.

    Any number of threads may load one file at once.
    """
    from safetensors import safe_open

    with _readable(path) as place, safe_open(place, framework="pt") as opened:
        return {name: opened.get_tensor(name).clone() for name in opened.keys()}, opened.metadata() or {}  # noqa: SIM118


def tensor_shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors in a safetensors file, from its header; no torch. Raises as `load_tensors` does."""
    from safetensors import safe_open

    with _readable(path) as place, safe_open(place, framework="numpy") as opened:
        return {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118


@contextmanager
def _readable(path: str | Path) -> Iterator[Path]:
    """Errors of reading a safetensors file in this package's words."""
    from safetensors import SafetensorError

    place = Path(path)
    if place.suffix in PICKLES:
        raise UnsafeFileError(f"{path} is a pickle; pickles can run code when loaded and are refused, use safetensors")
    if not place.is_file():
        raise NotAModelError(f"{path} does not exist" if not place.exists() else f"{path} is no file")
    try:
        yield place
    except FileNotFoundError as error:  # it was there a moment ago: `read_folder` looks again
        raise NotAModelError(f"{path} does not exist") from error
    # torch itself refuses what a header may say and no tensor can be, such as a length of 2^63
    except (SafetensorError, TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise IntegrityError(
            f"{path} is truncated or not a safetensors file: {error}; restore it from a copy"
        ) from error
