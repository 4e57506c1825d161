"""An expert model's parameters, the bytes they and its cache take, and the products of a pass."""

from dataclasses import dataclass
from typing import Literal

from interconnected_ai.config import ExpertConfig
from interconnected_ai.errors import ConfigError
from interconnected_ai.planner.checks import known_precision, require_count
from interconnected_ai.planner.precision import BYTES, weight_bytes
from interconnected_ai.planner.products import Product, backward_flops, forward_flops


@dataclass(frozen=True)
class ExpertSize:
    """Parameters of an expert model by part, and what they take in memory."""

    shape: ExpertConfig
    num_embedding_params: int
    num_attention_params: int
    num_feed_forward_params: int
    num_norm_params: int
    num_head_params: int

    @property
    def num_params(self) -> int:
        """All of them."""
        return self.num_params_without_embedding + self.num_embedding_params

    @property
    def num_params_without_embedding(self) -> int:
        """Without the token embedding; the head counts, as in the document, where it is a matrix of its own."""
        return self.num_attention_params + self.num_feed_forward_params + self.num_norm_params + self.num_head_params

    @property
    def num_params_read(self) -> int:
        """What every generated token reads: all but the embedding, of which it reads a row, unless the head is tied to it."""
        return self.num_params_without_embedding + (self.num_embedding_params if self.shape.tie_weights else 0)

    @property
    def position_buffer_bytes(self) -> int:
        """The sinusoidal positions in float32: no parameters, but they stand in memory and in the state dict."""
        return self.shape.max_seq_len * self.shape.d_model * 4

    @property
    def num_matrix_params(self) -> int:
        """What stands in linear layers: the matrices of attention and feed-forward, and the head, tied or not."""
        shape = self.shape
        blocks = shape.n_layers * (4 * shape.d_model * shape.d_model + 2 * shape.d_model * shape.inner)
        return blocks + shape.vocab_size * shape.d_model

    def copied_bytes(self, precision: str = "float32") -> int:
        """What the torch engine holds a second time on an x86 CPU: every matrix in oneDNN's layout, in float32 alone."""
        return 4 * self.num_matrix_params if known_precision(precision) == "float32" else 0

    def weight_bytes(self, precision: str = "float32", *, scales: bool = False) -> int:
        """Bytes of the parameters; `scales` adds those of a quantised format. The document's "MB" are MiB (2^20)."""
        return weight_bytes(self.num_params, known_precision(precision), scales=scales)

    def state_dict_bytes(self, precision: str = "float32") -> int:
        """Bytes of all tensors that are saved: parameters and the position buffer, which is cast with them.

        Quantised weights come with their scales, and the buffer stays in float32.
        """
        quantised = known_precision(precision) in ("int8", "int4")
        buffer = self.position_buffer_bytes * (1.0 if quantised else BYTES[precision] / 4)
        return self.weight_bytes(precision, scales=quantised) + int(buffer)


def expert_size(shape: ExpertConfig) -> ExpertSize:
    """Parameters of the model, part by part.

    A block has (4·d² + 4·d) for attention, with biases in q, k, v and out; (2·d·f + f + d) for the feed-forward block,
    with biases in both layers; 4·d for two layer norms. Then 2·d for the last norm, and vocab·d each for the embedding and
    for the head, which has no bias (with tied weights it is the embedding, and counted there). No other choice of biases
    gives the document's 29,155,328 (24,035,328 without the embedding) for vocab 10,000, d 512, 6 layers, f 2,048.
    """
    d_model, d_ff = shape.d_model, shape.inner
    return ExpertSize(
        shape=shape,
        num_embedding_params=shape.vocab_size * d_model,
        num_attention_params=shape.n_layers * 4 * (d_model * d_model + d_model),
        num_feed_forward_params=shape.n_layers * (2 * d_model * d_ff + d_ff + d_model),
        num_norm_params=(2 * shape.n_layers + 1) * 2 * d_model,
        num_head_params=0 if shape.tie_weights else shape.vocab_size * d_model,
    )


def kv_cache_bytes(shape: ExpertConfig, num_tokens: int, *, batch: int = 1, precision: str = "float32") -> int:
    """Bytes of the keys and values kept while generating: 2 · n_layers · d_model · num_tokens · batch numbers."""
    require_fits(shape, num_tokens)
    require_count("batch", batch)
    return round(2 * shape.n_layers * shape.d_model * num_tokens * batch * BYTES[known_precision(precision)])


def products(
    shape: ExpertConfig,
    batch: int,
    seq: int,
    *,
    num_cached_tokens: int = 0,
    trains: bool = False,
    all_logits: bool = True,
) -> tuple[Product, ...]:
    """Every matrix product of one pass over `batch` rows of `seq` tokens.

    num_cached_tokens: tokens before them whose keys and values are kept; generating is seq = 1. trains: all weights learn
    (the embedding is a lookup, no product). all_logits: the head on every position, as the document's `forward` has it;
    False counts the last position alone. Attention is counted without a mask: what is masked is computed all the same.
    """
    require_count("batch", batch)
    require_count("seq", seq)
    require_fits(shape, num_cached_tokens + seq)
    rows, keys = batch * seq, num_cached_tokens + seq
    weight: Literal["trained", "frozen"] = "trained" if trains else "frozen"
    d_model, d_ff, heads = shape.d_model, shape.inner, shape.n_layers * batch * shape.n_heads
    head_rows = rows if all_logits else batch
    return (
        Product("attention", rows, d_model, d_model, 4 * shape.n_layers, weight, trains),
        Product("attention scores", seq, shape.head_width, keys, heads, "none", trains),
        Product("attention values", seq, keys, shape.head_width, heads, "none", trains),
        Product("feed-forward", rows, d_model, d_ff, shape.n_layers, weight, trains),
        Product("feed-forward", rows, d_ff, d_model, shape.n_layers, weight, trains),
        Product("head", head_rows, d_model, shape.vocab_size, 1, weight, trains),
    )


def expert_training_flops(shape: ExpertConfig, num_tokens: int) -> float:
    """FLOPs of training on so many tokens, in blocks of the whole window: every product forward, and twice backward."""
    block = products(shape, 1, shape.max_seq_len, trains=True)
    return num_tokens / shape.max_seq_len * (forward_flops(block) + backward_flops(block))


def require_fits(shape: ExpertConfig, num_tokens: int) -> None:
    """Raise `ConfigError` for more tokens than the model reads."""
    if num_tokens < 0:
        raise ConfigError(f"{num_tokens} tokens: needs 0 or more")
    if num_tokens > shape.max_seq_len:
        raise ConfigError(
            f"{num_tokens} tokens are more than max_seq_len={shape.max_seq_len}; shorten the context or raise max_seq_len"
        )
