"""Quantised checkpoints: every tensor of an expert moves with it, or nothing is written."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from quantised_folders import FORMATS, write_mxfp4, write_quantised
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from interconnected_ai import surgery
from interconnected_ai.bench.tiny_moes import prompts
from interconnected_ai.errors import ConfigError, IntegrityError
from interconnected_ai.surgery import Checkpoint

EVERY = [*FORMATS, "mxfp4"]
ORDER = [5, 0, 7, 2, 1, 4, 3, 6]


@pytest.fixture(scope="module", params=EVERY)
def pair(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(the quantised folder, the same numbers in float32)."""
    return written(tmp_path_factory.mktemp("model"), request.param)


def written(folder: Path, kind: str) -> tuple[Path, Path]:
    quantised = write_mxfp4(folder) if kind == "mxfp4" else write_quantised(folder, kind)
    return quantised, folder / "whole"


def test_an_expert_is_read_as_the_numbers_that_its_tensors_stand_for(pair: tuple[Path, Path]) -> None:
    quantised, whole = map(Checkpoint, pair)
    for layer in quantised.layers:
        for expert in range(8):
            ours, theirs = quantised.read(layer, expert).tensors(), whole.read(layer, expert).tensors()
            assert ours.keys() == theirs.keys()
            assert all(torch.allclose(ours[name], theirs[name], rtol=1e-5, atol=1e-6) for name in ours)


def test_the_inspection_counts_numbers_not_the_words_that_they_are_packed_in(pair: tuple[Path, Path]) -> None:
    quantised, whole = map(Checkpoint, pair)
    assert quantised.num_params == whole.num_params
    assert quantised.layers[0].expert_params == whole.layers[0].expert_params
    assert quantised.size_bytes == sum(
        tensor.numel() * tensor.element_size() for tensor in load_file(pair[0] / "model.safetensors").values()
    )
    assert quantised.sizes() == whole.sizes().__class__(**{**vars(whole.sizes()), "size_bytes": quantised.size_bytes})


def test_experts_keep_their_numbers_where_they_change_places(pair: tuple[Path, Path], tmp_path: Path) -> None:
    before = Checkpoint(pair[0])
    edited = Checkpoint(pair[0])
    for layer in edited.layers:
        edited.reorder(layer, ORDER)
        edited.remove(layer, [1])
        edited.clone(layer, 3)
    edited.save(tmp_path / "edited")
    after = Checkpoint(tmp_path / "edited")
    came = [5, 7, 2, 1, 4, 3, 6, 1]
    for layer in before.layers:
        for now, was in enumerate(came):
            ours, theirs = after.stored(layer, now).pieces, before.stored(layer, was).pieces
            assert {name: entry.content() for name, entry in ours.items()} == {
                name: entry.content() for name, entry in theirs.items()
            }
    assert set(load_file(tmp_path / "edited" / "model-00001-of-00003.safetensors")) <= set(before.entries)


@pytest.mark.parametrize("kind", ["fp8 blocks", "mxfp4"])
def test_transformers_computes_the_same_after_experts_changed_places(kind: str, tmp_path: Path) -> None:
    folder, _ = written(tmp_path, kind)
    edited = Checkpoint(folder)
    for layer in edited.layers:
        edited.reorder(layer, ORDER)
    edited.save(tmp_path / "edited")
    ids = prompts()
    with torch.no_grad():
        before, after = (
            AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32)(ids).logits
            for place in (folder, tmp_path / "edited")
        )
    assert torch.allclose(before, after, rtol=1e-4, atol=1e-4)


def test_what_would_have_to_be_quantised_is_refused_before_anything_is_written(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    checkpoint = Checkpoint(pair[0])
    weights = checkpoint.read(0, 1)
    with pytest.raises(ConfigError, match="quantised"):
        checkpoint.replace(0, 0, weights)
    with pytest.raises(ConfigError, match="quantised"):
        checkpoint.insert(0, weights, {})
    with pytest.raises(ConfigError, match=r"surgery\.open"):
        checkpoint.merge(0, [0, 1])
    assert checkpoint.recipe().steps == ()
    assert checkpoint.num_experts(0) == 8


def test_a_stored_expert_may_stand_in_for_another(pair: tuple[Path, Path], tmp_path: Path) -> None:
    edited = Checkpoint(pair[0])
    edited.replace(0, 2, edited.stored(1, 6))
    edited.save(tmp_path / "edited")
    ours, theirs = Checkpoint(tmp_path / "edited").read(0, 2).tensors(), edited.read(1, 6).tensors()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert edited.recipe().lacks


def test_a_stored_expert_of_another_format_is_refused(tmp_path: Path) -> None:
    awq, _ = written(tmp_path / "awq", "awq")
    fp8, _ = written(tmp_path / "fp8", "fp8 blocks")
    with pytest.raises(ConfigError, match="quantised the same way"):
        Checkpoint(awq).replace(0, 0, Checkpoint(fp8).stored(0, 0))


def test_a_model_opened_quantised_says_so_and_has_the_numbers_of_its_checkpoint(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.warns(UserWarning, match="is quantised"):
        moe = surgery.open(pair[0])
    ids = prompts()
    with torch.no_grad():
        whole = AutoModelForCausalLM.from_pretrained(pair[1])(ids).logits
        assert torch.allclose(moe.model(ids).logits, whole, rtol=1e-4, atol=1e-4)
    moe.replace(0, 1, moe.layers[0].experts[2])
    with pytest.raises(ConfigError, match="as_stored: replace"):
        moe.save(tmp_path / "again", as_stored=True)
    moe.save(tmp_path / "saved")
    assert "quantization_config" not in json.loads((tmp_path / "saved" / "config.json").read_text())
    with pytest.raises(ConfigError, match="was saved since"):
        moe.save(tmp_path / "again", as_stored=True)
    assert not (tmp_path / "again").exists()


def test_a_model_opened_quantised_is_saved_as_it_was_stored(pair: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="as_stored"):
        moe = surgery.open(pair[0])
    for layer in (0, 1):
        moe.reorder(layer, ORDER)
    moe.save(tmp_path / "saved", as_stored=True)
    before, after = Checkpoint(pair[0]), Checkpoint(tmp_path / "saved")
    assert after.scheme is not None
    for now, was in enumerate(ORDER):
        ours, theirs = after.stored(1, now).pieces, before.stored(1, was).pieces
        assert all(ours[name].content() == theirs[name].content() for name in theirs)


def test_a_plain_model_is_not_saved_as_stored(tmp_path: Path) -> None:
    _, whole = written(tmp_path, "awq")
    with pytest.raises(ConfigError, match="not opened from a quantised"):
        surgery.open(whole).save(tmp_path / "saved", as_stored=True)


def retold(folder: Path, **told: Any) -> Path:
    """The folder with other words in its quantization_config."""
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {**config.get("quantization_config", {}), **told}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"quant_method": "hqq"}, "'hqq'"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "'bitsandbytes'"),
        ({"quant_method": "awq", "bits": 3}, "bits = 3"),
        ({"quant_method": "awq", "version": "gemv"}, "gemv"),
        ({"quant_method": "gptq", "dynamic": {"+:.*down.*": {"bits": 8}}}, "dynamic"),
        ({"quant_method": "gptq", "bits": 3}, "3 bits"),
        ({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"}, "MIXED_PRECISION"),
        ({"quant_method": "compressed-tensors", "format": "marlin-24"}, "marlin-24"),
        ({"quant_method": "fp8", "expert_dtype": "fp4"}, "fp4"),
        ({"modules_to_not_convert": ["model.layers.0.mlp.experts.3.up_proj"]}, "single expert"),
        ({"ignore": ["re:.*experts\\.[37]\\..*", "re:.*experts\\.3\\..*"]}, "single expert"),
    ],
)
def test_a_way_of_quantising_that_nobody_knows_is_refused_by_name(
    told: dict[str, Any], words: str, tmp_path: Path
) -> None:
    folder = retold(written(tmp_path, "awq")[0], **told)
    for way in (Checkpoint, surgery.open):
        with pytest.raises(ConfigError, match=words):
            way(folder)


def changed(folder: Path, **tensors: Any) -> Path:
    """The folder with some tensors set, or (None) taken out."""
    state = load_file(folder / "model.safetensors") | tensors
    save_file({name: each for name, each in state.items() if each is not None}, folder / "model.safetensors")
    return folder


def test_a_tensor_of_an_expert_that_no_format_knows_is_refused(tmp_path: Path) -> None:
    folder = changed(
        written(tmp_path, "awq")[0], **{f"model.layers.0.mlp.experts.{e}.up_proj.bits": torch.ones(1) for e in range(8)}
    )
    with pytest.raises(ConfigError, match=r"up_proj\.bits"):
        Checkpoint(folder)


def test_experts_that_are_not_all_quantised_alike_are_refused(tmp_path: Path) -> None:
    name = "model.layers.0.mlp.experts.3.up_proj"
    folder = changed(written(tmp_path, "fp8 blocks")[0], **{f"{name}.weight_scale_inv": None})
    with pytest.raises(IntegrityError, match="not all quantised alike"):
        Checkpoint(folder)


def test_scales_without_a_quantization_config_are_refused(tmp_path: Path) -> None:
    folder = written(tmp_path, "fp8 blocks")[0]
    shutil.copy(tmp_path / "whole" / "config.json", folder / "config.json")
    with pytest.raises(ConfigError, match="weight_scale_inv"):
        Checkpoint(folder)


def test_a_router_that_is_quantised_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path, "fp8 blocks")[0]
    gate = "model.layers.0.mlp.gate.weight"
    state = load_file(folder / "model.safetensors")
    changed(folder, **{gate: state[gate].to(torch.float8_e4m3fn), f"{gate}_scale_inv": torch.ones(1, 4)})
    with pytest.raises(ConfigError, match="router of layer 0 is quantised"):
        Checkpoint(folder)


def test_the_quantisation_is_found_in_modelopts_own_file(tmp_path: Path) -> None:
    folder, whole = written(tmp_path, "nvfp4")
    shutil.copy(whole / "config.json", folder / "config.json")
    told = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4", "group_size": 16}}
    (folder / "hf_quant_config.json").write_text(json.dumps(told))
    scheme = Checkpoint(folder).scheme
    assert scheme is not None
    assert scheme.name == "NVFP4"
