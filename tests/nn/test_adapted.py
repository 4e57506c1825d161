"""Adapted linear layers, lean norms and gates: parity with the plain modules, and gradients."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interconnected_ai.nn import AdaptedLinear, LoRALinear, RMSNorm, swiglu


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pair(*, bias: bool, dtype: torch.dtype = torch.float32) -> tuple[AdaptedLinear, LoRALinear]:
    """The lean layer and the plain one with the same weights, B not zero."""
    linear = nn.Linear(12, 8, bias=bias, dtype=dtype)
    adapted, plain = AdaptedLinear(linear, 3, alpha=5.0), LoRALinear(linear, 3, alpha=5.0)
    with torch.no_grad():
        adapted.lora_b.copy_(torch.randn(8, 3, generator=generator(1)))
        plain.lora.lora_a.copy_(adapted.lora_a)
        plain.lora.lora_b.copy_(adapted.lora_b)
    return adapted, plain


@pytest.mark.parametrize("bias", [False, True])
def test_an_adapted_layer_and_its_gradients_are_those_of_two_layers_summed(bias: bool) -> None:
    adapted, plain = pair(bias=bias)
    inputs = [torch.randn(2, 5, 12, generator=generator()).requires_grad_() for _ in range(2)]
    weights = torch.randn(2, 5, 8, generator=generator(2))
    outs = [layer(x) for layer, x in zip((adapted, plain), inputs, strict=True)]
    torch.testing.assert_close(outs[0], outs[1])
    for out in outs:
        (out * weights).sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)
    torch.testing.assert_close(adapted.lora_a.grad, plain.lora.lora_a.grad)
    torch.testing.assert_close(adapted.lora_b.grad, plain.lora.lora_b.grad)


def test_a_first_layer_computes_no_gradient_of_what_it_reads() -> None:
    adapted, _ = pair(bias=False)
    rows = torch.randn(4, 12, generator=generator())
    adapted(rows).sum().backward()
    assert rows.grad is None
    assert adapted.lora_b.grad is not None


def test_without_its_adapter_a_layer_is_the_frozen_one() -> None:
    linear = nn.Linear(12, 8)
    adapted = AdaptedLinear(linear, 2)
    with torch.no_grad():
        adapted.lora_b.fill_(1.0)
    rows = torch.randn(4, 12, generator=generator())
    assert not torch.allclose(adapted(rows), linear(rows))
    adapted.enabled = False
    torch.testing.assert_close(adapted(rows), linear(rows), rtol=0, atol=0)
    rows.requires_grad_()
    adapted(rows).sum().backward()
    assert adapted.lora_a.grad is None
    torch.testing.assert_close(rows.grad, linear.weight.sum(0).expand(4, 12))


def test_dropout_is_before_the_adapter_alone_and_only_in_training() -> None:
    linear = nn.Linear(64, 8)
    adapted = AdaptedLinear(linear, 4, dropout=0.5)
    with torch.no_grad():
        adapted.lora_b.fill_(0.1)
    rows = torch.randn(32, 64, generator=generator(), requires_grad=True)
    adapted.eval()
    still = adapted(rows)
    torch.testing.assert_close(still, adapted(rows), rtol=0, atol=0)
    adapted.train()
    torch.manual_seed(0)
    one = adapted(rows)
    assert not torch.allclose(one, adapted(rows))
    one.sum().backward()
    assert rows.grad is not None
    assert torch.isfinite(rows.grad).all()
    mean = torch.stack([adapted(rows.detach()) for _ in range(400)]).mean(0)
    torch.testing.assert_close(mean, still.detach(), rtol=0.0, atol=0.6)


def test_a_four_bit_weight_is_off_by_its_rounding_and_its_gradient_goes_through_it() -> None:
    linear = nn.Linear(64, 32)
    packed, whole = AdaptedLinear(linear, 2, bits=4), AdaptedLinear(linear, 2)
    rows = torch.randn(6, 64, generator=generator(), requires_grad=True)
    out = packed(rows)
    plain = whole(rows).detach()
    rounding = float((out.detach() - plain).norm() / plain.norm())
    assert 0.0 < rounding < 0.15
    out.sum().backward()
    matrix = packed.frozen.matrix(torch.float32)
    torch.testing.assert_close(rows.grad, matrix.sum(0).expand(6, 64))
    held = sum(buffer.nbytes for buffer in packed.frozen.buffers())
    assert held <= linear.weight.nbytes * 4.5 / 32 + 64
    assert "codes" not in "".join(packed.state_dict())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_lean_norm_is_torchs_and_so_is_its_gradient(dtype: torch.dtype) -> None:
    weight = torch.rand(16, generator=generator(1)) + 0.5
    inputs = [torch.randn(3, 16, generator=generator()).to(dtype).requires_grad_() for _ in range(2)]
    outs: list[Tensor] = [
        RMSNorm(weight.to(dtype), 1e-5)(inputs[0]), F.rms_norm(inputs[1].float(), (16,), weight, 1e-5).to(dtype)
    ]  # fmt: skip
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(outs[0], outs[1], rtol=tolerance, atol=tolerance)
    for out in outs:
        (out.float() * torch.arange(16.0)).sum().backward()
    assert inputs[0].grad is not None
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, rtol=10 * tolerance, atol=20 * tolerance)


def test_swiglu_and_its_gradients_are_those_of_silu_times_up() -> None:
    values = [torch.randn(4, 6, generator=generator(seed), dtype=torch.float64).requires_grad_() for seed in (0, 1)]
    torch.testing.assert_close(swiglu(*values), F.silu(values[0]) * values[1])
    assert torch.autograd.gradcheck(swiglu, tuple(values))


def test_a_rank_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="rank=0"):
        AdaptedLinear(nn.Linear(4, 4), 0)
