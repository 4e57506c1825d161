"""Vectors centred and scaled by statistics that were taken once."""

import torch

from interconnected_ai.nn import Standardization


def test_without_statistics_vectors_pass_to_the_last_bit() -> None:
    vectors = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Standardization(8)(vectors), vectors)


def test_taken_rows_come_out_centred_and_of_deviation_one() -> None:
    rows = (
        torch.randn(200, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.01, 1.0, 3.0, 50.0]) + 100.0
    )
    standard = Standardization(4)
    standard.take(rows)
    torch.testing.assert_close(standard(rows).mean(dim=0), torch.zeros(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(standard(rows).std(dim=0, correction=0), torch.ones(4), atol=1e-3, rtol=0)


def test_a_dimension_that_does_not_vary_is_centred_and_not_blown_up() -> None:
    rows = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    rows[:, 1] = 4.0
    standard = Standardization(3)
    standard.take(rows)
    assert standard.scale[1] == 1.0
    assert torch.equal(standard(rows)[:, 1], torch.zeros(50))


def test_a_single_row_is_centred_alone() -> None:
    standard = Standardization(3)
    standard.take(torch.tensor([[1.0, 2.0, 3.0]]))
    assert torch.equal(standard(torch.tensor([[2.0, 2.0, 2.0]])), torch.tensor([[1.0, 0.0, -1.0]]))


def test_statistics_are_kept_and_do_not_learn() -> None:
    standard = Standardization(3)
    assert set(standard.state_dict()) == {"mean", "scale"}
    assert not list(standard.parameters())
