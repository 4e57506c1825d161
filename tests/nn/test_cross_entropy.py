"""The chunked loss equals the one over all logits."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from interconnected_ai.nn import cross_entropy, linear_cross_entropy


def parts(rows: int = 130, d_model: int = 8, vocab_size: int = 50) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(rows, d_model, generator=generator, requires_grad=True)
    weight = torch.randn(vocab_size, d_model, generator=generator, requires_grad=True)
    return hidden, weight, torch.randint(vocab_size, (rows,), generator=generator)


@pytest.mark.parametrize("numbers", [1, 64 * 50, 1 << 22])  # several chunks, two, one
def test_loss_and_gradients_are_those_of_the_whole_table(numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_entropy, "_CHUNK_NUMBERS", numbers)
    hidden, weight, targets = parts()
    loss = linear_cross_entropy(hidden, weight, targets)
    grads = torch.autograd.grad(loss / 7, (hidden, weight))
    expected = F.cross_entropy(hidden @ weight.T, targets, reduction="sum")
    torch.testing.assert_close(loss, expected)
    for ours, theirs in zip(grads, torch.autograd.grad(expected / 7, (hidden, weight)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_target_without_any_probability_costs_a_finite_loss() -> None:
    hidden, weight = torch.tensor([[1.0]]), torch.tensor([[400.0], [-400.0]])
    assert linear_cross_entropy(hidden, weight, torch.tensor([1])).item() == pytest.approx(800.0)


def test_without_gradients_none_are_computed() -> None:
    hidden, weight, targets = parts()
    with torch.no_grad():
        loss = linear_cross_entropy(hidden, weight, targets)
    assert not loss.requires_grad
    assert loss.item() == pytest.approx(F.cross_entropy(hidden @ weight.T, targets, reduction="sum").item(), rel=1e-5)


def test_a_frozen_head_gets_no_gradient() -> None:
    hidden, weight, targets = parts()
    weight = weight.detach()
    linear_cross_entropy(hidden, weight, targets).backward()
    assert hidden.grad is not None
    assert weight.grad is None


def test_under_autocast_products_are_taken_in_its_type_and_sums_in_float32() -> None:
    hidden, weight, targets = parts()
    with torch.autocast("cpu", torch.bfloat16):
        loss = linear_cross_entropy(hidden, weight, targets)
    loss.backward()
    assert loss.dtype == torch.float32
    assert hidden.grad is not None
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32
    exact = F.cross_entropy(hidden @ weight.T, targets, reduction="sum")
    assert loss.item() == pytest.approx(exact.item(), rel=2e-2)
    torch.testing.assert_close(weight.grad, torch.autograd.grad(exact, weight)[0], atol=0.2, rtol=0.05)
