"""What a mixture has besides its language model, and what its class has no place for, is kept byte for byte."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from seeing_models import SEEING, make_seeing
from torch import Tensor, nn

from interconnected_ai import surgery
from interconnected_ai.bench.tiny_moes import make, prompts
from interconnected_ai.errors import ConfigError, ConflictError, IntegrityError
from interconnected_ai.surgery import Checkpoint

IDS = prompts()
SIDE = {"preprocessor_config.json": '{"size": 8}', "chat_template.jinja": "{{ messages }}", "LICENSE": "free"}


@torch.no_grad()
def logits(model: Any) -> Tensor:
    out: Tensor = model(IDS).logits
    return out


def written(family: str, folder: Path) -> Path:
    model = make_seeing(family)
    model.save_pretrained(folder)
    for name, text in SIDE.items():
        (folder / name).write_text(text)
    return folder


def tensors_in(folder: Path) -> dict[str, Tensor]:
    return {
        name: tensor for path in sorted(folder.glob("model*.safetensors")) for name, tensor in load_file(path).items()
    }


def outside(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """All but experts and routers."""
    inside = re.compile(r"\bexperts\.|\.(?:gate|router)\.")
    return {name: tensor for name, tensor in tensors.items() if not inside.search(name) or "shared" in name}


def same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("family", SEEING)
def test_a_model_that_sees_keeps_its_eyes(family: str, tmp_path: Path) -> None:
    import transformers

    source = written(family, tmp_path / "source")
    moe = surgery.open(source)
    assert type(moe.model).__name__ == SEEING[family][0]
    for layer in moe.layers:
        moe.remove(layer.number, [2, 5])
    assert moe.save(tmp_path / "out").vanilla
    assert same(outside(tensors_in(tmp_path / "out")), outside(tensors_in(source)))
    assert {name: (tmp_path / "out" / name).read_text() for name in SIDE} == SIDE
    vanilla = getattr(transformers, SEEING[family][0]).from_pretrained(tmp_path / "out")
    torch.testing.assert_close(logits(vanilla), logits(moe.model), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", SEEING)
def test_a_model_that_sees_keeps_its_eyes_beside_closed_experts(family: str, tmp_path: Path) -> None:
    moe = surgery.open(written(family, tmp_path / "source"))
    moe.insert(0, [None])
    assert not moe.save(tmp_path / "out").vanilla
    again = surgery.open(tmp_path / "out")
    assert type(again.model).__name__ == SEEING[family][0]
    assert same(dict(again.model.state_dict()), dict(moe.model.state_dict()))
    assert (tmp_path / "out" / "chat_template.jinja").read_text() == SIDE["chat_template.jinja"]


@pytest.mark.parametrize("family", SEEING)
def test_a_model_that_sees_is_edited_in_its_files(family: str, tmp_path: Path) -> None:
    source = written(family, tmp_path / "source")
    checkpoint = Checkpoint(source)
    for layer in checkpoint.layers:
        checkpoint.remove(layer, [2, 5])
    checkpoint.save(tmp_path / "out")
    assert same(outside(tensors_in(tmp_path / "out")), outside(tensors_in(source)))
    moe = surgery.open(source)
    for layer in moe.layers:
        moe.remove(layer.number, [2, 5])
    torch.testing.assert_close(logits(surgery.open(tmp_path / "out").model), logits(moe.model), rtol=1e-5, atol=1e-6)


def test_a_part_that_is_gone_from_the_model_is_not_called_saved(tmp_path: Path) -> None:
    moe = surgery.open(written("qwen3_5_moe", tmp_path / "source"))
    moe.model.model.visual = nn.Identity()
    with pytest.raises(IntegrityError, match="visual"):
        moe.save(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_lacks_tensors_is_not_filled_with_random_ones(tmp_path: Path) -> None:
    source = written("qwen3_5_moe", tmp_path / "source")
    state = load_file(source / "model.safetensors")
    save_file({name: each for name, each in state.items() if "visual.merger" not in name}, source / "model.safetensors")
    with pytest.raises(IntegrityError, match=r"lacks .*visual\.merger"):
        surgery.open(source)


def test_a_folder_whose_eyes_were_taken_out_opens_as_a_language_model(tmp_path: Path) -> None:
    source = written("qwen3_5_moe", tmp_path / "source")
    state = load_file(source / "model.safetensors")
    save_file({name: each for name, each in state.items() if "visual" not in name}, source / "model.safetensors")
    moe = surgery.open(source)
    assert type(moe.model).__name__ == "Qwen3_5MoeForCausalLM"
    moe.save(tmp_path / "out")
    torch.testing.assert_close(logits(surgery.open(tmp_path / "out").model), logits(moe.model), rtol=1e-5, atol=1e-6)


def with_heads(folder: Path, **tensors: Tensor) -> dict[str, Tensor]:
    """The folder with tensors that transformers' class leaves out."""
    state = load_file(folder / "model.safetensors")
    save_file({**state, **tensors}, folder / "model.safetensors", {"format": "pt"})
    return tensors


def heads() -> dict[str, Tensor]:
    return {f"mtp.layers.0.{name}.weight": torch.randn(4, 3) for name in ("eh_proj", "norm")}


@pytest.mark.parametrize("seeing", [True, False])
def test_heads_that_transformers_leaves_out_go_along(seeing: bool, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (make_seeing("qwen3_5_moe") if seeing else make("qwen3_next")).save_pretrained(source)
    kept = with_heads(source, **heads())
    moe = surgery.open(source)
    moe.replace(0, 1, moe.layers[0].experts[2])
    moe.save(tmp_path / "out")
    now = tensors_in(tmp_path / "out")
    assert same({name: now[name] for name in kept}, kept)
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(now)
    again = surgery.open(tmp_path / "out")
    torch.testing.assert_close(logits(again.model), logits(moe.model), rtol=1e-5, atol=1e-6)
    again.save(tmp_path / "out")  # over itself, twice
    again.set_top_k(1)
    again.save(tmp_path / "out")
    assert same({name: tensors_in(tmp_path / "out")[name] for name in kept}, kept)


def test_heads_go_along_beside_closed_experts_and_out_of_them_again(tmp_path: Path) -> None:
    make("qwen3_next").save_pretrained(tmp_path / "source")
    kept = with_heads(tmp_path / "source", **heads())
    moe = surgery.open(tmp_path / "source")
    for layer in moe.layers:
        moe.insert(layer.number, [None])
    moe.save(tmp_path / "closed")
    moe = surgery.open(tmp_path / "closed")
    for layer in moe.layers:
        moe.let_in(layer.number, [8])
    assert moe.save(tmp_path / "open").vanilla
    now = tensors_in(tmp_path / "open")
    assert same({name: now[name] for name in kept}, kept)


def test_the_model_itself_takes_the_heads_along(tmp_path: Path) -> None:
    make("qwen3_next").save_pretrained(tmp_path / "source")
    kept = with_heads(tmp_path / "source", **heads())
    moe = surgery.open(tmp_path / "source")
    with pytest.warns(UserWarning, match="has no place for"):
        moe.model.save_pretrained(tmp_path / "out")
    assert same({name: tensors_in(tmp_path / "out")[name] for name in kept}, kept)


def test_heads_with_experts_of_their_own_are_not_left_with_another_number(tmp_path: Path) -> None:
    make("deepseek_v3").save_pretrained(tmp_path / "source")
    state = load_file(tmp_path / "source" / "model.safetensors")
    first = {name: each for name, each in state.items() if name.startswith("model.layers.0.mlp.")}
    with_heads(tmp_path / "source", **{name.replace("layers.0.", "layers.61."): each for name, each in first.items()})
    moe = surgery.open(tmp_path / "source")
    moe.set_top_k(1)
    moe.save(tmp_path / "out")
    for layer in moe.layers:
        moe.remove(layer.number, [0, 4])
    with pytest.raises(ConfigError, match="layer 61"):
        moe.save(tmp_path / "less")
    assert not (tmp_path / "less").exists()


def test_heads_whose_file_was_changed_meanwhile_are_not_copied(tmp_path: Path) -> None:
    make("qwen3_next").save_pretrained(tmp_path / "source")
    with_heads(tmp_path / "source", **heads())
    moe = surgery.open(tmp_path / "source")
    with_heads(tmp_path / "source", **{"mtp.more": torch.ones(3)})
    with pytest.raises(ConflictError, match=r"model\.safetensors is gone or another"):
        moe.save(tmp_path / "out")
    assert not (tmp_path / "out").exists()
