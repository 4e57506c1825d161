"""From the contents of a `config.json` to the family it describes."""

from collections.abc import Mapping
from typing import Any

from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.mixtures.families import MIXTURES, REFUSED, Mixture

# where wrappers keep the config of their language model: omni models a level deeper, in their thinker
_TEXT_KEYS = ("thinker_config", "text_config", "llm_config", "language_config")


def text_config_of(config: Mapping[str, Any], source: str = "config.json") -> Mapping[str, Any]:
    """The part of a config that is about the language model: all of it, or what a wrapper keeps inside."""
    for key in _TEXT_KEYS:
        inner = config.get(key)
        if inner is None:
            continue
        if not isinstance(inner, Mapping):
            raise ConfigError(f"{source}: {key} is a {type(inner).__name__}; needs the object that the model came with")
        return text_config_of(inner, source)
    return config


def with_text_config(config: Mapping[str, Any], text: Mapping[str, Any]) -> dict[str, Any]:
    """The same config with another language model where `text_config_of` found one."""
    key = next((key for key in _TEXT_KEYS if config.get(key) is not None), None)
    return dict(text) if key is None else {**config, key: with_text_config(config[key], text)}


def mixture_of(config: Mapping[str, Any], source: str = "the model") -> Mixture:
    """The row for a config's `model_type`.

    Raises `ConfigError` for a config without one and for a family that `REFUSED` names, `UnknownNameError` with the known
    types, nearest first, for any other.
    """
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise ConfigError(f"{source} has no model_type; needs the config.json that belongs to the weights")
    for row in MIXTURES:
        if model_type in row.model_types:
            return row
    if model_type in REFUSED:
        raise ConfigError(
            f"{source} is a mixture of experts that cannot be operated on ({model_type}): {REFUSED[model_type]}"
        )
    known = [each for row in MIXTURES for each in row.model_types]
    raise UnknownNameError("mixture-of-experts family", model_type, known)


def num_experts_in(config: Mapping[str, Any]) -> int:
    """How many routed FFN experts a layer has, under whatever name the config says it; 0 for a dense model."""
    if config.get("enable_moe_block") is False:  # Gemma 4's dense sizes
        return 0
    keys = dict.fromkeys(key for row in MIXTURES for key in row.count_keys)
    return next((count for key in keys if isinstance(count := config.get(key), int) and count > 0), 0)
