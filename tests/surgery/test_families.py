"""Every family of the table holds every step of its suite, on one tiny random model each."""

from typing import Any

import pytest
import torch
from torch import nn

from interconnected_ai.bench.family_suite import STEPS, passing, steps_of
from interconnected_ai.bench.tiny_moes import ALL, make, prompts
from interconnected_ai.errors import ConfigError
from interconnected_ai.surgery import MoE
from interconnected_ai.surgery import open as open_moe


@pytest.mark.parametrize("family", ALL)
def test_a_family_holds_every_step_of_the_suite(family: str) -> None:
    said = {step: why for step, why in steps_of(family).items() if why}
    assert said == {}


def test_a_family_passes_when_every_step_held() -> None:
    assert passing({"one": dict.fromkeys(STEPS, ""), "other": {**dict.fromkeys(STEPS, ""), "LoRA": "why"}}) == 1


def test_layers_that_choose_by_a_table_of_token_ids_keep_their_experts() -> None:
    moe = MoE(make("deepseek_v4", mlp_layer_types=["hash_moe", "moe"]))
    assert [layer.number for layer in moe.layers] == [1]
    before = logits(moe)
    moe.insert(1, [moe.layers[1].experts[0]])
    assert torch.equal(logits(moe), before)
    assert not moe.uniform  # the first layer has 8 experts, and a config.json has one number for all
    moe.undo()
    assert moe.uniform


def test_a_top_k_of_one_layer_alone_holds_where_the_familys_router_reads_one_for_all() -> None:
    moe = MoE(make("gemma4"))
    moe.set_top_k(3, layers=[0])
    with moe.watch() as seen:
        logits(moe)
    assert [routed.indices.shape[1] for routed in seen.passes] == [3, 2]
    moe.undo()
    moe.set_top_k(3)
    assert moe.model.config.top_k_experts == 3
    with moe.watch() as seen:
        logits(moe)
    assert [routed.indices.shape[1] for routed in seen.passes] == [3, 3]


def test_experts_without_a_gate_are_read_replaced_and_made_modules_of_their_own() -> None:
    moe = MoE(make("nemotron_h"))
    first, last = moe.layers.all
    assert first.read(0).gate is None
    assert set(first.read(0).tensors()) == {"up", "down"}
    ffn = last.experts[1].ffn
    hidden = torch.randn(3, first.read(0).d_model, generator=torch.Generator().manual_seed(0))
    experts: Any = last.place.experts
    with torch.no_grad():
        expected = experts(hidden, torch.ones(3, 1, dtype=torch.long), torch.ones(3, 1))
        torch.testing.assert_close(ffn(hidden), expected, rtol=1e-5, atol=1e-5)
    moe.replace(first.number, 2, ffn)
    assert torch.equal(first.read(2).up, last.read(1).up)


@torch.no_grad()
def logits(moe: MoE) -> torch.Tensor:
    out: torch.Tensor = moe.model(prompts(), use_cache=False).logits
    return out


def test_a_router_trains_without_the_numbers_that_only_the_choice_sees() -> None:
    for family in ("laguna", "ernie4_5_moe", "deepseek_v3"):
        moe = MoE(make(family))
        rows = moe.train_only("router")
        assert len(rows) == len(list(moe.layers))
        assert all(each.ndim == 2 and each.requires_grad for each in rows)


@pytest.mark.parametrize("model_type", ["dbrx", "jetmoe"])
def test_a_mixture_that_cannot_be_operated_on_is_never_called_dense(model_type: str, tmp_path: Any) -> None:
    import json

    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type, "num_local_experts": 8}))
    with pytest.raises(ConfigError, match="mixture of experts that cannot be operated on"):
        open_moe(str(tmp_path))


def test_a_wrapper_is_operated_on_in_its_language_model_alone() -> None:
    import transformers

    text = make("qwen3_5_moe").config.to_dict()
    vision = {
        "depth": 1,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_heads": 2,
        "out_hidden_size": 32,
        "patch_size": 4,
    }
    config = transformers.Qwen3_5MoeConfig(text_config=text, vision_config=vision)
    model = transformers.Qwen3_5MoeForConditionalGeneration(config).eval()
    moe = MoE(model)
    assert moe.family.name == "Qwen3.5-MoE"
    assert all("language_model" in layer.place.name for layer in moe.layers)
    assert isinstance(model.model.visual, nn.Module)
    before = logits(moe)
    moe.insert(0, [moe.layers[0].experts[1]])
    assert torch.equal(logits(moe), before)
