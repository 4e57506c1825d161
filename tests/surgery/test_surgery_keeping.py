"""Saving and opening again: an ordinary checkpoint where the format holds the model, else a side-car."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from interconnected_ai import surgery
from interconnected_ai.bench.tiny_moes import TINY, make, prompts
from interconnected_ai.errors import ConfigError, IntegrityError, NotAModelError, StorageError, UnknownNameError
from interconnected_ai.surgery import Checkpoint, MoE, Program, Recipe, Rule
from interconnected_ai.surgery.routing.edited_router import EditedRouter

IDS = prompts()
families = pytest.mark.parametrize("family", TINY)


def aligned(model: Any) -> Any:
    """Weights in memory of their own: kernels may round differently where a mapped file is not aligned."""
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
    return model.eval()


@torch.no_grad()
def logits(model: Any) -> Tensor:
    out: Tensor = model(IDS).logits
    return out


def groups(moe: MoE) -> int:
    return moe.layers[0].groups[0]


@families
def test_what_the_format_holds_vanilla_transformers_loads_to_the_same_bits(family: str, tmp_path: Path) -> None:
    moe = MoE(make(family))
    for layer in moe.layers:
        numbers = moe.insert(layer.number, [layer.experts[1]] * groups(moe))
        moe.let_in(layer.number, numbers)
    moe.replace(0, 3, moe.layers[1].experts[2])
    saved = moe.save(tmp_path / "out")
    assert saved.vanilla
    assert saved.words is None
    assert moe.steps == ()
    vanilla = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert not any(isinstance(module, EditedRouter) for module in vanilla.modules())
    assert torch.equal(logits(aligned(vanilla)), logits(moe.model))
    other = MoE(make(family))
    other.apply(tmp_path / "out" / "recipe.yaml")
    assert torch.equal(logits(other.model), logits(moe.model))


@families
def test_closed_experts_and_uneven_layers_come_back_through_the_side_car_alone(family: str, tmp_path: Path) -> None:
    moe = MoE(make(family))
    before = logits(moe.model)
    numbers = moe.insert(0, [moe.layers[1].experts[1]] * groups(moe))
    saved = moe.save(tmp_path / "out")
    assert not saved.vanilla
    assert "only surgery.open" in str(saved.words)
    with pytest.raises(OSError, match=r"model\.safetensors"):  # loud, instead of another model in silence
        AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    again = surgery.open(tmp_path / "out")
    assert torch.equal(logits(again.model), before)
    assert again.layers[0].closed == set(numbers)
    again.let_in(0, numbers)
    assert torch.isfinite(logits(again.model)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tied_embeddings_and_other_dtypes_come_back_through_a_side_car(dtype: torch.dtype, tmp_path: Path) -> None:
    moe = MoE(make("qwen3_moe", tie_word_embeddings=True).to(dtype))
    before = logits(moe.model)
    numbers = moe.insert(1, [moe.layers[0].experts[1]])
    assert torch.equal(logits(moe.model), before)
    moe.set_program(Program(rules=(Rule(do="prefer", experts=(0,), tokens=(5,)),)))
    expected = logits(moe.model)
    moe.save(tmp_path / "out")
    again = surgery.open(tmp_path / "out")
    assert next(again.model.parameters()).dtype == dtype
    torch.testing.assert_close(logits(again.model), expected, rtol=0.05, atol=0.05)  # .to() rounds the rotary table too
    assert again.model.lm_head.weight is again.model.get_input_embeddings().weight
    assert again.layers[1].closed == set(numbers)


def test_rules_roles_and_adapters_come_back(tmp_path: Path) -> None:
    moe = MoE(make("qwen3_moe"))
    moe.set_program(
        Program(
            roles={"code": 7},
            rules=(Rule(do="only", experts=(1, 2, 3), role="code"), Rule(do="prefer", experts=(4,), tokens=(8,))),
        )
    )
    adapter = moe.lora({0: [2], 1: [3, 5]}, rank=2, role="code")
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(1))
    ids = torch.cat([torch.tensor([[5, 7], [5, 8]]), IDS], dim=1)
    with torch.no_grad():
        expected = moe.model(ids).logits
    saved = moe.save(tmp_path / "out")
    assert not saved.vanilla
    assert "from_pretrained loads the model without router rules and roles and the adapters lora" in str(saved.words)
    again = surgery.open(tmp_path / "out")
    with torch.no_grad():
        assert torch.equal(again.model(ids).logits, expected)
        vanilla = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
        assert torch.equal(vanilla(ids).logits, make("qwen3_moe")(ids).logits)


def test_a_full_disk_leaves_model_and_folder_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moe = MoE(make("qwen3_moe"))
    moe.save(tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    moe.replace(0, 1, moe.layers[1].experts[2])
    expected = logits(moe.model)

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", full)
    with pytest.raises(StorageError, match="No space left"):
        moe.save(tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert torch.equal(logits(moe.model), expected)
    assert len(moe.steps) == 1  # still undoable


def test_a_folder_of_somebody_else_is_not_overwritten(tmp_path: Path) -> None:
    moe = MoE(make("qwen3_moe"))
    moe.model.save_pretrained(tmp_path / "theirs")
    with pytest.raises(StorageError, match="not written by this package"):
        moe.save(tmp_path / "theirs")


def test_what_cannot_be_opened_is_refused_by_name(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel, Qwen3Config, Qwen3ForCausalLM

    sizes = {
        "vocab_size": 50,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    dense = Qwen3ForCausalLM(Qwen3Config(**sizes, num_key_value_heads=1, head_dim=8))
    with pytest.raises(ConfigError, match="dense model"):
        surgery.open(dense)
    dense.save_pretrained(tmp_path / "dense")
    with pytest.raises(ConfigError, match=r"dense model.*upcycle"):
        surgery.open(tmp_path / "dense")
    with pytest.raises(ConfigError, match="dense model"):
        surgery.open(BertModel(BertConfig(**sizes)))
    with pytest.raises(ConfigError, match="no transformers model"):
        surgery.open(torch.nn.Linear(2, 2))
    with pytest.raises(NotAModelError, match=r"no config.json"):
        surgery.open(tmp_path / "nothing")
    unknown = tmp_path / "unknown"
    unknown.mkdir()
    (unknown / "config.json").write_text(json.dumps({"model_type": "qwen3_mo", "num_experts": 8}), encoding="utf-8")
    with pytest.raises(UnknownNameError, match=r"'qwen3_mo'.*'qwen3_moe'"):
        surgery.open(unknown)


def saved_in_shards(folder: Path, family: str = "qwen3_moe") -> Any:
    model = make(family)
    model.save_pretrained(folder, max_shard_size="20KB")
    return model


def test_missing_and_truncated_shards_are_named(tmp_path: Path) -> None:
    saved_in_shards(tmp_path / "model")
    shards = sorted((tmp_path / "model").glob("*.safetensors"))
    assert len(shards) > 2
    whole = shards[1].read_bytes()
    shards[1].unlink()
    with pytest.raises(IntegrityError, match=rf"lacks 1 of {len(shards)} shards: {shards[1].name}"):
        surgery.open(tmp_path / "model")
    shards[1].write_bytes(whole[:-10])
    with pytest.raises(IntegrityError, match="fetch it again"):
        Checkpoint(tmp_path / "model")


@families
def test_a_folder_is_read_tensor_by_tensor(family: str, tmp_path: Path) -> None:
    model = saved_in_shards(tmp_path / "model", family)
    moe, checkpoint = MoE(model), Checkpoint(tmp_path / "model")
    assert checkpoint.family is moe.family
    assert list(checkpoint.layers) == [0, 1]
    assert checkpoint.top_k == 2
    assert checkpoint.num_params == sum(t.numel() for t in model.state_dict().values())
    for number in (0, 1):
        assert checkpoint.num_experts(number) == 8
        assert checkpoint.layers[number].expert_params == sum(
            tensor.numel() for tensor in moe.layers[number].read(0).tensors().values()
        )
        for name, tensor in checkpoint.read(number, 5).tensors().items():
            assert torch.equal(tensor, moe.layers[number].read(5).tensors()[name])


@families
def test_a_folder_is_edited_without_loading_it_to_what_memory_gives(family: str, tmp_path: Path) -> None:
    moe, checkpoint = MoE(saved_in_shards(tmp_path / "model", family)), Checkpoint(tmp_path / "model")
    assert checkpoint.description() == moe.description()
    assert checkpoint.routers_fingerprint() == moe.session.fingerprint
    weights = moe.layers[1].read(4).copy()
    if groups(moe) > 1:
        with pytest.raises(ConfigError, match="open the model in memory"):
            checkpoint.remove(0, [1])
    for number in (0, 1):
        moe.replace(number, 2, weights)
        checkpoint.replace(number, 2, weights)
        if groups(moe) == 1:
            moe.reorder(number, [7, 1, 2, 3, 4, 5, 6, 0])
            checkpoint.reorder(number, [7, 1, 2, 3, 4, 5, 6, 0])
            moe.merge(number, [1, 3], shares=[0.5, 0.5])
            checkpoint.merge(number, [1, 3])
            moe.remove(number, [4])
            checkpoint.remove(number, [4])
    checkpoint.save(tmp_path / "edited")
    vanilla = AutoModelForCausalLM.from_pretrained(tmp_path / "edited").eval()
    assert torch.equal(logits(aligned(vanilla)), logits(moe.model))
    other = surgery.open(tmp_path / "model")
    other.apply(tmp_path / "edited" / "recipe.yaml")
    assert torch.equal(logits(aligned(other.model)), logits(moe.model))


def test_a_recipe_of_a_folder_in_half_precision_fits_the_opened_model(tmp_path: Path) -> None:
    make("qwen3_moe").to(torch.bfloat16).save_pretrained(tmp_path / "model")
    checkpoint, moe = Checkpoint(tmp_path / "model"), surgery.open(tmp_path / "model")
    assert checkpoint.routers_fingerprint() == moe.session.fingerprint
    checkpoint.replace(0, 1, checkpoint.read(1, 2))
    moe.apply(checkpoint.recipe())
    assert torch.equal(moe.layers[0].read(1).down, checkpoint.read(1, 2).down)


def test_a_recipe_can_be_applied_to_a_folder_as_far_as_its_format_goes(tmp_path: Path) -> None:
    moe, checkpoint = MoE(saved_in_shards(tmp_path / "model")), Checkpoint(tmp_path / "model")
    moe.set_top_k(3)
    moe.replace(0, 1, moe.layers[1].experts[2])
    moe.recipe().save(tmp_path / "recipe.yaml")
    checkpoint.apply(Recipe.load(tmp_path / "recipe.yaml"))
    checkpoint.save(tmp_path / "edited")
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(tmp_path / "edited").eval()), logits(moe.model))
    moe.insert(0, [None])
    with pytest.raises(ConfigError, match="cannot be done on a folder"):
        checkpoint.apply(moe.recipe())
    uneven = Checkpoint(tmp_path / "model")
    uneven.remove(0, [1])
    with pytest.raises(ConfigError, match=r"\[7, 8\] experts"):
        uneven.save(tmp_path / "uneven")
    assert not (tmp_path / "uneven").exists()


def test_a_folder_without_weights_or_with_pickles_alone_says_so(tmp_path: Path) -> None:
    saved_in_shards(tmp_path / "model")
    empty = tmp_path / "empty"
    empty.mkdir()
    shutil.copy(tmp_path / "model" / "config.json", empty)
    with pytest.raises(NotAModelError, match="no safetensors weights"):
        Checkpoint(empty)
    (empty / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(surgery_errors().UnsafeFileError, match="pickle"):
        surgery.open(empty)


def surgery_errors() -> Any:
    from interconnected_ai import errors

    return errors
