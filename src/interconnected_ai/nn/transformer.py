"""The transformer block: attention, feed-forward, Add & Norm in either order."""

import torch
from torch import Tensor, nn

from interconnected_ai.config import NormPlace
from interconnected_ai.nn.attention import MultiHeadAttention
from interconnected_ai.nn.dropout import Dropout
from interconnected_ai.nn.feed_forward import FeedForward
from interconnected_ai.nn.kv_cache import KVCache


class TransformerBlock(nn.Module):
    """Attention, then feed-forward (GELU), each with a residual and a layer norm.

    norm="post" (Vaswani et al. 2017, the document's): x ← norm(x + f(x)).
    norm="pre" (Xiong et al. 2020): x ← x + f(norm(x)), which learns without a long warm-up.
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        d_ff: int,
        dropout: float = 0.1,
        *,
        norm: NormPlace = "post",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if norm not in ("post", "pre"):
            raise ValueError(f"norm={norm!r}: needs 'post' or 'pre'")
        self.norm = norm
        self.attention = MultiHeadAttention(d_model, n_heads, dropout, generator=generator)
        self.feed_forward = FeedForward(d_model, d_ff, generator=generator)
        self.norm_1, self.norm_2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.dropout = Dropout(dropout)

    def forward(
        self,
        hidden: Tensor,
        mask: Tensor | None = None,
        *,
        is_causal: bool = False,
        cache: KVCache | None = None,
        layer: int = 0,
    ) -> Tensor:
        """(batch, seq, d_model) → the same; the arguments are those of `MultiHeadAttention`."""
        look = {"is_causal": is_causal, "cache": cache, "layer": layer}
        if self.norm == "pre":
            hidden = hidden + self.dropout(self.attention(self.norm_1(hidden), mask, **look))
            return hidden + self.dropout(self.feed_forward(self.norm_2(hidden)))  # type: ignore[no-any-return]
        hidden = self.norm_1(hidden + self.dropout(self.attention(hidden, mask, **look)))
        return self.norm_2(hidden + self.dropout(self.feed_forward(hidden)))  # type: ignore[no-any-return]
