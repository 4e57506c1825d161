"""The token router: its weights, its losses and the figures of a routing."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from interconnected_ai.nn import MoELayer, Routing, TokenRouter
from properties import examples

few = examples(40)


@st.composite
def experts_and_choices(draw: st.DrawFn, most: int = 128) -> tuple[int, int]:
    num_experts = draw(st.integers(2, most))
    return num_experts, draw(st.integers(1, num_experts))


def balanced(num_experts: int, top_k: int, dtype: torch.dtype = torch.float32) -> Routing:
    """Uniform logits, and every expert chosen equally often."""
    tokens = torch.arange(num_experts)
    indices = (tokens[:, None] + torch.arange(top_k)) % num_experts
    return Routing(
        torch.zeros(num_experts, num_experts, dtype=dtype), torch.full(indices.shape, 1 / top_k, dtype=dtype), indices
    )


def collapsed(num_experts: int, top_k: int, num_tokens: int = 6) -> Routing:
    """Every token goes to the first k experts, and the router is sure of it."""
    logits = torch.full((num_tokens, num_experts), -100.0)
    logits[:, :top_k] = 0.0
    indices = torch.arange(top_k).expand(num_tokens, top_k)
    return Routing(logits, torch.full(indices.shape, 1 / top_k), indices)


def random_routing(num_experts: int, top_k: int, num_tokens: int, seed: int) -> Routing:
    random = torch.Generator().manual_seed(seed)
    router = TokenRouter(5, num_experts, top_k)
    with torch.no_grad():
        router.weight.copy_(torch.randn(router.weight.shape, generator=random))
    routing: Routing = router(torch.randn(num_tokens, 5, generator=random))
    return routing


@few
@given(experts_and_choices(most=16), st.integers(1, 20), st.integers(0, 1000))
def test_weights_sum_to_one_and_go_to_the_best_experts(shape: tuple[int, int], num_tokens: int, seed: int) -> None:
    num_experts, top_k = shape
    routing = random_routing(num_experts, max(2, top_k), num_tokens, seed)
    assert_close(routing.weights.sum(dim=-1), torch.ones(num_tokens))
    assert (routing.weights > 0).all()
    chosen = torch.zeros_like(routing.logits, dtype=torch.bool).scatter(1, routing.indices, True)
    assert (chosen.sum(dim=1) == max(2, top_k)).all()
    worst_chosen = routing.logits.masked_fill(~chosen, math.inf).amin(dim=1)
    best_left = routing.logits.masked_fill(chosen, -math.inf).amax(dim=1)
    assert (worst_chosen >= best_left).all()


def test_with_one_choice_the_weight_is_the_probability_among_all_experts() -> None:
    routing = random_routing(4, 1, 7, seed=3)
    assert_close(routing.weights[:, 0], routing.logits.softmax(dim=-1).amax(dim=-1))


@few
@given(experts_and_choices(), st.sampled_from([torch.float32, torch.bfloat16, torch.float16]))
def test_balance_loss_is_one_at_perfect_balance_for_every_number_of_experts_and_choices(
    shape: tuple[int, int], dtype: torch.dtype
) -> None:
    assert balanced(*shape, dtype=dtype).balance_loss().item() == pytest.approx(1.0, abs=1e-5)


@few
@given(experts_and_choices())
def test_balance_loss_at_collapse_is_experts_over_choices(shape: tuple[int, int]) -> None:
    num_experts, top_k = shape
    loss = collapsed(num_experts, top_k).balance_loss().item()
    assert loss == pytest.approx(num_experts / top_k, rel=1e-5)
    assert loss > 1.0 or top_k == num_experts


@few
@given(experts_and_choices(most=16), st.integers(1, 30), st.integers(0, 1000))
def test_balance_loss_is_that_of_hugging_face_over_k(shape: tuple[int, int], num_tokens: int, seed: int) -> None:
    from transformers.models.qwen3_moe.modeling_qwen3_moe import load_balancing_loss_func

    num_experts, top_k = shape
    routing = random_routing(num_experts, top_k, num_tokens, seed)
    theirs = load_balancing_loss_func((routing.logits,), num_experts, top_k)
    assert_close(routing.balance_loss(), theirs / top_k, rtol=1e-5, atol=1e-6)


def test_balance_loss_can_take_the_shares_of_a_larger_batch() -> None:
    whole = random_routing(6, 2, 20, seed=1)
    halves = [Routing(whole.logits[i::2], whole.weights[i::2], whole.indices[i::2]) for i in range(2)]
    counts = halves[0].tokens_per_expert + halves[1].tokens_per_expert
    assert torch.equal(counts, whole.tokens_per_expert)
    mean = (halves[0].balance_loss(counts) + halves[1].balance_loss(counts)) / 2
    assert_close(mean, whole.balance_loss())


def test_descending_the_balance_loss_lowers_the_crowded_experts_and_raises_the_others() -> None:
    routing = collapsed(4, 2)
    logits = (routing.logits / 50).requires_grad_()  # softer, so that the softmax has a slope
    Routing(logits, routing.weights, routing.indices).balance_loss().backward()
    assert logits.grad is not None
    assert (logits.grad[:, :2] > 0).all()
    assert (logits.grad[:, 2:] < 0).all()


def test_z_loss_is_the_mean_squared_log_partition() -> None:
    logits = torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0]])
    routing = Routing(logits, torch.ones(2, 1), torch.zeros(2, 1, dtype=torch.long))
    assert routing.z_loss().item() == pytest.approx((math.log(2) ** 2 + math.log(4) ** 2) / 2, rel=1e-6)


def test_the_default_router_with_one_choice_learns_from_the_task() -> None:
    tokens = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    sums = {}
    for normalize in (None, True):
        layer = MoELayer(4, 8, 4, 1, normalize=normalize, generator=torch.Generator().manual_seed(1))
        layer(tokens)[0].square().sum().backward()
        assert layer.router.weight.grad is not None
        sums[normalize] = layer.router.weight.grad.abs().sum().item()
    assert sums[None] > 1e-4
    assert sums[True] == pytest.approx(0.0, abs=1e-6)  # the softmax over one choice is 1, whatever the router says


@few
@given(experts_and_choices(most=16), st.integers(1, 30), st.integers(0, 1000))
def test_figures_of_a_routing_are_shares(shape: tuple[int, int], num_tokens: int, seed: int) -> None:
    routing = random_routing(*shape, num_tokens, seed)
    assert routing.num_experts == shape[0]
    assert int(routing.tokens_per_expert.sum()) == num_tokens * shape[1]
    assert routing.utilization.sum().item() == pytest.approx(1.0, abs=1e-5)
    assert -1e-6 <= routing.entropy.item() <= 1.0 + 1e-6
    assert routing.dead_experts == [e for e in range(shape[0]) if not (routing.indices == e).any()]


@few
@given(experts_and_choices())
def test_entropy_is_one_when_balanced_and_zero_when_one_expert_gets_everything(shape: tuple[int, int]) -> None:
    num_experts, top_k = shape
    assert balanced(num_experts, top_k).entropy.item() == pytest.approx(1.0, abs=1e-5)
    assert balanced(num_experts, top_k).dead_experts == []
    assert collapsed(num_experts, 1).entropy.item() == pytest.approx(0.0, abs=1e-6)
    assert collapsed(num_experts, 1).dead_experts == list(range(1, num_experts))


def test_a_routing_of_no_tokens_has_finite_figures() -> None:
    routing = Routing(torch.zeros(0, 4), torch.zeros(0, 2), torch.zeros(0, 2, dtype=torch.long))
    assert routing.dead_experts == [0, 1, 2, 3]
    for figure in (routing.utilization, routing.entropy, routing.balance_loss(), routing.z_loss()):
        assert not figure.any()


@pytest.mark.parametrize("top_k", [0, 5])
def test_more_choices_than_experts_or_none_are_refused(top_k: int) -> None:
    with pytest.raises(ValueError, match=f"top_k={top_k} of num_experts=4"):
        TokenRouter(8, 4, top_k)
