"""Adapters on disk: PEFT's layout both ways, whole folders, and everything that is no plain LoRA refused by name."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tiny_llamas import tiny_adapter, tiny_llama
from transformers import LlamaForCausalLM

from interconnected_ai.errors import AdapterError, ConflictError, IntegrityError, NotAModelError, UnsafeFileError
from interconnected_ai.experts import AdapterWeights, ExpertCard, LowRank, read_adapter, save_adapter
from interconnected_ai.experts.adapters.card import read_card

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # PEFT asks for it

CARD = ExpertCard(
    name="numpy", base="tiny", base_sha256="ab" * 32, languages=("en",), licence="MIT", examples=("Return",)
)
IDS = torch.tensor([[5, 9, 200, 17, 3, 42]])


def added_by_hand(model: LlamaForCausalLM, weights: AdapterWeights) -> torch.Tensor:
    for name, part in weights.modules.items():
        model.get_submodule(name).weight.data += part.delta()
    with torch.no_grad():
        logits: torch.Tensor = model(IDS).logits
    return logits


def from_peft(folder: Path, seed: int = 3, **settings: Any) -> torch.Tensor:
    """An adapter that PEFT writes, and the logits that PEFT computes with it."""
    model = get_peft_model(tiny_llama(), LoraConfig(task_type="CAUSAL_LM", **settings)).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
    with torch.no_grad():
        logits: torch.Tensor = model(IDS).logits
    model.save_pretrained(folder)
    return logits


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    weights = tiny_adapter(tiny_llama(), 1)
    save_adapter(weights, tmp_path / "numpy", CARD)
    found = read_adapter(tmp_path / "numpy")
    assert found.weights.modules.keys() == weights.modules.keys()
    for name, part in weights.modules.items():
        kept = found.weights.modules[name]
        assert torch.equal(kept.a, part.a)
        assert torch.equal(kept.b, part.b)
        assert kept.scale == part.scale
    assert (found.card.name, found.card.base, found.card.base_sha256) == ("numpy", "tiny", "ab" * 32)
    assert (found.card.languages, found.card.licence, found.card.examples) == (("en",), "MIT", ("Return",))
    assert read_card(tmp_path / "numpy").kind == "adapter"


def test_peft_computes_the_same_with_a_folder_of_ours(tmp_path: Path) -> None:
    mixed = dict(tiny_adapter(tiny_llama(), 1).modules)
    odd = tiny_adapter(tiny_llama(), 2, rank=3, scale=0.7, linears=("mlp.up_proj",)).modules
    weights = AdapterWeights(mixed | odd)
    save_adapter(weights, tmp_path / "a", CARD)
    peft = PeftModel.from_pretrained(tiny_llama(), tmp_path / "a").eval()
    with torch.no_grad():
        assert torch.allclose(peft(IDS).logits, added_by_hand(tiny_llama(), weights), atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["q_proj", "v_proj"], "r": 4, "lora_alpha": 6},
        {"target_modules": "all-linear", "r": 2, "lora_alpha": 16, "use_rslora": True},
        {"target_modules": r".*layers\.1\..*(up|down)_proj", "r": 4},
        {"target_modules": ["q_proj", "up_proj"], "r": 4, "rank_pattern": {"up_proj": 2, r"layers\.0\.self_attn\.q_proj": 1},
         "alpha_pattern": {"^model.layers.1.mlp.up_proj": 9}},
        {"target_modules": ["q_proj", "k_proj"], "r": 4, "layers_to_transform": [1], "lora_dropout": 0.1},
        {"target_modules": ["q_proj", "o_proj"], "exclude_modules": r".*layers\.0.*", "r": 3},
    ],
    ids=["names", "rslora", "regex", "patterns", "layers", "exclude"],
)  # fmt: skip
def test_what_peft_wrote_computes_the_same_here(tmp_path: Path, settings: dict[str, Any]) -> None:
    wanted = from_peft(tmp_path / "peft", **settings)
    found = read_adapter(tmp_path / "peft")
    assert torch.allclose(added_by_hand(tiny_llama(), found.weights), wanted, atol=1e-4)
    # and through our own folder to PEFT again
    save_adapter(found.weights, tmp_path / "ours", found.card)
    again = PeftModel.from_pretrained(tiny_llama(), tmp_path / "ours").eval()
    with torch.no_grad():
        assert torch.allclose(again(IDS).logits, wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "bias"),
        ({"modules_to_save": ["norm"]}, "modules_to_save"),
        ({"trainable_token_indices": [1, 2]}, "trainable_token_indices"),
        ({"layer_replication": [(0, 2), (1, 2)]}, "layer_replication"),
    ],
)
def test_what_is_no_plain_lora_is_refused_by_the_name_of_the_setting(
    tmp_path: Path, settings: dict[str, Any], named: str
) -> None:
    from_peft(tmp_path / "peft", target_modules=["q_proj"], r=2, **settings)
    with pytest.raises(AdapterError, match=named):
        read_adapter(tmp_path / "peft")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"peft_type": "IA3"}, "IA3"),
        ({"init_lora_weights": "pissa_niter_4"}, "changed when it began"),
        ({"lora_bias": True}, "lora_bias"),
        ({"made_up_later": {"a": 1}}, "made_up_later"),
    ],
)
def test_a_method_or_a_setting_that_nobody_computes_here_is_refused(
    tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    from_peft(tmp_path / "peft", target_modules=["q_proj"], r=2)
    edit(tmp_path / "peft", lambda content: content | changes)
    with pytest.raises(AdapterError, match=named):
        read_adapter(tmp_path / "peft")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"r": 3}, "gives it rank 3"),
        ({"r": "many"}, "no config of a LoRA adapter"),
        ({"target_modules": ["v_proj"]}, "does not name"),
        ({"target_modules": "(("}, "no config of a LoRA adapter"),
    ],
)
def test_a_config_of_another_adapter_is_told(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    from_peft(tmp_path / "peft", target_modules=["q_proj"], r=2)
    edit(tmp_path / "peft", lambda content: content | changes)
    with pytest.raises(IntegrityError, match=named):
        read_adapter(tmp_path / "peft")


def test_a_truncated_file_is_told_and_a_missing_one_too(tmp_path: Path) -> None:
    from_peft(tmp_path / "peft", target_modules=["q_proj"], r=2)
    file = tmp_path / "peft" / "adapter_model.safetensors"
    whole = file.read_bytes()
    for size in (0, 7, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        with pytest.raises(IntegrityError, match="truncated"):
            read_adapter(tmp_path / "peft")
    file.unlink()
    with pytest.raises(NotAModelError, match="adapter_model"):
        read_adapter(tmp_path / "peft")
    file.with_suffix(".bin").write_bytes(b"\x80")
    with pytest.raises(UnsafeFileError, match="pickle"):
        read_adapter(tmp_path / "peft")


def test_half_a_module_and_a_strange_tensor_are_told(tmp_path: Path) -> None:
    from_peft(tmp_path / "peft", target_modules=["q_proj"], r=2)
    file = tmp_path / "peft" / "adapter_model.safetensors"
    tensors = load_file(file)
    first = sorted(tensors)[0]
    save_file({name: t for name, t in tensors.items() if name != first}, file)
    with pytest.raises(IntegrityError, match="one of its two matrices"):
        read_adapter(tmp_path / "peft")
    save_file(tensors | {"base_model.model.model.embed_tokens.weight": torch.zeros(2, 2)}, file)
    with pytest.raises(AdapterError, match="embed_tokens"):
        read_adapter(tmp_path / "peft")


def test_an_altered_folder_of_ours_is_refused(tmp_path: Path) -> None:
    save_adapter(tiny_adapter(tiny_llama(), 1), tmp_path / "a", CARD)
    file = tmp_path / "a" / "adapter_model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(IntegrityError, match="altered"):
        read_adapter(tmp_path / "a")


def test_numbers_that_are_none_are_neither_written_nor_read(tmp_path: Path) -> None:
    weights = tiny_adapter(tiny_llama(), 1)
    name, part = next(iter(weights.modules.items()))
    broken = AdapterWeights(dict(weights.modules) | {name: LowRank(part.a * float("nan"), part.b, 1.0)})
    with pytest.raises(AdapterError, match="NaN"):
        save_adapter(broken, tmp_path / "a", CARD)
    assert not (tmp_path / "a").exists()
    with pytest.raises(AdapterError, match="changes nothing"):
        save_adapter(AdapterWeights({}), tmp_path / "a", CARD)


def test_a_save_over_what_somebody_else_wrote_is_a_conflict(tmp_path: Path) -> None:
    first = save_adapter(tiny_adapter(tiny_llama(), 1), tmp_path / "a", CARD)
    save_adapter(tiny_adapter(tiny_llama(), 2), tmp_path / "a", CARD)
    with pytest.raises(ConflictError):
        save_adapter(tiny_adapter(tiny_llama(), 3), tmp_path / "a", CARD, replaces=first)


def test_other_weights_have_another_key_and_other_words_the_same(tmp_path: Path) -> None:
    weights = tiny_adapter(tiny_llama(), 1)
    save_adapter(weights, tmp_path / "a", CARD)
    save_adapter(weights, tmp_path / "b", replace(CARD, licence="Apache-2.0"))
    save_adapter(tiny_adapter(tiny_llama(), 2), tmp_path / "c", CARD)
    keys = [read_adapter(tmp_path / name).key for name in "abc"]
    assert keys[0] == keys[1] != keys[2]


def edit(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
