"""Sinusoidal positions: the document's formula, at every width."""

import math

import pytest
import torch

from interconnected_ai.nn import PositionalEncoding, sinusoidal_positions


@pytest.mark.parametrize("d_model", [1, 2, 5, 8, 33])
def test_the_table_is_the_documents_formula(d_model: int) -> None:
    table = sinusoidal_positions(3000, d_model)
    assert table.shape == (3000, d_model)
    for position in (0, 1, 17, 2999):
        for i in range(0, d_model, 2):
            angle = position / 10000 ** (i / d_model)
            assert table[position, i].item() == pytest.approx(math.sin(angle), abs=1e-6)
            if i + 1 < d_model:
                assert table[position, i + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_positions_are_added_and_none_is_learnt() -> None:
    encoding = PositionalEncoding(512, 64)
    hidden = torch.randn(2, 50, 512)
    assert torch.equal(encoding(hidden), hidden + sinusoidal_positions(64, 512)[:50])
    assert not list(encoding.parameters())
    assert list(encoding.state_dict()) == ["pe"]


def test_a_start_and_positions_of_each_row_are_looked_up() -> None:
    encoding, hidden = PositionalEncoding(6, 20), torch.zeros(2, 3, 6)
    assert torch.equal(encoding(hidden, 4)[1], encoding.pe[4:7])
    positions = torch.tensor([[0, 0, 1], [7, 8, 9]])
    assert torch.equal(encoding(hidden, positions=positions), encoding.pe[positions])
