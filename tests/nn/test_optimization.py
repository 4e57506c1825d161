"""The schedule of the learning rate, and a step by it, against PyTorch's own pieces put together by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from interconnected_ai.nn import Descent, learning_rate_factor


def losses_of(model: nn.Linear, number: int) -> torch.Tensor:
    inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(number))
    return 50 * (model(inputs) - 1).square().mean()  # steep: the gradient is clipped


def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(4, 2)


def by_hand(steps: int) -> nn.Linear:
    model = linear()
    groups = [{"params": [model.weight], "lr": 0.1}, {"params": [model.bias], "lr": 0.02}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_factor(step, steps, 3))
    for number in range(steps):
        optimizer.zero_grad()
        losses_of(model, number).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        schedule.step()
    return model


def test_steps_are_those_of_adamw_with_pytorchs_schedule_and_clipping_bit_for_bit() -> None:
    model, steps = linear(), 40
    groups = [{"params": [model.weight], "lr": 0.1}, {"params": [model.bias], "lr": 0.02}]
    descent = Descent(groups, lambda step: learning_rate_factor(step, steps, 3), weight_decay=0.3, gradient_clip=0.5)
    for number in range(steps):
        descent.step(losses_of(model, number))
    expected = by_hand(steps)
    assert torch.equal(model.weight, expected.weight)
    assert torch.equal(model.bias, expected.bias)
    assert descent.num_steps == steps


def test_the_rates_of_a_step_are_its_share_of_the_full_ones() -> None:
    model = linear()
    descent = Descent(model.parameters(), lambda step: (0.25, 0.5)[step], lr=0.08)
    for expected in (0.02, 0.04):
        descent.step(losses_of(model, 0))
        assert [group["lr"] for group in descent.optimizer.param_groups] == [pytest.approx(expected)]


def test_forgotten_gradients_are_not_added_to_a_training_that_follows() -> None:
    model = linear()
    descent = Descent(model.parameters(), lambda step: 1.0)
    descent.step(losses_of(model, 0))
    assert model.weight.grad is not None
    descent.forget_gradients()
    assert model.weight.grad is None


def test_the_warm_up_rises_linearly_to_the_full_rate_and_the_cosine_falls_to_nothing() -> None:
    assert [learning_rate_factor(step, 100, 4) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert learning_rate_factor(52, 100, 4) == pytest.approx(0.5)
    assert learning_rate_factor(100, 100, 4) == pytest.approx(0.0)
    assert learning_rate_factor(500, 100, 4) == pytest.approx(0.0)


def test_a_warm_up_takes_at_most_a_tenth_of_the_run() -> None:
    assert learning_rate_factor(9, 100, 1000) == 1.0
    assert learning_rate_factor(8, 100, 1000) == pytest.approx(0.9)
    assert learning_rate_factor(0, 5, 1000) == 1.0  # too short for any


@given(total=st.integers(1, 500), warmup=st.integers(0, 100), step=st.integers(0, 600))
def test_a_factor_is_a_share(total: int, warmup: int, step: int) -> None:
    factor = learning_rate_factor(step, total, warmup)
    assert 0.0 <= factor <= 1.0
    assert math.isfinite(factor)
