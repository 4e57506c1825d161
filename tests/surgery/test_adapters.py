"""Single experts with adapters, whole, or in four bits."""

import gc
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from interconnected_ai import surgery
from interconnected_ai.bench.tiny_moes import TINY, make, prompts
from interconnected_ai.errors import ConfigError, StorageError, TrainingError
from interconnected_ai.storage import save_tensors
from interconnected_ai.surgery import MoE, Program, Recipe, RowRequest, Rule
from interconnected_ai.surgery.adapters import offload

IDS = prompts()
families = pytest.mark.parametrize("family", TINY)
# a tiny random router changes its mind at the least rounding
pytestmark = pytest.mark.filterwarnings("ignore:four bits moved the logits:UserWarning")


@torch.no_grad()
def logits(moe: MoE, ids: Tensor = IDS) -> Tensor:
    out: Tensor = moe.model(ids).logits
    return out


def randomize(parameters: list[Any], seed: int = 1) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in parameters:
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)


def busiest(moe: MoE, layer: int) -> int:
    with moe.watch() as seen:
        logits(moe)
    return int(next(each for each in seen.passes if each.layer == layer).indices.flatten().mode().values)


@families
def test_an_adapter_starts_as_nothing_trains_alone_and_merges_to_the_same(family: str) -> None:
    moe = MoE(make(family))
    before = logits(moe)
    experts = {0: [busiest(moe, 0)], 1: [busiest(moe, 1)]}
    adapter = moe.lora(experts, rank=2)
    torch.testing.assert_close(logits(moe), before, rtol=1e-4, atol=1e-4)
    randomize([p for p in adapter.parameters() if not p.any()])
    trained = [parameter for parameter in moe.model.parameters() if parameter.requires_grad]
    assert sum(p.numel() for p in trained) == adapter.num_params
    optimizer = torch.optim.AdamW(moe.model.parameters(), lr=1e-2, weight_decay=0.1)
    with moe.verified_training():
        moe.model(IDS, labels=IDS).loss.backward()
        optimizer.step()
    after = logits(moe)
    assert (after - before).abs().max() > 1e-3
    moe.merge_adapter("lora")
    torch.testing.assert_close(logits(moe), after, rtol=1e-3, atol=1e-3)
    assert moe.plain
    moe.undo()
    assert torch.equal(logits(moe), after)
    moe.drop_adapter("lora")
    assert torch.equal(logits(moe), before)


@families
@pytest.mark.parametrize("packed", [False, True])
def test_a_batch_that_misses_the_expert_in_training_gives_it_a_gradient_of_zero(family: str, packed: bool) -> None:
    moe = MoE(make(family))
    if packed:
        moe.pack_experts()
    used = busiest(moe, 0)
    before = logits(moe)
    adapter = moe.lora({0: [used]}, rank=2)
    randomize(adapter.parameters())
    moe.set_program(Program(rules=(Rule(do="forbid", experts=(used,), layers=(0,)),)))
    loss = moe.model(IDS, labels=IDS).loss
    loss.backward()
    for parameter in adapter.parameters():
        assert parameter.grad is not None
        assert not parameter.grad.any()
    moe.drop_adapter("lora")
    assert torch.equal(moe.model(IDS, labels=IDS).loss, loss)
    moe.undo()
    assert torch.equal(logits(moe), before)


@families
def test_whole_experts_train_and_weight_decay_cannot_move_the_others(family: str) -> None:
    moe = MoE(make(family))
    expert = busiest(moe, 1)
    moe.train_experts({1: [expert]})
    optimizer = torch.optim.AdamW(moe.model.parameters(), lr=1e-2, weight_decay=0.1)
    stacks = {name: tensor.clone() for name, tensor in moe.model.state_dict().items() if "variants" not in name}
    with moe.verified_training():
        moe.model(IDS, labels=IDS).loss.backward()
        optimizer.step()
    after = logits(moe)
    moe.merge_adapter("full")
    torch.testing.assert_close(logits(moe), after, rtol=1e-3, atol=1e-3)
    for name, tensor in moe.model.state_dict().items():
        if torch.equal(tensor, stacks[name]):
            continue
        assert "layers.1" in name
        moved = [i for i in range(8) if not torch.equal(tensor[i], stacks[name][i])]
        assert moved == [expert]


@families
def test_packed_experts_take_a_third_of_bf16_and_answer_nearly_the_same(family: str) -> None:
    moe = MoE(make(family, intermediate_size=64, moe_intermediate_size=64))
    plain = sum(p.numel() * 2 for n, p in moe.model.named_parameters() if p.ndim == 3 and "experts" in n)
    size = moe.pack_experts()
    assert size <= 0.3 * plain
    other = MoE(make(family, intermediate_size=64, moe_intermediate_size=64))
    for layer in other.layers:
        for expert in range(8):
            rounded, own = moe.layers[layer.number].read(expert), layer.read(expert)
            assert (rounded.down - own.down).norm() < 0.12 * own.down.norm()
            other.replace(layer.number, expert, rounded)
    torch.testing.assert_close(logits(moe), logits(other), rtol=1e-3, atol=1e-3)
    adapter = moe.lora({0: [busiest(moe, 0)]}, rank=2)
    moe.model(IDS, labels=IDS).loss.backward()
    assert any(p.grad is not None and p.grad.any() for p in adapter.parameters())
    with pytest.raises(ConfigError, match="4 bits"):
        moe.merge_adapter("lora")


@families
def test_packing_and_unpacking_are_undone_to_the_last_bit(family: str, tmp_path: Path) -> None:
    moe = MoE(make(family))
    before, state = logits(moe), {name: tensor.clone() for name, tensor in moe.model.state_dict().items()}
    stack: Any = moe.layers[0].place.experts.down_proj
    moe.pack_experts(spill=tmp_path)
    packed = logits(moe)
    assert stack.numel() == 0  # whoever still holds the parameter does not hold its numbers
    assert moe.steps[-1].measured["logits_relative_error"] > 0
    moe.unpack_experts([1], spill=tmp_path)
    assert "packed" not in moe.layers[1].place.experts._modules
    assert len(list(tmp_path.iterdir())) == 2
    assert moe.undo().do == "unpack_experts"
    assert torch.equal(logits(moe), packed)
    assert moe.undo().do == "pack_experts"
    assert torch.equal(logits(moe), before)
    assert moe.layers[0].place.experts.down_proj is stack
    assert moe.plain
    for name, tensor in moe.model.state_dict().items():
        assert torch.equal(tensor, state[name])
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_originals_on_disk_go_when_the_step_can_no_longer_be_undone(tmp_path: Path) -> None:
    moe = MoE(make("qwen3_moe"))
    moe.pack_experts([1], spill=tmp_path)
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o077 == 0  # somebody's weights are nobody else's business
    moe.save(tmp_path / "saved")
    gc.collect()
    assert not folder.exists()
    again = surgery.open(tmp_path / "saved")
    again.unpack_experts(spill=tmp_path)
    del again
    gc.collect()
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_packing_stands_in_recipes_with_what_it_cost(tmp_path: Path) -> None:
    moe, other = MoE(make("qwen3_moe")), MoE(make("qwen3_moe"))
    moe.pack_experts([0])
    moe.pack_experts([1])
    moe.unpack_experts([0])
    moe.recipe().save(tmp_path / "recipe.yaml")
    other.apply(tmp_path / "recipe.yaml")
    assert torch.equal(logits(other), logits(moe))
    assert Recipe.load(tmp_path / "recipe.yaml").steps[0].measured == moe.steps[0].measured
    with pytest.raises(ConfigError, match="unpack them first"):
        other.pack_experts()


def test_packing_that_moves_the_logits_far_is_warned_of() -> None:
    moe = MoE(make("qwen3_moe"))
    with pytest.warns(UserWarning, match=r"four bits moved the logits by \d+%"):
        moe.pack_experts()


@pytest.mark.parametrize("fails", ["full before", "full midway", "no folder", "interrupted"])
def test_packing_that_fails_leaves_the_model_as_it_was(
    fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moe = MoE(make("qwen3_moe"))
    before = logits(moe)
    written: list[Path] = []

    def breaking(path: Path, tensors: Any) -> None:
        written.append(path)
        if len(written) > 1:
            raise KeyboardInterrupt if fails == "interrupted" else OSError(28, "No space left on device")
        save_tensors(path, tensors)

    if fails == "full before":
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    else:
        monkeypatch.setattr(offload, "save_tensors", breaking)
    spill = tmp_path / "absent" if fails == "no folder" else tmp_path
    said = {"full before": "1,000 are free", "full midway": "No space left", "no folder": "No such file"}.get(fails)
    with pytest.raises(StorageError if said else KeyboardInterrupt, match=said and f"{said}.*spill="):
        moe.pack_experts(spill=spill)
    assert torch.equal(logits(moe), before)
    assert moe.plain
    assert moe.steps == ()
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_packed_experts_give_the_gradient_of_their_unpacked_selves() -> None:
    moe = MoE(make("qwen3_moe"))
    moe.pack_experts()
    grads = []
    for layer in [moe]:
        embeds = layer.model.get_input_embeddings()(IDS).detach().requires_grad_()
        layer.model(inputs_embeds=embeds).logits.square().mean().backward()
        grads.append(embeds.grad)
    other = MoE(make("qwen3_moe"))
    for place in other.layers:
        for expert in range(8):
            other.replace(place.number, expert, moe.layers[place.number].read(expert))
    embeds = other.model.get_input_embeddings()(IDS).detach().requires_grad_()
    other.model(inputs_embeds=embeds).logits.square().mean().backward()
    torch.testing.assert_close(grads[0], embeds.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", ["qwen3_moe", "deepseek_v3", "gpt_oss", "llama4"])
def test_packed_models_come_back_to_the_same_bits(family: str, tmp_path: Path) -> None:
    moe = MoE(make(family))
    moe.pack_experts()
    expected = logits(moe)
    assert not moe.save(tmp_path / "packed").vanilla
    again = surgery.open(tmp_path / "packed")
    assert torch.equal(logits(again), expected)
    assert "packed" in again.layers[0].place.experts._modules


@families
def test_unpacked_experts_are_what_four_bits_kept_and_can_be_operated_on(family: str) -> None:
    moe = MoE(make(family))
    moe.pack_experts()
    packed = logits(moe)
    with pytest.raises(ConfigError, match="unpack_experts"):
        moe.reorder(0, range(8))
    moe.unpack_experts()
    torch.testing.assert_close(logits(moe), packed, rtol=1e-3, atol=1e-3)
    assert moe.plain
    moe.replace(0, 1, moe.layers[1].experts[2])


@families
def test_an_adapter_may_wait_for_a_role_or_a_request(family: str) -> None:
    moe = MoE(make(family))
    before = logits(moe)
    with moe.watch() as seen:
        logits(moe)
    expert = int(seen.passes[0].indices.view(2, 9, -1)[1, 0, 0])  # one that the second row uses
    moe.set_program(Program(roles={"code": int(IDS[0, 4])}))
    waiting = moe.lora({0: [expert]}, rank=2, name="waiting", role="code")
    asked = moe.lora({0: [expert]}, rank=2, name="asked", on_request=True)
    randomize([*waiting.parameters(), *asked.parameters()])
    now = logits(moe)
    torch.testing.assert_close(now[0, :4], before[0, :4], rtol=1e-4, atol=1e-4)  # before the role token
    torch.testing.assert_close(now[1], before[1], rtol=1e-4, atol=1e-4)
    with moe.requests([RowRequest(), RowRequest(adapter="asked")]):
        then = logits(moe)
    torch.testing.assert_close(then[0], now[0], rtol=1e-4, atol=1e-4)
    assert (then[1] - before[1]).abs().max() > 1e-3
    with pytest.raises(ConfigError, match="acts for some tokens only"):
        moe.merge_adapter("waiting")


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")
def test_peft_reads_an_exported_adapter_to_the_same_logits(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    moe = MoE(make("qwen3_moe"))
    adapter = moe.lora({0: [1, 4], 1: [2]}, rank=3, alpha=6)
    randomize(adapter.parameters())
    expected = logits(moe)
    adapter.export_peft(tmp_path / "adapter")
    model = peft.PeftModel.from_pretrained(make("qwen3_moe"), tmp_path / "adapter")
    with torch.no_grad():
        torch.testing.assert_close(model(IDS).logits, expected, rtol=1e-4, atol=1e-4)
    whole = moe.train_experts({0: [5]})
    with pytest.raises(ConfigError, match="no form in PEFT"):
        whole.export_peft(tmp_path / "whole")


def test_adapters_that_cannot_be_are_refused() -> None:
    moe = MoE(make("qwen3_moe"))
    with pytest.raises(ConfigError, match="experts 0 to 7"):
        moe.lora({0: [8]})
    with pytest.raises(ConfigError, match="rank = 0"):
        moe.lora({0: [1]}, rank=0)
    with pytest.raises(ConfigError, match="no experts were named"):
        moe.lora({})
    with pytest.raises(ConfigError, match="begun by no token"):
        moe.lora({0: [1]}, role="code")
    moe.lora({0: [1]})
    with pytest.raises(ConfigError, match="already have the adapter"):
        moe.lora({0: [1]}, name="second")
    with pytest.raises(ConfigError, match="stands in for expert 1 of layer 0, which would be gone; merge or drop it"):
        moe.remove(0, [1])
    with pytest.raises(ConfigError, match="stands in for expert 1 of layer 0; merge or drop it"):
        moe.replace(0, 1, moe.layers[0].experts[2])


@families
def test_training_the_router_alone_moves_the_router_alone(family: str) -> None:
    moe = MoE(make(family))
    rows = moe.train_only("router")
    assert len(rows) >= 2
    optimizer = torch.optim.AdamW(moe.model.parameters(), lr=1e-2, weight_decay=0.1)
    with moe.verified_training():
        with moe.watch() as seen:
            out = moe.model(IDS, labels=IDS)
        (out.loss + 0.01 * seen.balance_loss() + 0.001 * seen.z_loss()).backward()
        optimizer.step()


@pytest.mark.parametrize("family", ["mixtral", "gpt_oss", "granitemoe", "qwen3_moe", "deepseek_v3"])
def test_a_router_that_no_gradient_reaches_is_refused(family: str) -> None:
    moe = MoE(make(family))
    moe.set_top_k(1)
    if not moe.family.routing.constant_at_one(moe.layers[0].router):
        moe.layers[0].router.norm_topk_prob = True  # type: ignore[assignment]
        moe.layers[1].router.norm_topk_prob = True  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="no gradient"):
        moe.train_only("router")


def test_a_training_that_strays_is_caught() -> None:
    moe = MoE(make("qwen3_moe"))
    moe.train_only("router")
    with pytest.raises(TrainingError, match=r"frozen tensors moved: lm_head.weight"), moe.verified_training():
        moe.model.lm_head.weight.data.add_(1)
    with pytest.raises(TrainingError, match="are what they were"), moe.verified_training():
        pass
