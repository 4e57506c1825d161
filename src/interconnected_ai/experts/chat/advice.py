"""How those who made a model advise to sample its answers in a conversation: what stands beside its weights, or on its card."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from warnings import warn

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import ConfigError
from interconnected_ai.storage import read_json

Sampling = Mapping[str, float | int]
"""Fields of `GenerationConfig`; those of `SAMPLED` alone."""

SAMPLED = ("temperature", "top_k", "top_p", "min_p")
_GENERATION = "generation_config.json"
_IN_GGUF = {"general.sampling.temp": "temperature", **{f"general.sampling.{key}": key for key in SAMPLED[1:]}}
_ON_CARDS: Mapping[tuple[str, str], Sampling] = {  # organisation and base name of a GGUF file that says nothing itself
    ("huggingfacetb", "smollm2"): {
        "temperature": 0.2,
        "top_p": 0.9,
    },  # https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct
}


def advised_in_folder(folder: Path) -> Sampling:
    """What `generation_config.json` says, as transformers reads it; nothing where it is not there, or does not sample."""
    if not (folder / _GENERATION).is_file():
        return {}
    kept = read_json(folder / _GENERATION)
    if kept.get("do_sample") is False:
        return {}
    return _sound({key: kept.get(key) for key in SAMPLED}, str(folder / _GENERATION))


def advised_in_gguf(metadata: Mapping[str, Any]) -> Sampling:
    """What a GGUF file's metadata says (`general.sampling.…`), or the card of the model that it names."""
    told = _sound({name: metadata.get(key) for key, name in _IN_GGUF.items()}, "the GGUF file")
    named = tuple(str(metadata.get(f"general.{key}", "")).lower() for key in ("organization", "basename"))
    return told or _ON_CARDS.get((named[0], named[1]), {})


def _sound(found: Mapping[str, Any], place: str) -> Sampling:
    """What can be followed; what cannot be is told, and left out whole."""
    advised = {key: value for key, value in found.items() if value is not None}
    if advised.get("top_k") == 0:  # all of them
        del advised["top_k"]
    try:
        GenerationConfig(**advised)
    except ConfigError as error:
        warn(f"{place} advises how to sample, and it cannot be followed ({error}); it is left out", stacklevel=2)
        return {}
    return advised
