"""What a folder of a Hugging Face causal language model says of itself, before anything of it is loaded. No torch."""

import re
from pathlib import Path
from typing import Any

import yaml

from interconnected_ai.errors import IntegrityError, StorageError, UnsafeFileError
from interconnected_ai.storage import PICKLES, read_json, tensor_shapes

CONFIG = "config.json"
_WINDOWS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length", "max_sequence_length")
_HEADS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
_FRONT_MATTER = re.compile(r"\A---\s*\n(.*?)\n---\s*\n", re.DOTALL)


def is_causal_folder(folder: Path) -> bool:
    """Whether a folder holds the config of a model that continues text."""
    if not (folder / CONFIG).is_file():
        return False
    try:
        content = read_json(folder / CONFIG)
    except StorageError:
        return False
    named = content.get("architectures")
    if not isinstance(content.get("model_type"), str):
        return False
    return named is None or any(str(name).endswith(_HEADS) for name in named)


def require_loadable(folder: Path) -> None:
    """Raise `UnsafeFileError` for weights that are pickles alone, `IntegrityError` for missing or truncated ones."""
    files = weight_files(folder)
    if not files:
        pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
        if pickles:
            raise UnsafeFileError(
                f"{folder} holds its weights only as the pickle {pickles[0]!r}; pickles can run code when loaded and are "
                "refused. Convert it: load it where you trust it and call save_pretrained, which writes safetensors"
            )
        raise IntegrityError(f"{folder} holds no *.safetensors, so there are no weights in it; fetch it again")
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        wanted = set(read_json(index).get("weight_map", {}).values())
        if missing := sorted(wanted - {path.name for path in files}):
            raise IntegrityError(f"{folder} lacks {missing[0]!r}, which {index.name} names; fetch it again")
    for path in files:
        tensor_shapes(path)


def weight_files(folder: Path) -> list[Path]:
    """The folder's own safetensors files, in the order of their names."""
    return sorted(path for path in folder.glob("*.safetensors") if not path.name.startswith("adapter"))


def num_params(folder: Path) -> int:
    """Numbers in the weights, from the files' headers alone."""
    total = 0
    for path in weight_files(folder):
        for shape in tensor_shapes(path).values():
            size = 1
            for width in shape:
                size *= width
            total += size
    return total


def window_of(content: dict[str, Any]) -> int | None:
    """The window that a config names; None where there is none, as with ALiBi."""
    inner = content.get("text_config")
    found = [place.get(name) for place in (content, inner if isinstance(inner, dict) else {}) for name in _WINDOWS]
    return next((one for one in found if isinstance(one, int) and one > 0), None)


def vocabulary_of(content: dict[str, Any]) -> int | None:
    """The vocabulary that a config names."""
    inner = content.get("text_config")
    found = [place.get("vocab_size") for place in (content, inner if isinstance(inner, dict) else {})]
    return next((one for one in found if isinstance(one, int)), None)


def said_by_readme(folder: Path) -> tuple[str | None, tuple[str, ...]]:
    """Licence and languages as the front matter of a model card names them; nothing where it names none."""
    try:
        text = (folder / "README.md").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None, ()
    found = _FRONT_MATTER.match(text)
    try:
        content = yaml.safe_load(found[1]) if found else None
    except yaml.YAMLError:
        return None, ()
    if not isinstance(content, dict):
        return None, ()
    licence, languages = content.get("license"), content.get("language")
    listed = [languages] if isinstance(languages, str) else languages if isinstance(languages, list) else []
    return licence if isinstance(licence, str) else None, tuple(str(one) for one in listed)
