"""A router as a folder: settings, tensors, a manifest with checksums; read back only beside the encoder it was made with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from interconnected_ai.errors import EncoderError, IntegrityError, NotAModelError
from interconnected_ai.storage import (
    ROUTER,
    load_tensors,
    read_folder,
    read_json,
    save_tensors,
    write_folder,
    write_json,
)
from interconnected_ai.text import model_id_of, unit_rows
from interconnected_ai.types import Encode

_CONFIG, _TENSORS = "config.json", "router.safetensors"
_PROBES = (
    "What is the weather like in Paris tomorrow?",
    "Напиши функцию, которая сортирует список.",
    "How do I return a pair of shoes that I bought last week?",
)
_ALIKE = 0.995  # cosine of one text's vectors on two machines, or in two batches


def write_router(
    folder: str | Path, kind: str, settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray], encode: Encode
) -> None:
    """Write a router of this kind; the folder is replaced whole or not at all. Raises `StorageError` as `write_folder` does."""
    import torch  # a router that is only asked has none

    probes = unit_rows(encode(list(_PROBES)), len(_PROBES), None, model_id_of(encode))

    def write(scratch: Path) -> None:
        write_json(scratch / _CONFIG, {"router": kind, "encoder": model_id_of(encode), **settings})
        tensors = {**arrays, "probes": probes}
        save_tensors(
            scratch / _TENSORS, {name: torch.from_numpy(np.ascontiguousarray(each)) for name, each in tensors.items()}
        )

    write_folder(folder, write, kind=ROUTER)


def read_router(folder: str | Path, kind: str, encode: Encode) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(settings, arrays) of a router of this kind.

    Raises `StorageError` for a folder that is none, another kind's, altered or damaged, `EncoderError` where `encode` gives
    other vectors than the router was made with.
    """

    def read(place: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        settings = read_json(place / _CONFIG)
        if settings.get("router") != kind:
            raise NotAModelError(f"{place} holds a router of the kind {settings.get('router')!r}, needed is {kind!r}")
        return settings, {name: tensor.numpy() for name, tensor in load_tensors(place / _TENSORS).items()}

    settings, arrays = read_folder(folder, read, kind=ROUTER)
    if "probes" not in arrays:
        raise IntegrityError(f"{folder} lacks the vectors that its encoder is known by; restore it from a copy")
    _require_same_encoder(folder, settings, arrays.pop("probes"), encode)
    return settings, arrays


def kind_of_router(folder: str | Path) -> str:
    """Which kind of router stands in a folder; raises `StorageError` where none does."""
    return str(read_folder(folder, lambda place: read_json(place / _CONFIG).get("router"), kind=ROUTER))


def encoder_of_router(folder: str | Path) -> str:
    """The name of the encoder that a router was made with; raises `StorageError` where no router stands."""
    return str(read_folder(folder, lambda place: read_json(place / _CONFIG).get("encoder"), kind=ROUTER))


def _require_same_encoder(folder: str | Path, settings: Mapping[str, Any], known: np.ndarray, encode: Encode) -> None:
    name = model_id_of(encode)
    given = unit_rows(encode(list(_PROBES)), len(_PROBES), None, name)
    if given.shape == known.shape and float((given * known).sum(axis=1).min()) >= _ALIKE:
        return
    how = f"{given.shape[1]} dimensions instead of {known.shape[1]}" if given.shape != known.shape else "other vectors"
    raise EncoderError(
        f"{folder} was made with the encoder {settings.get('encoder')!r}, and {name!r} gives {how}; give that encoder, or "
        "train the router anew"
    )
