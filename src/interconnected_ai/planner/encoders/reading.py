"""The encoder of a name or folder, counted from its config.json alone."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interconnected_ai.config import EMBEDDED_ENCODER
from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.planner.encoders.architectures import shape_of
from interconnected_ai.planner.encoders.keys import read_config
from interconnected_ai.planner.encoders.known import ALIASES, EMBEDDED_ENCODERS, KNOWN_ENCODERS
from interconnected_ai.planner.encoders.shape import EncoderShape

_SHORT_NAMES = {hub_id.partition("/")[2]: hub_id for hub_id in (*KNOWN_ENCODERS, *ALIASES)}


def encoder_shape(
    name_or_path: str | None, *, config: Mapping[str, Any] | None = None, is_place: bool = True
) -> EncoderShape:
    """The shape of an encoder: an embedded one (None is the default), a folder or config.json on disk, a known hub id.

    A hub id may leave out its owner ("bert-base-uncased"). config: what a config.json holds, taken instead of looking.
    is_place: whether the name may be a place on disk.
    Raises `UnknownNameError` for a name that is neither a path nor known, `ConfigError` for a config of an unknown
    architecture, without a key that is needed, or with values that cannot be.
    """
    if config is not None:
        return shape_of(config, name_or_path or "config", source=name_or_path or "config")
    if name_or_path is None:
        return encoder_shape(EMBEDDED_ENCODER)
    path = None if name_or_path in EMBEDDED_ENCODERS or not is_place else _config_path(name_or_path)
    if path is not None:
        return shape_of(read_config(path), name_or_path, source=str(path))
    hub_id = {**_SHORT_NAMES, **EMBEDDED_ENCODERS}.get(name_or_path, name_or_path)
    hub_id = ALIASES.get(hub_id, hub_id)
    if hub_id not in KNOWN_ENCODERS:
        if not is_place:
            raise UnknownNameError("encoder", name_or_path, [*_SHORT_NAMES, *EMBEDDED_ENCODERS])
        raise _unknown(name_or_path)
    return shape_of(KNOWN_ENCODERS[hub_id], name_or_path, source=hub_id)


def known_encoders() -> tuple[EncoderShape, ...]:
    """The encoders that can be named without a place, the narrowest first; embedded ones by their short names."""
    hub_ids = [name for name in KNOWN_ENCODERS if name not in EMBEDDED_ENCODERS.values()]
    shapes = [encoder_shape(name, is_place=False) for name in (*EMBEDDED_ENCODERS, *hub_ids)]
    return tuple(sorted(shapes, key=lambda shape: shape.d_model))


def _config_path(name: str) -> Path | None:
    """The config.json that this name leads to on disk; None when it is no path there."""
    inside = os.path.join(name, "config.json") if name else ""
    return next((Path(path) for path in (inside, name) if os.path.isfile(path)), None)


def _unknown(name: str) -> ConfigError | UnknownNameError:
    if os.path.isdir(name) and name:
        return ConfigError(f"{name}: holds no config.json; give the folder of a Hugging Face encoder")
    if name.startswith((".", "/", "~")) or name.endswith(".json") or name.count("/") > 1:
        return ConfigError(f"no folder or config.json at {name!r}; give the folder of an encoder, or its hub id")
    known = (*KNOWN_ENCODERS, *ALIASES) if "/" in name else {**_SHORT_NAMES, **EMBEDDED_ENCODERS}
    return UnknownNameError("encoder (for any other give the path of its config.json)", name, known)
