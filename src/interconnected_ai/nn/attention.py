"""Multi-head attention on PyTorch's fused kernel, with a cache for generation and a way of its own to train on a CPU."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interconnected_ai.nn.dropout import Dropout
from interconnected_ai.nn.kv_cache import KVCache


class MultiHeadAttention(nn.Module):
    """out(concat over heads of softmax(q · kᵀ / √w) · v), w = d_model / n_heads (Vaswani et al. 2017, section 3.2).

    Query, key and value projections stand in one matrix `qkv`, rows in this order, so that a token takes one product
    instead of three. All four projections have biases.
    """

    def __init__(
        self, d_model: int, n_heads: int, dropout: float = 0.0, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if d_model % n_heads:
            raise ValueError(f"d_model={d_model} cannot be dealt out over n_heads={n_heads}; n_heads must divide it")
        self.n_heads, self.dropout = n_heads, Dropout(dropout)
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.out = nn.Linear(d_model, d_model)
        for linear in (self.qkv, self.out):
            nn.init.normal_(linear.weight, std=d_model**-0.5, generator=generator)
            nn.init.zeros_(linear.bias)

    def forward(
        self,
        hidden: Tensor,
        mask: Tensor | None = None,
        *,
        is_causal: bool = False,
        cache: KVCache | None = None,
        layer: int = 0,
    ) -> Tensor:
        """(batch, seq, d_model) → the same.

        mask: bool, True where a query may look at a key, broadcast to (batch, n_heads, seq, keys). is_causal: a token
        sees itself and what came before; no mask is needed then. cache: earlier tokens' keys and values, taken from and
        added to slot `layer`.
        """
        batch, seq, d_model = hidden.shape
        q, k, v = self.qkv(hidden).view(batch, seq, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        if cache is not None:
            k, v = cache.append(layer, k, v)
        dropped = self.dropout.p if self.training else 0.0
        if dropped and is_causal and mask is None and cache is None and hidden.device.type == "cpu":
            mixed = self._causal_in_memory(q, k, v)
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=is_causal, dropout_p=dropped)
        # (batch, n_heads, seq, head width)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, seq, d_model))
        return out

    def _causal_in_memory(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """softmax(q · kᵀ / √w + causal mask) · v with the scores of all pairs in memory: for dropout on a CPU.

        There the fused kernel has no dropout: PyTorch would take a plain way too, with its own slow dropout. Scale and
        mask go into the product.
        """
        batch, n_heads, seq, width = q.shape
        q, k, v = (t.reshape(batch * n_heads, seq, width) for t in (q, k, v))
        mask = torch.full((seq, seq), -torch.inf, dtype=q.dtype, device=q.device).triu(1)
        scores = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=width**-0.5)
        mixed = torch.bmm(self.dropout(scores.softmax(dim=-1)), v)
        return mixed.view(batch, n_heads, seq, width)
