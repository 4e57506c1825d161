"""The MoE layer against the obvious loop, against transformers, and against itself in other company."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from interconnected_ai.nn import FeedForward, MoELayer
from interconnected_ai.nn.grouped import BackendName
from properties import examples

few = examples(25)


@dataclass(frozen=True)
class Shape:
    """A layer and how many tokens it gets."""

    num_experts: int
    top_k: int
    d_model: int
    d_ff: int
    gated: bool
    bias: bool
    num_tokens: int
    seed: int

    def layer(self, dtype: torch.dtype = torch.float32, backend: BackendName | None = "loop") -> MoELayer:
        made = MoELayer(
            self.d_model,
            self.d_ff,
            self.num_experts,
            self.top_k,
            activation="silu" if self.gated else "gelu",
            gated=self.gated,
            bias=self.bias,
            backend=backend,
            generator=torch.Generator().manual_seed(self.seed),
        )
        return away_from_zero(made, self.seed).to(dtype)

    def tokens(self, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(self.num_tokens, self.d_model, generator=torch.Generator().manual_seed(self.seed)).to(dtype)


@st.composite
def shapes(draw: st.DrawFn, widths: st.SearchStrategy[int] | None = None, least_tokens: int = 0) -> Shape:
    width = st.integers(1, 12) if widths is None else widths
    num_experts = draw(st.integers(2, 8))
    return Shape(
        num_experts=num_experts,
        top_k=draw(st.integers(1, num_experts)),
        d_model=draw(width),
        d_ff=draw(width),
        gated=draw(st.booleans()),
        bias=draw(st.booleans()),
        num_tokens=draw(st.integers(least_tokens, 20)),
        seed=draw(st.integers(0, 1000)),
    )


def away_from_zero(layer: MoELayer, seed: int) -> MoELayer:
    """Biases that are not zero, and a router that decides clearly."""
    random = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        layer.router.weight.copy_(torch.randn(layer.router.weight.shape, generator=random))
        for bias in (layer.experts.b_in, layer.experts.b_out):
            if bias is not None:
                bias.copy_(torch.randn(bias.shape, generator=random))
    return layer


def obvious(layer: MoELayer, tokens: Tensor) -> Tensor:
    """y = Σ over the chosen k of weight · expert(x), expert by expert, everything computed for every token."""
    experts, router = layer.experts, layer.router
    logits = tokens @ router.weight.t()
    best, chosen = logits.topk(router.top_k, dim=-1)
    weights = best.softmax(-1) if router.top_k > 1 else logits.softmax(-1).gather(-1, chosen)
    out = torch.zeros_like(tokens)
    for e in range(experts.num_experts):
        inner = tokens @ experts.w_in[e] + (0 if experts.b_in is None else experts.b_in[e])
        if experts.gated:
            inner = experts.activation(inner[:, : inner.shape[1] // 2]) * inner[:, inner.shape[1] // 2 :]
        else:
            inner = experts.activation(inner)
        answer = inner @ experts.w_out[e] + (0 if experts.b_out is None else experts.b_out[e])
        out = out + (weights * (chosen == e)).sum(-1, keepdim=True) * answer
    return out


def gradients(layer: MoELayer, tokens: Tensor, out: Tensor) -> dict[str, Tensor]:
    """Gradients of a fixed mixture of the outputs, for the inputs and every parameter."""
    direction = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    wanted = {"tokens": tokens, **dict(layer.named_parameters())}
    found = torch.autograd.grad((out * direction).sum(), list(wanted.values()))
    return dict(zip(wanted, found, strict=True))


@few
@given(shape=shapes(), precision=st.sampled_from([(torch.float32, 1e-5), (torch.float64, 1e-10)]))
def test_the_layer_equals_the_obvious_loop_in_outputs_and_all_gradients(
    shape: Shape, precision: tuple[torch.dtype, float]
) -> None:
    dtype, tolerance = precision
    layer, tokens = shape.layer(dtype), shape.tokens(dtype).requires_grad_()
    out, _ = layer(tokens)
    expected = obvious(layer, tokens)
    assert_close(out, expected, rtol=tolerance, atol=tolerance)
    ours, theirs = gradients(layer, tokens, out), gradients(layer, tokens, expected)
    largest = max([1.0, *(gradient.abs().max().item() for gradient in theirs.values() if gradient.numel())])
    assert_close(ours, theirs, rtol=tolerance, atol=tolerance * largest)


@few
@given(shape=shapes(widths=st.sampled_from([4, 8, 12])))
def test_the_two_backends_agree_in_outputs_and_all_gradients(shape: Shape) -> None:
    # grouped_mm wants rows of a multiple of 16 bytes: widths of 4 floats
    results = {}
    for backend in ("loop", "grouped_mm"):
        layer, tokens = shape.layer(backend=backend), shape.tokens().requires_grad_()
        out, _ = layer(tokens)
        results[backend] = {"out": out.detach(), **gradients(layer, tokens, out)}
    for name, expected in results["loop"].items():
        assert_close(results["grouped_mm"][name], expected, rtol=1e-4, atol=1e-4)


@few
@given(shape=shapes(widths=st.sampled_from([4, 8])), backend=st.sampled_from(["loop", "grouped_mm"]))
def test_inference_mode_and_grad_mode_give_the_same_outputs(shape: Shape, backend: BackendName) -> None:
    layer, tokens = shape.layer(backend=backend), shape.tokens()
    learning, _ = layer(tokens)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            answering, _ = layer(tokens)
        assert_close(answering, learning.detach(), rtol=1e-5, atol=1e-5)


@few
@given(shape=shapes(least_tokens=2), data=st.data())
def test_what_a_row_gets_does_not_depend_on_what_else_is_in_the_batch(shape: Shape, data: st.DataObject) -> None:
    layer, tokens = shape.layer(), shape.tokens()
    row = data.draw(st.integers(0, shape.num_tokens - 1))
    others = data.draw(st.lists(st.integers(0, shape.num_tokens - 1), max_size=8))
    with torch.inference_mode():
        together, _ = layer(tokens)
        scale = together.abs().max().clamp(min=1.0)
        for company in ([row], [row, *others], [*others, row]):
            out, _ = layer(tokens[company])
            assert_close(out[company.index(row)] / scale, together[row] / scale, rtol=1e-6, atol=1e-6)


@few
@given(shape=shapes(least_tokens=1), data=st.data())
def test_padding_is_zero_counts_nowhere_and_changes_nothing_for_real_tokens(shape: Shape, data: st.DataObject) -> None:
    layer = shape.layer()
    mask = torch.tensor(data.draw(st.lists(st.booleans(), min_size=shape.num_tokens, max_size=shape.num_tokens)))
    hidden = shape.tokens()
    hidden[~mask] = torch.nan  # if padding is looked at, it shows
    hidden.requires_grad_()
    out, routing = layer(hidden.unsqueeze(0), mask.unsqueeze(0))
    packed, packed_routing = layer(hidden[mask])
    assert out.shape == (1, *hidden.shape)
    assert_close(out[0, mask], packed)
    assert not out[0, ~mask].any()
    assert int(routing.tokens_per_expert.sum()) == int(mask.sum()) * shape.top_k
    assert len(routing.logits) == int(mask.sum())
    for figure in ("tokens_per_expert", "utilization", "entropy"):
        assert_close(getattr(routing, figure), getattr(packed_routing, figure))
    assert_close(routing.balance_loss(), packed_routing.balance_loss())
    assert_close(routing.z_loss(), packed_routing.z_loss())
    (gradient,) = torch.autograd.grad(out.sum() + routing.balance_loss() + routing.z_loss(), hidden)
    assert gradient.isfinite().all()
    assert not gradient[~mask].any()


@pytest.mark.parametrize("backend", ["loop", "grouped_mm"])
def test_an_expert_without_tokens_gets_a_gradient_of_zero(backend: BackendName) -> None:
    layer = MoELayer(4, 8, 4, 2, backend=backend)
    with torch.no_grad():
        layer.router.weight.copy_(torch.tensor([[3.0], [2.0], [-2.0], [-3.0]]).expand(4, 4))
    out, routing = layer(torch.rand(6, 4, generator=torch.Generator().manual_seed(0)) + 0.1)
    out.square().sum().backward()
    assert routing.dead_experts == [2, 3]
    for name, parameter in layer.experts.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad[:2].flatten(1).any(dim=1).all(), name
        assert not parameter.grad[2:].any(), name  # NaN would count as any


@pytest.mark.parametrize("backend", ["loop", "grouped_mm"])
def test_a_batch_without_tokens_is_computed_and_differentiated(backend: BackendName) -> None:
    layer = MoELayer(4, 8, 4, 2, backend=backend)
    out, routing = layer(torch.zeros(2, 0, 4))
    assert out.shape == (2, 0, 4)
    (out.sum() + routing.balance_loss() + routing.z_loss()).backward()
    assert all(p.grad is not None and not p.grad.any() for p in layer.parameters())


def test_nothing_is_random_at_inference() -> None:
    layer = MoELayer(16, 32, 8, 2).eval()
    tokens = torch.randn(3, 40, 16, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        first, second = layer(tokens)[0], layer(tokens)[0]
    assert torch.equal(first, second)


def test_gradients_are_the_same_to_the_last_bit_in_two_passes() -> None:
    layer = MoELayer(16, 32, 8, 2, backend="loop")
    tokens = torch.randn(40, 16, generator=torch.Generator().manual_seed(0)).requires_grad_()
    first, second = (gradients(layer, tokens, layer(tokens)[0]) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_same_generator_seed_builds_the_same_layer() -> None:
    one, two, other = (MoELayer(8, 16, generator=torch.Generator().manual_seed(seed)) for seed in (5, 5, 6))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.experts.w_in, other.experts.w_in)


def test_128_experts_work() -> None:
    layer = MoELayer(8, 8, 128, 2)
    tokens = torch.randn(300, 8, generator=torch.Generator().manual_seed(0))
    out, routing = layer(tokens)
    assert_close(out, obvious(layer, tokens), rtol=1e-5, atol=1e-5)
    assert routing.tokens_per_expert.shape == (128,)


@pytest.mark.parametrize("num_experts", [0, 1, 129])
def test_too_few_and_too_many_experts_are_refused(num_experts: int) -> None:
    with pytest.raises(ValueError, match=rf"num_experts={num_experts}: needs 2 to 128"):
        MoELayer(8, 8, num_experts, 1)


def test_one_expert_chosen_by_all_is_the_dense_feed_forward() -> None:
    dense = FeedForward(6, 10, generator=torch.Generator().manual_seed(0))
    layer = MoELayer(6, 10, 2, 2)
    with torch.no_grad():
        for e in range(2):
            layer.experts.w_in[e] = dense.w_in.weight.t()
            layer.experts.w_out[e] = dense.w_out.weight.t()
    hidden = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(1))
    assert_close(layer(hidden)[0], dense(hidden), rtol=1e-5, atol=1e-5)


def test_under_autocast_the_products_run_in_bfloat16_and_the_output_keeps_its_dtype() -> None:
    layer = MoELayer(16, 32, 4, 4)  # all experts: no choice that rounding could change
    tokens = torch.randn(10, 16, generator=torch.Generator().manual_seed(0))
    exact, _ = layer(tokens)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded, _ = layer(tokens)
    rounded.sum().backward()
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    assert_close(rounded, exact, rtol=0.05, atol=0.05)
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in layer.parameters())


@pytest.mark.parametrize("backend", ["loop", "grouped_mm"])
def test_the_layer_equals_the_block_of_qwen3_moe(backend: BackendName) -> None:
    from transformers.models.qwen3_moe.configuration_qwen3_moe import Qwen3MoeConfig
    from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeSparseMoeBlock

    config = Qwen3MoeConfig(
        hidden_size=16,
        moe_intermediate_size=24,
        num_experts=8,
        num_experts_per_tok=3,
        norm_topk_prob=True,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        vocab_size=10,
        experts_implementation="eager",
    )
    theirs = Qwen3MoeSparseMoeBlock(config)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random) * 0.3)
    ours = MoELayer(16, 24, 8, 3, activation="silu", gated=True, bias=False, backend=backend)
    ours.load_state_dict(
        {
            "router.weight": theirs.gate.weight,
            "experts.w_in": theirs.experts.gate_up_proj.transpose(1, 2),
            "experts.w_out": theirs.experts.down_proj.transpose(1, 2),
        }
    )
    ours_in = torch.randn(2, 9, 16, generator=random).requires_grad_()
    theirs_in = ours_in.detach().clone().requires_grad_()
    out, expected = ours(ours_in)[0], theirs(theirs_in)
    assert_close(out, expected, rtol=1e-5, atol=1e-5)
    out.square().sum().backward()
    expected.square().sum().backward()
    for gradient, wanted in (
        (ours_in.grad, theirs_in.grad),
        (ours.router.weight.grad, theirs.gate.weight.grad),
        (ours.experts.w_in.grad, theirs.experts.gate_up_proj.grad.transpose(1, 2)),
        (ours.experts.w_out.grad, theirs.experts.down_proj.grad.transpose(1, 2)),
    ):
        assert wanted is not None
        assert wanted.any()
        assert_close(gradient, wanted, rtol=1e-4, atol=1e-5)
