"""Attention of packed documents for transformers' models: each document attends by itself, so none sees another and none waits
for another's length. A mask over the whole block would compute all of what it then hides.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

# PyTorch's backward pass in bfloat16 on CPUs takes 3 times as long as plain products up to here, and less beyond
_SHORT = 128

NAME = "interconnected_ai_documents"


def attend_by_documents(network: Any) -> None:
    """Let a model attend so, where `document_lengths` comes with its forward pass; elsewhere it attends as before."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, _attention)
    network.set_attn_implementation(NAME)


def attend_by_masks(network: Any) -> None:
    """Let a model attend with PyTorch's own product, by the mask it is given."""
    network.set_attn_implementation("sdpa")


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    document_lengths: Sequence[int] | None = None,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """(1, heads, tokens, d) each, keys and values of fewer heads perhaps → (1, tokens, heads, d)."""
    if document_lengths is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        out, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )
        return out, None
    groups = query.shape[1] // key.shape[1]
    key, value = (part.repeat_interleave(groups, dim=1) if groups > 1 else part for part in (key, value))
    lengths = list(document_lengths)
    documents = zip(query.split(lengths, 2), key.split(lengths, 2), value.split(lengths, 2), strict=True)
    attended = [_one(q, k, v, dropout, scaling, sliding_window) for q, k, v in documents]
    return torch.cat([out.transpose(1, 2) for out in attended], dim=1), None


def _one(
    query: Tensor, key: Tensor, value: Tensor, dropout: float, scaling: float | None, window: int | None
) -> Tensor:
    """One document's tokens, each of which sees those before it, the last `window` of them alone where there is one."""
    length = query.shape[2]
    if length <= min(window or _SHORT, _SHORT) and not dropout and _gains(query):
        out: Tensor = _ShortAttention.apply(query, key, value, query.shape[-1] ** -0.5 if scaling is None else scaling)
        return out
    if window is None or length <= window:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True, dropout_p=dropout, scale=scaling)
    seen = torch.ones(length, length, dtype=torch.bool, device=query.device).tril().triu(1 - window)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=seen, dropout_p=dropout, scale=scaling)


def _gains(query: Tensor) -> bool:
    return query.dtype == torch.bfloat16 and query.device.type == "cpu"


class _ShortAttention(torch.autograd.Function):
    """softmax(q · kᵀ · scale) · v, each token seeing those before it; the shares are computed again in the backward pass."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        ctx.save_for_backward(query, key, value)
        return F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        query, key, value = ctx.saved_tensors
        length, dtype = query.shape[2], query.dtype
        scores = (query @ key.transpose(-1, -2)).float().mul_(ctx.scale)
        later = torch.ones(length, length, dtype=torch.bool, device=query.device).triu_(1)
        shares = torch.softmax(scores.masked_fill_(later, -torch.inf), dim=-1)  # (1, heads, length, length)
        of_shares = (grad @ value.transpose(-1, -2)).float()
        of_scores = shares * (of_shares - (of_shares * shares).sum(-1, keepdim=True))
        of_scores = of_scores.mul_(ctx.scale).to(dtype)
        return of_scores @ key, of_scores.transpose(-1, -2) @ query, shares.to(dtype).transpose(-1, -2) @ grad, None
