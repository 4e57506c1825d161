"""Sinusoidal positions: a table that is computed, not learnt."""

import torch
from torch import Tensor, nn


def sinusoidal_positions(num_positions: int, d_model: int) -> Tensor:
    """(num_positions, d_model): PE[p, 2i] = sin(p / 10000^(2i / d_model)), PE[p, 2i + 1] = cos of the same (Vaswani et
    al. 2017, section 3.5). With an odd d_model the last cosine has no place.
    """
    # float64, or positions in the thousands would carry the rounding of their product into sin and cos
    positions = torch.arange(num_positions, dtype=torch.float64)[:, None]
    rates = 10000.0 ** (-torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)
    table = torch.empty(num_positions, d_model, dtype=torch.float64)
    table[:, 0::2] = torch.sin(positions * rates)
    table[:, 1::2] = torch.cos(positions * rates[: d_model // 2])
    return table.float()


class PositionalEncoding(nn.Module):
    """x + PE: adds its position to every token. The table `pe` is a buffer: saved with the weights, never trained."""

    pe: Tensor

    def __init__(self, d_model: int, max_seq_len: int) -> None:
        super().__init__()
        table = torch.empty(max_seq_len, d_model)
        # On the meta device there is nothing to compute, and the first operation there imports for seconds.
        self.register_buffer("pe", table if table.is_meta else sinusoidal_positions(max_seq_len, d_model))

    def forward(self, hidden: Tensor, start: int = 0, positions: Tensor | None = None) -> Tensor:
        """(batch, seq, d_model) → the same. start: position of the first token; positions: (batch, seq), if rows differ."""
        if positions is not None:
            return hidden + self.pe[positions]
        return hidden + self.pe[start : start + hidden.shape[1]]
