"""What the config.json of each kind of encoder builds: BERT's kin, DeBERTa, ModernBERT. A new kind is a function and a row."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from interconnected_ai.planner.encoders.keys import ConfigKeys
from interconnected_ai.planner.encoders.shape import EncoderShape, Linear, RelativePositions


def _plain_block(d_model: int, d_ff: int) -> tuple[tuple[Linear, ...], tuple[Linear, ...]]:
    """(query, key, value) and (attention output, feed-forward in, feed-forward out)."""
    square = (d_model, d_model)
    return (square, square, square), (square, (d_model, d_ff), (d_ff, d_model))


def _num_linear_params(*linears: Linear, bias: bool = True) -> int:
    return sum(d_in * d_out + d_out * bias for d_in, d_out in linears)


def _num_norm_params(width: int, *, bias: bool = True) -> int:
    return width * (1 + bias)


def _shape(
    keys: ConfigKeys,
    name: str,
    *,
    num_embedding_params: int,
    num_other_params: int,
    input_linears: tuple[Linear, ...],
    inner_linears: tuple[Linear, ...],
    num_pooler_params: int = 0,
    offset_positions: bool = False,
    embedding_linear: Linear | None = None,
    positions: RelativePositions | None = None,
    convolution: Linear | None = None,
) -> EncoderShape:
    """The record, with what every architecture's config says in the same way."""
    d_model, n_layers, n_heads, d_ff = keys.sizes()
    return EncoderShape(
        name=name,
        model_type=keys.model_type,
        d_model=d_model,
        n_layers=n_layers,
        n_heads=n_heads,
        d_ff=d_ff,
        vocab_size=keys.count("vocab_size"),
        max_seq_len=keys.usable_positions(offset=offset_positions),
        num_embedding_params=num_embedding_params,
        num_params=num_embedding_params + num_other_params,
        num_pooler_params=num_pooler_params,
        input_linears=input_linears,
        inner_linears=inner_linears,
        embedding_linear=embedding_linear,
        positions=positions,
        convolution=convolution,
    )


@dataclass(frozen=True)
class _BertKin:
    """How a relative of BERT differs from it. Counts are its config's defaults; 0 means that it has no such thing."""

    num_token_types: int = 2
    has_pooler: bool = True
    offset_positions: bool = False
    embedding_size: int = 0
    num_position_buckets: int = 0


_BERT_KIN = {
    "bert": _BertKin(),
    "electra": _BertKin(has_pooler=False, embedding_size=128),
    "roberta": _BertKin(offset_positions=True),
    "xlm-roberta": _BertKin(offset_positions=True),
    "camembert": _BertKin(offset_positions=True),
    "distilbert": _BertKin(num_token_types=0, has_pooler=False),
    "mpnet": _BertKin(num_token_types=0, offset_positions=True, num_position_buckets=32),
}


def _bert_kin(keys: ConfigKeys, name: str) -> EncoderShape:
    """BERT (Devlin et al. 2019) and what differs from it by a row of `_BERT_KIN`."""
    kin = _BERT_KIN[keys.model_type]
    d_model, n_layers, n_heads, d_ff = keys.sizes()
    width = keys.count("embedding_size", kin.embedding_size) if kin.embedding_size else d_model
    rows = keys.count("vocab_size") + keys.count("max_position_embeddings")
    rows += keys.count("type_vocab_size", kin.num_token_types) if kin.num_token_types else 0
    buckets = kin.num_position_buckets and keys.count("relative_attention_num_buckets", kin.num_position_buckets)
    narrow = (width, d_model) if width != d_model else None
    query_key_value, inner = _plain_block(d_model, d_ff)
    block = _num_linear_params(*query_key_value, *inner) + 2 * _num_norm_params(d_model)
    before = _num_norm_params(width) + (_num_linear_params(narrow) if narrow else 0)
    return _shape(
        keys,
        name,
        offset_positions=kin.offset_positions,
        num_embedding_params=rows * width + buckets * n_heads,
        num_other_params=before + n_layers * block,
        num_pooler_params=_num_linear_params((d_model, d_model)) if kin.has_pooler else 0,
        input_linears=query_key_value,
        inner_linears=inner,
        embedding_linear=narrow,
    )


def _deberta_v2(keys: ConfigKeys, name: str) -> EncoderShape:
    """DeBERTa-v2 and v3 (He et al. 2021): relative positions, and in the larger v2 a convolution."""
    d_model, n_layers, n_heads, d_ff = keys.sizes()
    if keys.count("attention_head_size", d_model // n_heads) * n_heads != d_model:
        raise keys.wrong("attention_head_size", f"needs hidden_size / num_attention_heads = {d_model // n_heads}")
    width = keys.count("embedding_size", d_model)
    rows = keys.count("vocab_size") + keys.count("type_vocab_size", 0, least=0)
    rows += keys.count("max_position_embeddings") if keys.flag("position_biased_input", True) else 0
    narrow = (width, d_model) if width != d_model else None
    positions, convolution = _relative_positions(keys), _convolution(keys, d_model)
    query_key_value, inner = _plain_block(d_model, d_ff)
    own = [(d_model, d_model)] * (positions.num_own_linears if positions else 0)
    block = _num_linear_params(*query_key_value, *own, *inner) + 2 * _num_norm_params(d_model)
    norms = (1 + ("layer_norm" in keys.words("norm_rel_ebd"))) * _num_norm_params(d_model)
    before = _num_linear_params(narrow, bias=False) if narrow else 0
    beside = _num_linear_params(convolution) + _num_norm_params(d_model) if convolution else 0
    return _shape(
        keys,
        name,
        num_embedding_params=rows * width + (positions.num_vectors * d_model if positions else 0),
        num_other_params=before + beside + norms + n_layers * block,
        input_linears=query_key_value,
        inner_linears=inner,
        embedding_linear=narrow,
        positions=positions,
        convolution=convolution,
    )


def _relative_positions(keys: ConfigKeys) -> RelativePositions | None:
    """Distances from -span to span, where the span is the buckets, or else every distance there is."""
    if not keys.flag("relative_attention", False):
        return None
    longest = keys.count("max_relative_positions", -1, least=None)
    longest = longest if longest > 0 else keys.count("max_position_embeddings")
    buckets = keys.count("position_buckets", -1, least=None)
    return RelativePositions(
        num_vectors=2 * (buckets if buckets > 0 else longest),
        num_scores=len({"c2p", "p2c"} & keys.words("pos_att_type")),
        shared=keys.flag("share_att_key", False),
    )


def _convolution(keys: ConfigKeys, d_model: int) -> Linear | None:
    """The convolution as the matrix it multiplies at every position."""
    kernel = keys.count("conv_kernel_size", 0, least=None)
    if kernel < 1:
        return None
    if kernel % 2 == 0:
        raise keys.wrong("conv_kernel_size", "needs an odd width, or the text would change its length")
    groups = keys.count("conv_groups", 1)
    if d_model % groups:
        raise keys.wrong("conv_groups", f"needs a divisor of hidden_size={d_model}")
    return d_model // groups * kernel, d_model


def _modernbert(keys: ConfigKeys, name: str) -> EncoderShape:
    """ModernBERT (Warner et al. 2024): rotary positions, gated feed-forward, one product for query, key and value."""
    d_model, n_layers, n_heads, d_ff = keys.sizes()
    if d_model // n_heads % 2:
        raise keys.wrong("num_attention_heads", f"needs heads of an even width to rotate, got {d_model // n_heads}")
    query_key_value, attention_out = (d_model, 3 * d_model), (d_model, d_model)
    ffn_in, ffn_out = (d_model, 2 * d_ff), (d_ff, d_model)
    block = _num_linear_params(query_key_value, attention_out, bias=keys.flag("attention_bias", False))
    block += _num_linear_params(ffn_in, ffn_out, bias=keys.flag("mlp_bias", False))
    # Two norms a block, one after the embeddings, one at the end; none at the start of the first block.
    norms = (2 * n_layers + 1) * _num_norm_params(d_model, bias=keys.flag("norm_bias", False))
    return _shape(
        keys,
        name,
        num_embedding_params=keys.count("vocab_size") * d_model,
        num_other_params=norms + n_layers * block,
        input_linears=(query_key_value,),
        inner_linears=(attention_out, ffn_in, ffn_out),
    )


_ARCHITECTURES: dict[str, Callable[[ConfigKeys, str], EncoderShape]] = {
    **dict.fromkeys(_BERT_KIN, _bert_kin),
    "deberta-v2": _deberta_v2,
    "modernbert": _modernbert,
}


def shape_of(config: Mapping[str, Any], name: str, *, source: str) -> EncoderShape:
    """The encoder that this config.json builds; `ConfigError` names an architecture that nobody here knows."""
    keys = ConfigKeys(config, source)
    if not isinstance(keys.model_type, str) or keys.model_type not in _ARCHITECTURES:
        raise keys.wrong("model_type", f"this architecture is not known; known are {', '.join(_ARCHITECTURES)}")
    if config.get("add_cross_attention"):
        raise keys.wrong("add_cross_attention", "this is a decoder, needed is an encoder")
    return _ARCHITECTURES[keys.model_type](keys, name)
