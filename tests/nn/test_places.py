"""Every brick computes where its inputs are and in their precision, and all its weights come from the generator it is given."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from interconnected_ai.config import NormPlace
from interconnected_ai.nn import (
    FeedForward,
    FFNExperts,
    KVCache,
    LoRA,
    MoELayer,
    MultiHeadAttention,
    TokenRouter,
    TransformerBlock,
    add_lora,
    grouped,
    linear_cross_entropy,
)
from interconnected_ai.nn.grouped import Groups

Build = Callable[[torch.Generator], nn.Module]
BRICKS: dict[str, Build] = {
    "feed-forward": lambda g: FeedForward(8, 12, generator=g),
    "attention": lambda g: MultiHeadAttention(8, 2, 0.2, generator=g),
    "block": lambda g: TransformerBlock(8, 2, 12, 0.2, generator=g),
    "router": lambda g: TokenRouter(8, 4, 2, generator=g),
    "experts": lambda g: FFNExperts(4, 8, 12, generator=g),
    "gated experts": lambda g: FFNExperts(4, 8, 12, gated=True, bias=False, generator=g),
    "moe": lambda g: MoELayer(8, 12, 4, generator=g),
    "lora": lambda g: LoRA(8, 6, 2, generator=g),
}
bricks = pytest.mark.parametrize("build", BRICKS.values(), ids=BRICKS)


@bricks
def test_a_seed_decides_every_weight_and_the_global_state_none(build: Build) -> None:
    torch.manual_seed(1)
    one = build(torch.Generator().manual_seed(0))
    torch.manual_seed(2)
    same, other = build(torch.Generator().manual_seed(0)), build(torch.Generator().manual_seed(1))
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, same.state_dict()[name]), name
    assert any(not torch.equal(tensor, other.state_dict()[name]) for name, tensor in one.state_dict().items())


@pytest.mark.parametrize(
    ("build", "stds"),
    [
        (lambda g: FeedForward(400, 100, generator=g), {"w_in.weight": 0.05, "w_out.weight": 0.1}),
        (lambda g: MultiHeadAttention(100, 2, generator=g), {"qkv.weight": 0.1, "out.weight": 0.1}),
        (lambda g: FFNExperts(2, 400, 100, generator=g), {"w_in": 0.05, "w_out": 0.1}),
        (lambda g: TokenRouter(2000, 4, 2, generator=g), {"weight": 0.02}),
    ],
)
def test_weights_start_as_wide_as_their_inputs_ask_and_biases_at_zero(build: Build, stds: dict[str, float]) -> None:
    for name, parameter in build(torch.Generator().manual_seed(0)).named_parameters():
        if name in stds:
            assert parameter.std().item() == pytest.approx(stds[name], rel=0.05), name
        else:
            assert not parameter.any(), name


def test_experts_have_biases_unless_asked_otherwise() -> None:
    names = {name for name, _ in MoELayer(8, 12, 4).named_parameters()}
    assert names == {"router.weight", *(f"experts.{name}" for name in ("w_in", "w_out", "b_in", "b_out"))}
    assert {name for name, _ in FFNExperts(4, 8, 12).named_parameters()} == {"w_in", "w_out", "b_in", "b_out"}
    bare = {name for name, _ in MoELayer(8, 12, 4, bias=False).named_parameters()}
    assert bare == {"router.weight", "experts.w_in", "experts.w_out"}


def grown_linear() -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 6))
    add_lora(model, 2, dropout=0.5)
    return model.train()


def chosen_rows(cache: KVCache) -> Tensor:
    cache.select([2, 0])
    return cache.tensor


# Modules and inputs are made when a computation is asked for; what it makes while it runs is its own affair.
COMPUTATIONS: dict[str, Callable[[], Callable[[], Tensor]]] = {
    "attention with dropout": lambda: partial(
        MultiHeadAttention(8, 2, 0.2).train(), torch.ones(2, 3, 8), is_causal=True
    ),
    "loop": lambda: partial(first, MoELayer(8, 12, 4, backend="loop"), torch.ones(5, 8)),
    "grouped_mm": lambda: partial(first, MoELayer(8, 12, 4, backend="grouped_mm"), torch.ones(5, 8)),
    "balance loss": lambda: TokenRouter(8, 4, 2)(torch.ones(5, 8)).balance_loss,
    "z loss": lambda: TokenRouter(8, 4, 2)(torch.ones(5, 8)).z_loss,
    "cross-entropy": lambda: partial(
        linear_cross_entropy, torch.ones(5, 8), torch.ones(9, 8), torch.zeros(5, dtype=torch.int64)
    ),
    "lora": lambda: partial(grown_linear(), torch.ones(5, 8)),
    "cache": lambda: partial(chosen_rows, KVCache(1, 3, 2, 4, 5)),
}


def first(module: nn.Module, hidden: Tensor) -> Tensor:
    out: Tensor = module(hidden)[0]
    return out


@pytest.mark.parametrize("make", COMPUTATIONS.values(), ids=COMPUTATIONS)
def test_what_comes_out_is_where_the_inputs_are_whatever_the_default_device_is(
    make: Callable[[], Callable[[], Tensor]],
) -> None:
    compute = make()
    with torch.device("meta"):
        assert compute().device.type == "cpu"


@pytest.mark.parametrize("rows_learn", [True, False])
@pytest.mark.parametrize("weight_learns", [True, False])
def test_the_loop_takes_no_product_for_a_gradient_that_nobody_wants(rows_learn: bool, weight_learns: bool) -> None:
    rows = torch.ones(6, 4, requires_grad=rows_learn)
    weight = torch.ones(2, 4, 8, requires_grad=weight_learns)
    bias = torch.ones(2, 8, requires_grad=True)
    out = grouped.grouped_linear(rows, weight, bias, Groups.from_counts(torch.tensor([2, 4])), "loop")
    with FlopCounterMode(display=False) as counter:
        out.sum().backward()
    assert counter.get_total_flops() == (rows_learn + weight_learns) * 2 * 6 * 4 * 8


@pytest.mark.parametrize("backend", ["loop", "grouped_mm"])
def test_experts_in_half_precision_work_under_a_router_in_float32(backend: grouped.BackendName) -> None:
    layer = MoELayer(8, 16, 4, backend=backend, generator=torch.Generator().manual_seed(0))
    hidden = torch.randn(6, 8, generator=torch.Generator().manual_seed(1))
    whole, routing = layer(hidden)
    layer.experts.to(torch.bfloat16)
    half, same = layer(hidden)
    assert half.dtype == torch.float32
    assert torch.equal(routing.indices, same.indices)
    torch.testing.assert_close(half, whole, atol=0.1, rtol=0.1)


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_a_block_looks_only_where_the_mask_lets_it(norm: NormPlace) -> None:
    block = TransformerBlock(8, 2, 12, 0.0, norm=norm).eval()
    hidden = torch.randn(1, 4, 8, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([True, True, False, True]).expand(4, 4)
    changed = hidden.clone()
    changed[:, 2] += 1.0
    with torch.no_grad():
        before, after = block(hidden, mask), block(changed, mask)
        assert torch.equal(before[:, [0, 1, 3]], after[:, [0, 1, 3]])
        assert not torch.equal(block(hidden), before)


def test_the_loss_takes_products_in_the_precision_of_the_hidden_states_or_of_autocast() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(40, 16, generator=generator), torch.randn(30, 16, generator=generator)
    targets = torch.arange(40) % 30
    half = (hidden.bfloat16() @ weight.bfloat16().T).float()
    wanted = nn.functional.cross_entropy(half, targets, reduction="sum")
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(linear_cross_entropy(hidden, weight, targets), wanted, rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(linear_cross_entropy(hidden.bfloat16(), weight, targets), wanted, rtol=1e-6, atol=1e-4)
    whole = nn.functional.cross_entropy(hidden @ weight.T, targets, reduction="sum")
    assert abs(whole - wanted) > 1e-3, "the two precisions can be told apart"
