"""What a brick is asked for reaches the part that it is for, and what is not asked for has the documented value."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from interconnected_ai.nn import (
    Dropout,
    FeedForward,
    FFNExperts,
    LoRA,
    LoRALinear,
    MoELayer,
    TokenRouter,
    TransformerBlock,
    add_lora,
    gelu,
    merge_lora,
    swap_dropouts,
    unmerge_lora,
)


def test_a_layer_hands_its_settings_to_experts_and_router() -> None:
    layer = MoELayer(8, 12, 6, 3, activation="relu", gated=True, bias=False, normalize=False, backend="loop")
    experts, router = layer.experts, layer.router
    assert (experts.num_experts, experts.gated, experts.backend) == (6, True, "loop")
    assert (experts.activation, experts.b_in, experts.b_out) == (F.relu, None, None)
    assert (experts.w_in.shape, experts.w_out.shape) == ((6, 8, 24), (6, 12, 8))
    assert (router.num_experts, router.top_k, router.normalize) == (6, 3, False)


def test_a_layer_without_settings_is_the_documents() -> None:
    layer = MoELayer(8, 12)
    assert (layer.router.num_experts, layer.router.top_k, layer.router.normalize) == (8, 2, True)
    assert (layer.experts.activation, layer.experts.gated, layer.experts.backend) == (gelu, False, None)
    assert layer.experts.w_in.shape == (8, 8, 12)
    assert not TokenRouter(8, 4, 1).normalize, "one choice normalised over itself would always weigh 1"
    assert TokenRouter(8, 4, 1, normalize=True).normalize


@pytest.mark.parametrize("num_experts", [2, 128])
def test_the_fewest_and_the_most_experts_are_allowed(num_experts: int) -> None:
    assert FFNExperts(num_experts, 2, 2).num_experts == num_experts


@pytest.mark.parametrize("top_k", [0, 5, -1])
def test_a_router_refuses_more_choices_than_experts_and_none(top_k: int) -> None:
    with pytest.raises(ValueError, match=f"top_k={top_k} of num_experts=4: needs 1 ≤ top_k ≤ num_experts"):
        TokenRouter(8, 4, top_k)
    assert TokenRouter(8, 4, 4).top_k == 4


def test_a_block_hands_its_dropout_to_all_three_places() -> None:
    block = TransformerBlock(8, 2, 12, 0.25)
    assert [m.p for m in block.modules() if isinstance(m, Dropout)] == [0.25, 0.25]
    assert (block.dropout.p, block.attention.dropout.p) == (0.25, 0.25)
    assert (TransformerBlock(8, 2, 12).dropout.p, TransformerBlock(8, 2, 12).norm) == (0.1, "post")


@pytest.mark.parametrize(("activation", "function"), [("gelu", gelu), ("relu", F.relu), ("silu", F.silu)])
def test_a_feed_forward_has_the_named_activation(activation: str, function: object) -> None:
    assert FeedForward(4, 6, activation=activation).activation is function
    assert FeedForward(4, 6).activation is gelu


@pytest.mark.parametrize(("alpha", "scale"), [(None, 2.0), (8.0, 2.0), (1.0, 0.25), (0.0, 0.0)])
def test_an_adapters_scale_is_alpha_over_rank_and_two_by_default(alpha: float | None, scale: float) -> None:
    assert LoRA(6, 5, 4, alpha=alpha).scale == scale
    assert LoRALinear(nn.Linear(6, 5), 4, alpha=alpha).lora.scale == scale
    model = nn.Sequential(nn.Linear(6, 5))
    add_lora(model, 4, alpha=alpha)
    assert model[0].lora.scale == scale


def test_adapters_get_their_dropout_and_their_seed_and_only_the_chosen_layers_get_one() -> None:
    def adapted(seed: int) -> nn.Sequential:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.Linear(4, 3))
        generator = torch.Generator().manual_seed(seed)
        names = add_lora(
            model,
            2,
            targets=lambda name, linear: name != "2" and linear.in_features > 3,
            dropout=0.3,
            generator=generator,
        )
        assert names == ["0", "3"]
        return model

    one, same, other = adapted(0), adapted(0), adapted(1)
    assert [type(module) for module in one] == [LoRALinear, nn.ReLU, nn.Linear, LoRALinear]
    for place in (0, 3):
        assert one[place].lora.dropout.p == 0.3
        assert torch.equal(one[place].lora.lora_a, same[place].lora.lora_a)
        assert not torch.equal(one[place].lora.lora_a, other[place].lora.lora_a)
        assert not any(p.requires_grad for p in one[place].base.parameters())
        assert all(p.requires_grad for p in one[place].lora.parameters())
    assert LoRA(6, 5, 2).dropout.p == LoRALinear(nn.Linear(6, 5), 2).lora.dropout.p == 0.0
    everything = nn.Sequential(nn.Linear(6, 5), nn.Sequential(nn.Linear(5, 4)))
    assert add_lora(everything, 2) == ["0", "1.0"]
    assert everything[0].lora.dropout.p == 0.0


def test_merging_twice_is_merging_once_and_a_merged_model_is_not_saved() -> None:
    model = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4))
    add_lora(model, 2)
    nn.init.normal_(model[0].lora.lora_b)
    before = model[0].base.weight.clone()
    merge_lora(model)
    merged = model[0].base.weight.clone()
    merge_lora(model)
    assert torch.equal(model[0].base.weight, merged)
    assert not torch.equal(merged, before)
    with pytest.raises(RuntimeError, match=r"0 is merged; call unmerge_lora\(model\) before saving it"):
        model.state_dict()
    with pytest.raises(RuntimeError, match="this layer is merged"):
        model[0].state_dict()
    unmerge_lora(model)
    unmerge_lora(model)
    assert torch.equal(model[0].base.weight, before)
    assert not model[0].merged
    assert model.state_dict()


@pytest.mark.parametrize("rank", [0, -1])
def test_a_rank_below_one_is_refused(rank: int) -> None:
    with pytest.raises(ValueError, match=f"rank={rank}: a low-rank adapter needs a rank of 1 or more"):
        LoRA(6, 5, rank)
    assert LoRA(6, 5, 1).lora_a.shape == (1, 6)


def test_swapped_dropouts_keep_rate_and_mode_and_others_stay() -> None:
    resting = nn.Dropout(0.4).eval()
    model = nn.Sequential(nn.Dropout(0.2), nn.Sequential(resting, nn.Dropout1d(0.3)))
    swap_dropouts(model)
    outer, inner, kept = model[0], model[1][0], model[1][1]
    assert (type(outer), outer.p, outer.training) == (Dropout, 0.2, True)
    assert (type(inner), inner.p, inner.training) == (Dropout, 0.4, False)
    assert type(kept) is nn.Dropout1d
    assert repr(outer) == "Dropout(p=0.2)"


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5])
def test_a_rate_outside_zero_to_one_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match=f"p={p}: a dropout rate is at least 0 and below 1"):
        Dropout(p)
    assert Dropout(0.0).p == 0.0
    assert Dropout().p == 0.1
