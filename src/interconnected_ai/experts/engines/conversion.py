"""An expert in the form an engine reads: converted once, beside its folder, and again when its weights change."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from interconnected_ai.storage import MANIFEST, is_complete, read_json, recover

_LAYOUT = 1  # raised when an exporter writes something else for the same weights
_WEIGHTS = ("config.json", "model.safetensors", "tokenizer.json")


def conversion(folder: Path, form: str, write: Callable[[Path], None], cache: Path | None = None) -> Path:
    """The folder that holds `form` of the expert in `folder`; `write` fills it where it does not stand yet.

    cache: where conversions are kept; None is the hidden folder `.NAME.engines` beside the expert. Conversions of weights
    that the expert no longer has are removed.
    """
    home = cache_folder(folder, cache)
    place = home / f"{form}-{weights_key(folder)}"
    recover(place)
    if not is_complete(place):
        write(place)
        for stale in home.glob(f"{form}-*"):
            if stale != place and is_complete(stale):
                shutil.rmtree(stale, ignore_errors=True)
    return place


def cache_folder(folder: Path, cache: Path | None = None) -> Path:
    """Where what engines need of this expert is kept."""
    return cache or folder.resolve().parent / f".{folder.resolve().name}.engines"


def weights_key(folder: Path) -> str:
    """What tells this expert from every other: its files' checksums, as its manifest has them."""
    files = read_json(folder / MANIFEST)["files"]
    parts = "".join(files[name]["sha256"] for name in _WEIGHTS if name in files)
    return hashlib.sha256(f"{_LAYOUT}{parts}".encode()).hexdigest()[:16]
