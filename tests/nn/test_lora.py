"""Low-rank adapters: nothing at first, small, mergeable and back."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from interconnected_ai.nn import LoRA, LoRALinear, add_lora, merge_lora, unmerge_lora, without_lora
from properties import examples


def trained(wrapped: LoRALinear, seed: int = 0) -> LoRALinear:
    """An adapter whose B is not zero any more."""
    with torch.no_grad():
        wrapped.lora.lora_b.copy_(torch.randn(wrapped.lora.lora_b.shape, generator=torch.Generator().manual_seed(seed)))
    return wrapped


class TinyAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(6, 6)
        self.value = nn.Linear(6, 6, bias=False)
        self.out = nn.Sequential(nn.Linear(6, 4), nn.LayerNorm(4))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.out(self.query(hidden) * self.value(hidden))
        return out


def test_a_new_adapter_changes_nothing() -> None:
    hidden = torch.randn(5, 6)
    assert not LoRA(6, 4, rank=2)(hidden).any()
    linear = nn.Linear(6, 4)
    expected = linear(hidden)
    assert torch.equal(LoRALinear(linear, rank=2)(hidden), expected)


def test_the_documents_adapter_has_12288_parameters() -> None:
    assert sum(p.numel() for p in LoRA(768, 768, rank=8).parameters()) == 12_288


def test_the_adapter_is_alpha_over_rank_times_b_times_a() -> None:
    lora = LoRA(3, 2, rank=4, alpha=6.0)
    with torch.no_grad():
        lora.lora_b.copy_(torch.arange(8.0).view(2, 4))
    hidden = torch.randn(5, 3)
    by_hand = 6.0 / 4 * hidden @ lora.lora_a.t() @ lora.lora_b.t()
    assert_close(lora(hidden), by_hand)
    assert_close(hidden @ lora.delta_weight().t(), by_hand)


@pytest.mark.parametrize("rank", [0, -1])
def test_a_rank_below_one_is_refused(rank: int) -> None:
    with pytest.raises(ValueError, match=f"rank={rank}"):
        LoRA(4, 4, rank=rank)


@examples(25)
@given(st.integers(1, 24), st.integers(1, 24), st.integers(1, 8), st.booleans(), st.integers(0, 100))
def test_merged_and_unmerged_forward_agree_and_unmerging_restores_every_bit(
    d_in: int, d_out: int, rank: int, bias: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    wrapped = trained(LoRALinear(nn.Linear(d_in, d_out, bias=bias), rank), seed)
    before = wrapped.base.weight.detach().clone()
    hidden = torch.randn(7, d_in)
    expected = wrapped(hidden)
    wrapped.merge()
    wrapped.merge()  # once is enough: the second changes nothing
    assert wrapped.merged
    assert not torch.equal(wrapped.base.weight, before)
    scale = max(1.0, expected.abs().max().item())
    assert_close(wrapped(hidden) / scale, expected / scale, rtol=1e-5, atol=1e-5)
    wrapped.unmerge()
    wrapped.unmerge()
    assert not wrapped.merged
    assert torch.equal(wrapped.base.weight, before)
    assert torch.equal(wrapped(hidden), expected)


def test_only_the_adapter_learns() -> None:
    wrapped = trained(LoRALinear(nn.Linear(6, 4), rank=2))
    wrapped(torch.randn(3, 6)).sum().backward()
    assert {name for name, p in wrapped.named_parameters() if p.grad is not None} == {"lora.lora_a", "lora.lora_b"}


def test_add_lora_wraps_only_what_the_target_function_picks() -> None:
    model = TinyAttention()
    hidden = torch.randn(3, 6)
    expected = model(hidden)
    chosen = add_lora(model, 2, targets=lambda name, linear: name == "query" or linear.out_features == 4)
    assert chosen == ["query", "out.0"]
    assert isinstance(model.query, LoRALinear)
    assert isinstance(model.out[0], LoRALinear)
    assert type(model.value) is nn.Linear
    assert model.value.weight.requires_grad
    assert torch.equal(model(hidden), expected)


def test_a_whole_model_is_merged_and_unmerged_at_once() -> None:
    torch.manual_seed(0)
    model = TinyAttention()
    assert add_lora(model, 2) == ["query", "value", "out.0"]
    for wrapped in model.modules():
        if isinstance(wrapped, LoRALinear):
            trained(wrapped)
    before = {name: p.clone() for name, p in model.named_parameters()}
    hidden = torch.randn(3, 6)
    expected = model(hidden)
    merge_lora(model)
    assert all(m.merged for m in model.modules() if isinstance(m, LoRALinear))
    assert_close(model(hidden), expected, rtol=1e-5, atol=1e-5)
    unmerge_lora(model)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_a_seeded_generator_makes_the_same_adapter() -> None:
    one, two = (LoRA(6, 6, 2, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one.lora_a, two.lora_a)


def folding(d_in: int = 6, d_out: int = 4) -> LoRALinear:
    """A trained adapter in evaluation, which folds."""
    wrapped = trained(LoRALinear(nn.Linear(d_in, d_out), rank=2)).eval()
    wrapped.folds = True
    return wrapped


def test_a_folded_adapter_answers_with_one_product_and_keeps_its_weights_apart() -> None:
    wrapped, hidden = folding(), torch.randn(5, 6)
    state = {name: tensor.clone() for name, tensor in wrapped.state_dict().items()}
    with torch.inference_mode():
        folded = wrapped(hidden)
    by_hand = nn.functional.linear(hidden, wrapped.base.weight + wrapped.lora.delta_weight(), wrapped.base.bias)
    assert torch.equal(folded, by_hand)
    assert_close(folded, wrapped(hidden), rtol=1e-5, atol=1e-5)  # with gradients: three products
    assert wrapped.state_dict().keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in wrapped.state_dict().items())
    wrapped(hidden).sum().backward()
    assert wrapped.lora.lora_b.grad is not None


def test_what_is_folded_is_computed_once_and_anew_for_other_weights() -> None:
    wrapped, hidden = folding(), torch.randn(5, 6)

    def kept() -> torch.Tensor:
        with torch.no_grad():
            wrapped(hidden)
        assert wrapped._folded is not None
        return wrapped._folded[1]

    first = kept()
    assert kept() is first
    trained(wrapped, seed=1)  # in place
    second = kept()
    assert not torch.equal(second, first)
    wrapped.load_state_dict(folding().state_dict())
    assert not torch.equal(kept(), second)
    wrapped.double()
    hidden = hidden.double()
    assert kept().dtype == torch.float64
    wrapped.train()
    assert wrapped._folded is None
    optimizer = torch.optim.SGD(wrapped.lora.parameters(), lr=0.1)
    wrapped(hidden).sum().backward()
    optimizer.step()
    wrapped.eval()
    assert torch.equal(kept(), (wrapped.base.weight + wrapped.lora.delta_weight()).detach())


def test_a_model_without_its_adapters_shares_the_weights_and_leaves_them_where_they_are() -> None:
    torch.manual_seed(0)
    model, hidden = TinyAttention(), torch.randn(3, 6)
    expected, state = model(hidden), model.state_dict()
    add_lora(model, 2)
    for wrapped in model.modules():
        if isinstance(wrapped, LoRALinear):
            trained(wrapped)
    adapted = model(hidden)
    twin = without_lora(model)
    assert torch.equal(twin(hidden), expected)
    assert {name: t.data_ptr() for name, t in twin.state_dict().items()} == {n: t.data_ptr() for n, t in state.items()}
    assert torch.equal(model(hidden), adapted)
    merge_lora(model)
    with pytest.raises(RuntimeError, match="query is merged; call unmerge_lora"):
        without_lora(model)
