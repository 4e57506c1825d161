"""What an `Encode` gives, looked at before anything is made of it: rows of numbers, and the name of the model."""

from typing import Any

from interconnected_ai.errors import ConfigError, DataError
from interconnected_ai.types import Encode


def unit_rows(returned: Any, num_texts: int, dimension: int | None, model_id: str) -> Any:
    """What an `encode` returned, as (num_texts, dimension) float32 rows of length 1; `DataError` when it is anything else.

    dimension: that of the rows which these are to be compared with, None for any.
    """
    import numpy as np

    try:
        rows = np.asarray(returned, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{model_id} returned {type(returned).__name__}, which is no array of numbers: {error}"
        ) from error
    if rows.ndim == 1 and num_texts == 1:
        rows = rows[None]
    if rows.ndim != 2 or len(rows) != num_texts or not rows.shape[1] or (dimension and rows.shape[1] != dimension):
        needed = f"({num_texts}, {dimension or 'dimension'})"
        raise DataError(f"{model_id} returned an array of shape {rows.shape}, needed is {needed}")
    if not np.isfinite(rows).all():
        raise DataError(f"{model_id} returned numbers that are not finite; its vectors cannot be compared")
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(lengths, 1e-12)


def model_id_of(encode: Encode) -> str:
    """The name by which vectors of one model are told from another's: its attribute `model_id`, or where it was defined.

    Raises `ConfigError` for a lambda, which has no name.
    """
    name = getattr(encode, "model_id", None)
    if name is not None:
        return str(name)
    owner = encode if hasattr(encode, "__qualname__") else type(encode)
    name = f"{owner.__module__}.{owner.__qualname__}"
    if "<lambda>" in name:
        raise ConfigError(
            "encode is a lambda, whose vectors could not be told from another's; give a function with a name, or an object "
            "with the attribute model_id"
        )
    return name
