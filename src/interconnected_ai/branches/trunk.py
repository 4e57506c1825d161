"""The trunk: shared layers over the encoder's token vectors, then one vector per row. It runs once for all branches.

Token vectors travel packed: (num_tokens, d_model), the real tokens of all rows one after another, and the (batch, seq)
mask says which row each belongs to. Padding is never computed.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interconnected_ai.config import Pooling, SystemConfig
from interconnected_ai.nn import Dropout, FeedForward, MoELayer, Routing, Standardization


class Trunk(nn.Module):
    """Standardisation → layers (pre-norm, residual) → pooling → layer norm.

    Every layer starts as the identity (its last matrix is zero), so an untrained trunk hands on what the encoder knows.
    standardization: by the statistics of the encoder's pooled vectors, given at the start of the joint training. Encoders
    whose vectors share a large offset would hide from the heads what differs between two texts.
    """

    def __init__(self, config: SystemConfig, d_model: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        d_ff = config.d_ff or 4 * d_model
        self.standardization = Standardization(d_model)
        make = MoEBlock if config.ffn == "moe" else DenseBlock
        self.layers = nn.ModuleList(make(config, d_model, d_ff, generator) for _ in range(config.num_moe_layers))
        self.pooling = _POOLINGS[config.pooling](d_model, generator)
        self.norm = nn.LayerNorm(d_model)

    def forward(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, tuple[Routing, ...]]:
        """tokens: (num_tokens, d_model) packed; mask: (batch, seq) → (batch, d_model) and each MoE layer's routing."""
        routings: list[Routing] = []
        tokens = self.standardization(tokens)
        for layer in self.layers:
            tokens, routing = layer(tokens)
            if routing is not None:
                routings.append(routing)
        return self.norm(self.pooling(tokens, mask)), tuple(routings)


class MoEBlock(nn.Module):
    """x + MoE(norm(x))."""

    def __init__(self, config: SystemConfig, d_model: int, d_ff: int, generator: torch.Generator | None) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(d_model)
        self.moe = MoELayer(d_model, d_ff, config.num_experts, config.top_k, generator=generator)
        self.dropout = Dropout(config.dropout)
        nn.init.zeros_(self.moe.experts.w_out)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Routing | None]:
        """(num_tokens, d_model) → the same, and the routing."""
        out, routing = self.moe(self.norm(tokens))
        return tokens + self.dropout(out), routing


class DenseBlock(nn.Module):
    """x + FFN(norm(x)), the twin of `MoEBlock` in a `DenseSystem`."""

    def __init__(self, config: SystemConfig, d_model: int, d_ff: int, generator: torch.Generator | None) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(d_model)
        self.feed_forward = FeedForward(d_model, d_ff, generator=generator)
        self.dropout = Dropout(config.dropout)
        nn.init.zeros_(self.feed_forward.w_out.weight)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Routing | None]:
        """(num_tokens, d_model) → the same, and no routing."""
        return tokens + self.dropout(self.feed_forward(self.norm(tokens))), None


class MeanPooling(nn.Module):
    """The mean of a row's token vectors."""

    def __init__(self, d_model: int, generator: torch.Generator | None) -> None:
        super().__init__()

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(num_tokens, d_model), (batch, seq) → (batch, d_model)."""
        return unpack(tokens, mask).sum(dim=1) / mask.sum(dim=1, keepdim=True).to(tokens.dtype)


class FirstPooling(nn.Module):
    """The first token's vector ("cls"). The trunk is handed nothing but that position: see `pack`."""

    def __init__(self, d_model: int, generator: torch.Generator | None) -> None:
        super().__init__()

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(batch, d_model), (batch, 1) → (batch, d_model)."""
        return tokens


class AttentionPooling(nn.Module):
    """A weighted mean of a row's token vectors, weights = softmax(w · x) over the row. Starts as the plain mean."""

    def __init__(self, d_model: int, generator: torch.Generator | None) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(d_model))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(num_tokens, d_model), (batch, seq) → (batch, d_model)."""
        hidden = unpack(tokens, mask)  # (batch, seq, d_model)
        scores = (hidden @ self.query).masked_fill(~mask, float("-inf"))  # (batch, seq)
        return torch.bmm(F.softmax(scores, dim=-1).unsqueeze(1), hidden).squeeze(1)


_POOLINGS: dict[Pooling, type[MeanPooling | FirstPooling | AttentionPooling]] = {
    "mean": MeanPooling,
    "cls": FirstPooling,
    "attention": AttentionPooling,
}


def pack(hidden: Tensor, mask: Tensor, pooling: Pooling) -> tuple[Tensor, Tensor]:
    """The positions that the trunk has to compute, packed, and their mask.

    All layers work position by position, so with "cls" pooling only the first position is ever needed, exactly.
    hidden: (batch, seq, d_model); mask: (batch, seq) → (num_tokens, d_model), (batch, seq or 1).
    """
    if pooling == "cls":
        return hidden[:, 0], mask[:, :1]
    return hidden[mask], mask


def unpack(tokens: Tensor, mask: Tensor) -> Tensor:
    """(num_tokens, d_model), (batch, seq) → (batch, seq, d_model) with zeros where there is padding."""
    padded = tokens.new_zeros(*mask.shape, tokens.shape[-1])
    return padded.masked_scatter(mask.unsqueeze(-1), tokens)
