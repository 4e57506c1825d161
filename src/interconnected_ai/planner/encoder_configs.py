"""config.json of encoders: those known by hub id, and the keys of any, checked as they are read.

Only published values stand in the table; any other encoder is planned from its own config.json.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interconnected_ai.errors import ConfigError

EMBEDDED_ENCODER = "all-MiniLM-L6-v2"

# Names that the documents use for models which are called otherwise on the hub.
ALIASES = {"google/electra-base-uncased": "google/electra-base-discriminator"}

# hidden_size, num_hidden_layers, num_attention_heads, intermediate_size
_Size = tuple[int, int, int, int]
_TINY: _Size = (312, 3, 12, 600)
_MINI_6: _Size = (384, 6, 12, 1536)
_MINI_12: _Size = (384, 12, 12, 1536)
_BASE: _Size = (768, 12, 12, 3072)
_LARGE: _Size = (1024, 24, 16, 4096)


def _config(model_type: str, vocab_size: int, size: _Size, positions: int, **more: Any) -> dict[str, Any]:
    d_model, n_layers, n_heads, d_ff = size
    return {
        "model_type": model_type,
        "vocab_size": vocab_size,
        "hidden_size": d_model,
        "num_hidden_layers": n_layers,
        "num_attention_heads": n_heads,
        "intermediate_size": d_ff,
        "max_position_embeddings": positions,
        **more,
    }


def _bert(vocab_size: int, size: _Size, positions: int = 512) -> dict[str, Any]:
    return _config("bert", vocab_size, size, positions, type_vocab_size=2, pad_token_id=0)


def _electra(size: _Size, embedding_size: int) -> dict[str, Any]:
    return _config("electra", 30522, size, 512, type_vocab_size=2, embedding_size=embedding_size, pad_token_id=0)


def _roberta(model_type: str, vocab_size: int, size: _Size, positions: int = 514) -> dict[str, Any]:
    return _config(model_type, vocab_size, size, positions, type_vocab_size=1, pad_token_id=1)


def _xlm_roberta(size: _Size, positions: int = 514) -> dict[str, Any]:
    return _roberta("xlm-roberta", 250002, size, positions)


def _mpnet() -> dict[str, Any]:
    return _config("mpnet", 30527, _BASE, 514, relative_attention_num_buckets=32, pad_token_id=1)


def _distilbert(vocab_size: int) -> dict[str, Any]:
    return {
        "model_type": "distilbert",
        "vocab_size": vocab_size,
        "dim": 768,
        "n_layers": 6,
        "n_heads": 12,
        "hidden_dim": 3072,
        "max_position_embeddings": 512,
        "pad_token_id": 0,
    }


def _deberta_v3(size: _Size, vocab_size: int = 128100) -> dict[str, Any]:
    return _config(
        "deberta-v2",
        vocab_size,
        size,
        512,
        type_vocab_size=0,
        pad_token_id=0,
        position_biased_input=False,
        relative_attention=True,
        max_relative_positions=-1,
        position_buckets=256,
        pos_att_type=["p2c", "c2p"],
        share_att_key=True,
        norm_rel_ebd="layer_norm",
    )


def _deberta_v2(n_layers: int) -> dict[str, Any]:
    convolution = {"attention_head_size": 64, "conv_kernel_size": 3, "conv_act": "gelu"}
    return {**_deberta_v3((1536, n_layers, 24, 6144)), **convolution}


def _modernbert(size: _Size) -> dict[str, Any]:
    no_biases = {"attention_bias": False, "mlp_bias": False, "norm_bias": False}
    return _config("modernbert", 50368, size, 8192, pad_token_id=50283, **no_biases)


KNOWN_ENCODERS: dict[str, dict[str, Any]] = {
    "google-bert/bert-base-uncased": _bert(30522, _BASE),
    "google-bert/bert-base-cased": _bert(28996, _BASE),
    "google-bert/bert-large-uncased": _bert(30522, _LARGE),
    "google-bert/bert-large-cased": _bert(28996, _LARGE),
    "google-bert/bert-base-multilingual-cased": _bert(119547, _BASE),
    "google/electra-small-discriminator": _electra((256, 12, 4, 1024), 128),
    "google/electra-base-discriminator": _electra(_BASE, 768),
    "google/electra-large-discriminator": _electra(_LARGE, 1024),
    "FacebookAI/roberta-base": _roberta("roberta", 50265, _BASE),
    "FacebookAI/roberta-large": _roberta("roberta", 50265, _LARGE),
    "FacebookAI/xlm-roberta-base": _xlm_roberta(_BASE),
    "FacebookAI/xlm-roberta-large": _xlm_roberta(_LARGE),
    "almanach/camembert-base": _roberta("camembert", 32005, _BASE),
    "distilbert/distilbert-base-uncased": _distilbert(30522),
    "distilbert/distilbert-base-cased": _distilbert(28996),
    "distilbert/distilbert-base-multilingual-cased": _distilbert(119547),
    "distilbert/distilroberta-base": _roberta("roberta", 50265, (768, 6, 12, 3072)),
    "microsoft/deberta-v3-xsmall": _deberta_v3((384, 12, 6, 1536)),
    "microsoft/deberta-v3-small": _deberta_v3((768, 6, 12, 3072)),
    "microsoft/deberta-v3-base": _deberta_v3(_BASE),
    "microsoft/deberta-v3-large": _deberta_v3(_LARGE),
    "microsoft/mdeberta-v3-base": _deberta_v3(_BASE, 251000),
    "microsoft/deberta-v2-xlarge": _deberta_v2(24),
    "microsoft/deberta-v2-xxlarge": _deberta_v2(48),
    "microsoft/mpnet-base": _mpnet(),
    "answerdotai/ModernBERT-base": _modernbert((768, 22, 12, 1152)),
    "answerdotai/ModernBERT-large": _modernbert((1024, 28, 16, 2624)),
    "sentence-transformers/all-MiniLM-L6-v2": _bert(30522, _MINI_6),
    "sentence-transformers/all-MiniLM-L12-v2": _bert(30522, _MINI_12),
    "sentence-transformers/all-mpnet-base-v2": _mpnet(),
    "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2": _bert(250037, _MINI_12),
    "sentence-transformers/paraphrase-multilingual-mpnet-base-v2": _xlm_roberta(_BASE),
    "sentence-transformers/LaBSE": _bert(501153, _BASE),
    "intfloat/e5-small": _bert(30522, _MINI_12),
    "intfloat/e5-base": _bert(30522, _BASE),
    "intfloat/e5-large": _bert(30522, _LARGE),
    "intfloat/e5-small-v2": _bert(30522, _MINI_12),
    "intfloat/e5-base-v2": _bert(30522, _BASE),
    "intfloat/e5-large-v2": _bert(30522, _LARGE),
    "intfloat/multilingual-e5-small": _bert(250037, _MINI_12),
    "intfloat/multilingual-e5-base": _xlm_roberta(_BASE),
    "intfloat/multilingual-e5-large": _xlm_roberta(_LARGE),
    "BAAI/bge-small-en-v1.5": _bert(30522, _MINI_12),
    "BAAI/bge-base-en-v1.5": _bert(30522, _BASE),
    "BAAI/bge-large-en-v1.5": _bert(30522, _LARGE),
    "BAAI/bge-m3": _xlm_roberta(_LARGE, 8194),
    "cointegrated/rubert-tiny": _bert(29564, _TINY),
    "cointegrated/rubert-tiny2": _bert(83828, _TINY, 2048),
    "DeepPavlov/rubert-base-cased": _bert(119547, _BASE),
}


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
