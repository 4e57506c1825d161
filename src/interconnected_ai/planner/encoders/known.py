"""config.json of the encoders known by hub id: published values only. Any other is planned from its own config.json."""

from typing import Any

from interconnected_ai.config import EMBEDDED_ENCODER, MULTILINGUAL_ENCODER

# Those that come as packages, by the names that a system's config has for them.
EMBEDDED_ENCODERS = {
    EMBEDDED_ENCODER: "sentence-transformers/all-MiniLM-L6-v2",
    MULTILINGUAL_ENCODER: "intfloat/multilingual-e5-small",
}

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
