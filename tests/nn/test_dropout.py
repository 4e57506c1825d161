"""Dropout: the right share of zeros, the right mean, the mask of the forward pass in the backward one."""

import pytest
import torch
from torch import nn

from interconnected_ai.nn import Dropout, swap_dropouts


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_entries_are_dropped_at_the_rate_and_the_mean_stays(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    out = Dropout(p).train()(torch.ones(400, 501, dtype=dtype))  # not a multiple of four entries
    assert out.dtype == dtype
    assert (out == 0).double().mean().item() == pytest.approx(p, abs=0.005)
    assert out.double().mean().item() == pytest.approx(1.0, abs=0.02)
    assert out.unique().numel() == (1 if p == 0 else 2)


def test_rates_are_as_fine_as_said() -> None:
    torch.manual_seed(0)
    dropped = sum((Dropout(0.001).train()(torch.ones(1000, 1000)) == 0).sum().item() for _ in range(3))
    assert dropped / 3e6 == pytest.approx(0.001, rel=0.1)


def test_entries_are_independent_of_their_neighbours() -> None:
    torch.manual_seed(0)
    kept = (Dropout(0.5).train()(torch.ones(1, 400_000)) != 0).double().flatten()
    for distance in (1, 2, 3, 4, 8):
        together = (kept[:-distance] * kept[distance:]).mean().item()
        assert together == pytest.approx(0.25, abs=0.005)


def test_the_backward_pass_uses_the_same_mask() -> None:
    hidden = torch.ones(30, 40, requires_grad=True)
    out = Dropout(0.3).train()(hidden)
    out.sum().backward()
    assert hidden.grad is not None
    assert torch.equal(hidden.grad, out.detach())


def test_evaluation_and_a_rate_of_zero_are_the_identity() -> None:
    hidden = torch.randn(3, 5)
    assert Dropout(0.5).eval()(hidden) is hidden
    assert Dropout(0.0).train()(hidden) is hidden


def test_a_seed_gives_the_same_mask_again() -> None:
    masks = []
    for _ in range(2):
        torch.manual_seed(7)
        masks.append(Dropout(0.4).train()(torch.ones(9, 11)))
    assert torch.equal(*masks)


def test_an_empty_batch_has_nothing_to_drop() -> None:
    assert Dropout(0.4).train()(torch.ones(0, 11)).shape == (0, 11)


@pytest.mark.parametrize("p", [-0.1, 1.0, 2.0])
def test_rates_outside_the_range_are_refused(p: float) -> None:
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        Dropout(p)


def test_every_dropout_of_a_model_is_swapped_and_keeps_its_rate_and_mode() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Dropout(0.25))).eval()
    swap_dropouts(model)
    swapped = model[1][0]
    assert isinstance(swapped, Dropout)
    assert swapped.p == 0.25
    assert not swapped.training


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_it_is_torchs() -> None:
    out = Dropout(0.5).train()(torch.ones(100, 100, device="cuda"))
    assert (out == 0).float().mean().item() == pytest.approx(0.5, abs=0.05)
