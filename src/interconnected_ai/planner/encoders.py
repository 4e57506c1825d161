"""A frozen Hugging Face encoder, counted from its config.json alone: parameters, LoRA targets, matrix products.

Counted as `branches.Encoder` holds it, without the pooler. Tests build the models and compare.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.planner.checks import require_count
from interconnected_ai.planner.encoder_configs import (
    ALIASES,
    EMBEDDED_ENCODER,
    KNOWN_ENCODERS,
    ConfigKeys,
    read_config,
)
from interconnected_ai.planner.products import Product

Linear = tuple[int, int]  # (d_in, d_out)


@dataclass(frozen=True)
class RelativePositions:
    """DeBERTa's disentangled attention (He et al. 2021): vectors of distances, projected and multiplied in every block.

    num_vectors: how many distances have a vector. num_scores: products of content with position (content → position,
    position → content). shared: the projections are the block's own query and key layers (v3), not further layers.
    """

    num_vectors: int
    num_scores: int
    shared: bool

    @property
    def num_projections(self) -> int:
        """Projections of all the vectors in a block; shared ones are both computed, whether or not a score reads them."""
        return 2 if self.shared else self.num_scores

    @property
    def num_own_linears(self) -> int:
        """Linear layers in a block that only project positions."""
        return 0 if self.shared else self.num_scores


@dataclass(frozen=True)
class EncoderShape:
    """An encoder before it is loaded: its sizes, its parameters, and what one pass multiplies.

    name: what was asked for. max_seq_len: usable positions (RoBERTa and kin lose those up to their padding index).
    num_params: what `branches.Encoder` holds, so without the pooler; published counts are num_params +
    num_pooler_params. num_embedding_params: the tables that are looked up, not multiplied.
    input_linears, inner_linears: the linear layers of one block that read its input (query, key, value) and the others.
    embedding_linear: from narrow embeddings to d_model (ELECTRA). convolution: DeBERTa-v2's, of the embeddings.
    """

    name: str
    model_type: str
    d_model: int
    n_layers: int
    n_heads: int
    d_ff: int
    vocab_size: int
    max_seq_len: int
    num_embedding_params: int
    num_params: int
    num_pooler_params: int
    input_linears: tuple[Linear, ...]
    inner_linears: tuple[Linear, ...]
    embedding_linear: Linear | None = None
    positions: RelativePositions | None = None
    convolution: Linear | None = None

    @property
    def linears(self) -> tuple[Linear, ...]:
        """(d_in, d_out) of every linear layer inside the blocks: those that the shared LoRA wraps."""
        own = self.positions.num_own_linears if self.positions else 0
        return (*self.input_linears, *[(self.d_model, self.d_model)] * own, *self.inner_linears) * self.n_layers

    def num_lora_params(self, rank: int) -> int:
        """Parameters of one LoRA of this rank on all `linears`: rank · Σ (d_in + d_out). Rank 0 is none."""
        require_count("lora_rank", rank, least=0)
        return rank * sum(d_in + d_out for d_in, d_out in self.linears)

    def products(self, batch: int, seq: int, *, lora_rank: int = 0) -> tuple[Product, ...]:
        """The matrix products of one pass over `batch` rows of `seq` positions, padding included; equal ones as one.

        Without LoRA nothing learns. With it, its own products ("encoder_lora") are trained, and every product after
        the first adapter passes a gradient on; the embeddings are frozen, so nothing that reads them directly does
        (the first block's query, key and value; DeBERTa's position vectors in every block; its convolution).

        This is what `torch.utils.flop_counter` counts with plain ("eager") attention, forward and backward, matrix
        products and DeBERTa-v2's convolution. It sees nothing of lookups, norms, softmax, activations, biases and
        products with a vector (mv, dot). A fused attention kernel ("sdpa") computes the scores once more in its
        backward: 2.5 times the attention's forward, not 2 times. Of the CPU's fused kernel, which torch takes where
        there is no dropout, it sees nothing. Sliding windows (ModernBERT) count as full attention, since plain and
        "sdpa" attention compute all of it and mask the rest.

        Raises `ConfigError` for more positions than the encoder has.
        """
        require_count("batch", batch)
        require_count("seq", seq)
        require_count("lora_rank", lora_rank, least=0)
        if seq > self.max_seq_len:
            raise ConfigError(
                f"seq={seq}: the encoder {self.name!r} has {self.max_seq_len} positions; cut texts to those"
            )
        blocks = (
            product
            for block in range(self.n_layers)
            for product in self._block_products(batch, seq, lora_rank, is_first=block == 0)
        )
        return _counted_together((*self._products_before_blocks(batch * seq), *blocks))

    def _products_before_blocks(self, num_tokens: int) -> Iterator[Product]:
        """Those that read the embeddings only, whether they run before the blocks or beside the first."""
        for linear in (self.embedding_linear, self.convolution):
            if linear is not None:
                yield Product("encoder", num_tokens, *linear)

    def _block_products(self, batch: int, seq: int, rank: int, *, is_first: bool) -> Iterator[Product]:
        num_tokens, learns = batch * seq, rank > 0
        for linear in self.input_linears:
            yield from _linear_products(linear, num_tokens, rank, input_grad=learns and not is_first)
        if self.positions is not None:
            yield from self._position_products(self.positions, batch, seq, rank)
        head = self.d_model // self.n_heads
        yield _attention(seq, head, seq, batch * self.n_heads, learns)  # scores = query · keyᵀ
        yield _attention(seq, seq, head, batch * self.n_heads, learns)  # scores · value
        for linear in self.inner_linears:
            yield from _linear_products(linear, num_tokens, rank, input_grad=learns)

    def _position_products(self, positions: RelativePositions, batch: int, seq: int, rank: int) -> Iterator[Product]:
        linear = (self.d_model, self.d_model)
        for projection in range(positions.num_projections):
            made = _linear_products(linear, positions.num_vectors, rank, input_grad=False)
            if projection < positions.num_scores:
                yield from made
            else:  # computed and never read: no gradient comes back
                yield from (replace(product, weight="frozen", input_grad=False) for product in made)
        for _ in range(positions.num_scores):
            head = self.d_model // self.n_heads
            yield _attention(seq, head, positions.num_vectors, batch * self.n_heads, rank > 0)


def encoder_shape(name_or_path: str | None, *, config: Mapping[str, Any] | None = None) -> EncoderShape:
    """The shape of an encoder: None is the embedded default; else a folder or config.json on disk, or a known hub id.

    A hub id may leave out its owner ("bert-base-uncased"). config: what a config.json holds, taken instead of looking.
    Raises `UnknownNameError` for a name that is neither a path nor known, `ConfigError` for a config of an unknown
    architecture, without a key that is needed, or with values that cannot be.
    """
    if config is not None:
        return _shape_of(config, name_or_path or "config", source=name_or_path or "config")
    if name_or_path is None:
        return encoder_shape(EMBEDDED_ENCODER)
    path = _config_path(name_or_path)
    if path is not None:
        return _shape_of(read_config(path), name_or_path, source=str(path))
    hub_id = _SHORT_NAMES.get(name_or_path, name_or_path)
    hub_id = ALIASES.get(hub_id, hub_id)
    if hub_id not in KNOWN_ENCODERS:
        raise _unknown(name_or_path)
    return _shape_of(KNOWN_ENCODERS[hub_id], name_or_path, source=hub_id)


_SHORT_NAMES = {hub_id.partition("/")[2]: hub_id for hub_id in (*KNOWN_ENCODERS, *ALIASES)}


def _linear_products(linear: Linear, rows: int, rank: int, *, input_grad: bool) -> Iterator[Product]:
    """A frozen linear layer and, with a rank, the two products of its adapter."""
    d_in, d_out = linear
    yield Product("encoder", rows, d_in, d_out, input_grad=input_grad)
    if rank:
        yield Product("encoder_lora", rows, d_in, rank, weight="trained", input_grad=input_grad)
        yield Product("encoder_lora", rows, rank, d_out, weight="trained", input_grad=True)


def _attention(rows: int, d_in: int, d_out: int, count: int, learns: bool) -> Product:
    return Product("encoder", rows, d_in, d_out, count, weight="none", input_grad=learns)


def _counted_together(products: Iterable[Product]) -> tuple[Product, ...]:
    """Equal products as one, in the order in which they first appear."""
    times = Counter(products)
    return tuple(replace(product, count=product.count * n) for product, n in times.items())


def _config_path(name: str) -> Path | None:
    """The config.json that this name leads to on disk; None when it is no path there."""
    inside = os.path.join(name, "config.json") if name else ""
    return next((Path(path) for path in (inside, name) if os.path.isfile(path)), None)


def _unknown(name: str) -> ConfigError | UnknownNameError:
    if os.path.isdir(name) and name:
        return ConfigError(f"{name}: holds no config.json; give the folder of a Hugging Face encoder")
    if name.startswith((".", "/", "~")) or name.endswith(".json") or name.count("/") > 1:
        return ConfigError(f"no folder or config.json at {name!r}; give the folder of an encoder, or its hub id")
    known = (*KNOWN_ENCODERS, *ALIASES) if "/" in name else _SHORT_NAMES
    return UnknownNameError("encoder (for any other give the path of its config.json)", name, known)


# From a config.json to a shape: a row or a function for each architecture.


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


def _shape_of(config: Mapping[str, Any], name: str, *, source: str) -> EncoderShape:
    keys = ConfigKeys(config, source)
    if not isinstance(keys.model_type, str) or keys.model_type not in _ARCHITECTURES:
        raise keys.wrong("model_type", f"this architecture is not known; known are {', '.join(_ARCHITECTURES)}")
    if config.get("add_cross_attention"):
        raise keys.wrong("add_cross_attention", "this is a decoder, needed is an encoder")
    return _ARCHITECTURES[keys.model_type](keys, name)


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


def _plain_block(d_model: int, d_ff: int) -> tuple[tuple[Linear, ...], tuple[Linear, ...]]:
    """(query, key, value) and (attention output, feed-forward in, feed-forward out)."""
    square = (d_model, d_model)
    return (square, square, square), (square, (d_model, d_ff), (d_ff, d_model))


def _num_linear_params(*linears: Linear, bias: bool = True) -> int:
    return sum(d_in * d_out + d_out * bias for d_in, d_out in linears)


def _num_norm_params(width: int, *, bias: bool = True) -> int:
    return width * (1 + bias)
