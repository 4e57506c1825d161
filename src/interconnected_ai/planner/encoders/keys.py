"""An encoder's config.json, its keys checked as they are read."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interconnected_ai.errors import ConfigError


class ConfigKeys:
    """The keys of a config.json, each checked as it is read; a `ConfigError` names the source and the key."""

    def __init__(self, config: Mapping[str, Any], source: str) -> None:
        if not isinstance(config, Mapping):
            raise ConfigError(f"{source}: needs a mapping of keys to values, got {type(config).__name__}")
        self.config, self.source = config, source
        if "model_type" not in config:
            raise self.missing("model_type")
        self.model_type = config["model_type"]
        self.names = _DISTILBERT_NAMES if self.model_type == "distilbert" else {}

    def missing(self, key: str) -> ConfigError:
        """The error for a key that is not there."""
        return ConfigError(f"{self.source}: key {key!r} is missing; the config.json of a Hugging Face encoder has it")

    def wrong(self, key: str, needed: str) -> ConfigError:
        """The error for a value that cannot be."""
        return ConfigError(f"{self.source}: {key} = {self.config.get(key)!r}: {needed}")

    def count(self, key: str, default: int | None = None, *, least: int | None = 1) -> int:
        """A whole number; a key without a default must be there. least: None allows negative ones."""
        names = self.names.get(key, (key,))
        key = next((name for name in names if name in self.config), names[-1])
        value = self.config.get(key, default)
        if key not in self.config and default is None:
            raise self.missing(key)
        if isinstance(value, bool) or not isinstance(value, int) or (least is not None and value < least):
            raise self.wrong(key, "needs a whole number" + ("" if least is None else f" of {least} or more"))
        return value

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.config.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "needs true or false")
        return value

    def words(self, key: str) -> set[str]:
        """The words of a list or of "one|another"; absent and null are none."""
        value = self.config.get(key)
        if isinstance(value, str):
            return {word.strip() for word in value.lower().split("|")}
        if value is not None and not (isinstance(value, list | tuple) and all(isinstance(w, str) for w in value)):
            raise self.wrong(key, 'needs a list of words or "one|another"')
        return set(value or ())

    def sizes(self) -> tuple[int, int, int, int]:
        """(d_model, n_layers, n_heads, d_ff), where the heads share d_model evenly."""
        d_model, n_heads = self.count("hidden_size"), self.count("num_attention_heads")
        if d_model % n_heads:
            raise ConfigError(
                f"{self.source}: hidden_size={d_model} is not divisible by num_attention_heads={n_heads}; "
                "each head needs the same share of it"
            )
        return d_model, self.count("num_hidden_layers"), n_heads, self.count("intermediate_size")

    def usable_positions(self, *, offset: bool) -> int:
        """Positions that a token can have. offset: they begin after the padding index, as RoBERTa's do."""
        positions = self.count("max_position_embeddings")
        if not offset:
            return positions
        no_padding = "pad_token_id" in self.config and self.config["pad_token_id"] is None
        first = 1 if no_padding else 1 + self.count("pad_token_id", 1, least=0)
        if positions <= first:
            raise self.wrong("max_position_embeddings", f"needs more than {first}, positions begin after pad_token_id")
        return positions - first


_DISTILBERT_NAMES = {  # transformers takes the usual names too, and prefers them, but for the last
    "hidden_size": ("hidden_size", "dim"),
    "num_hidden_layers": ("num_hidden_layers", "n_layers"),
    "num_attention_heads": ("num_attention_heads", "n_heads"),
    "intermediate_size": ("hidden_dim",),
}


def read_config(path: Path) -> Mapping[str, Any]:
    """What a config.json holds; `ConfigError` when it cannot be read or is not one."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}; needed is an encoder's config.json in UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid JSON: {error}; needed is an encoder's config.json") from error
    if not isinstance(config, dict):
        raise ConfigError(
            f"{path}: needs keys and values, got a {type(config).__name__}; give an encoder's config.json"
        )
    return config
