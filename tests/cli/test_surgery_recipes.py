"""The recipe of every verb of `iai surgery` replays to the same model, says what it lacks, and a dry run writes nothing."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from artefacts import _mixture, _texts, snapshot
from command_line import error_of, run_json, run_main

from interconnected_ai import surgery
from interconnected_ai.errors import ConfigError
from interconnected_ai.surgery import Checkpoint

ROLE = ["role", "{}", "--name", "weather", "--texts", "texts", "--steps", "3", "--seq-tokens", "8"]
EDITS = {
    "top-k": ["top-k", "{}", "1"],
    "replace": ["replace", "{}", "--layer", "0", "--expert", "1", "--with", "1:2", "--with", "0:3"],
    "remove": ["remove", "{}", "--experts", "1"],
    "insert": ["insert", "{}", "--like", "1"],
    "insert open": ["insert", "{}", "--let-in", "--layers", "1"],
    "role lora": [*ROLE, "--rank", "2"],
    "role full": [*ROLE, "--method", "full"],
    "role router": [*ROLE, "--method", "router"],
}
STREAMED = ("top-k", "replace", "remove")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipes")
    _mixture(folder)
    _texts(folder)
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edit(name: str, model: str = "mixture") -> list[str]:
    return ["surgery", *(each.format(model) for each in EDITS[name])]


def whole(folder: str) -> dict[str, torch.Tensor]:
    """Every number of a model, and its answer to a row of ids that ends with its newest tokens."""
    moe = surgery.open(folder)
    rows = moe.model.get_input_embeddings().weight.shape[0]
    with torch.no_grad():
        logits = moe.model(torch.tensor([[3, 4, rows - 1, 5, 6, 7]])).logits
    return {**moe.model.state_dict(), "logits": logits}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", EDITS)
def test_the_recipe_of_every_verb_replays_to_the_same_bits(
    name: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(*edit(name), "--output", "out") == 0
    assert "recipe.yaml" in Path("out/SURGERY.md").read_text(encoding="utf-8")
    shutil.copytree("out", "moved")  # a recipe is two files, wherever they stand
    replay = ["surgery", "apply", "moved/recipe.yaml", "mixture"]
    assert run_main(*replay, "--output", "again") == 0
    assert same(whole("again"), whole("out"))
    assert not same(whole("out"), whole("mixture"))
    if name in STREAMED:
        assert run_main(*replay, "--streaming", "--output", "streamed") == 0
        assert same(whole("streamed"), whole("out"))


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_of_an_edited_folder_has_a_recipe_for_that_folder(
    name: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    role = [
        "role",
        "mixture",
        "--name",
        "first",
        "--texts",
        "texts",
        "--steps",
        "1",
        "--seq-tokens",
        "8",
        "--experts",
        "0",
    ]
    assert run_main("surgery", *role, "--output", "role") == 0
    arguments = edit(name, "role")
    if name == "remove":  # rules and adapters follow the experts
        arguments[arguments.index("1")] = "2"
    assert run_main(*arguments, "--output", "out") == 0
    assert run_main("surgery", "apply", "out/recipe.yaml", "role", "--output", "again") == 0
    assert same(whole("again"), whole("out"))
    first, again = (surgery.open(folder) for folder in ("out", "again"))
    assert first.program == again.program
    assert {n: a.spec for n, a in first.adapters.items()} == {n: a.spec for n, a in again.adapters.items()}


def test_a_recipe_without_its_adapters_is_refused_unless_that_is_asked_for(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(*edit("role lora"), "--output", "out") == 0
    shutil.copy("out/recipe.yaml", "alone.yaml")
    replay = ["surgery", "apply", "alone.yaml", "mixture", "--output", "again"]
    said = error_of(capsys, *replay)
    assert "alone.safetensors is missing" in said
    assert "lacks its adapters" in said
    assert not Path("again").exists()
    shutil.copy("mixture/model.safetensors", "alone.safetensors")
    assert "is not the one that was saved with it" in error_of(capsys, *replay)
    Path("alone.safetensors").unlink()
    assert run_json(capsys, *replay, "--without-adapters")["steps"] == ["add_role"]
    assert surgery.open("again").program.roles
    assert not surgery.open("again").adapters


def test_a_recipe_says_what_it_lacks(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moe = surgery.open("mixture")
    moe.set_top_k(1)
    with torch.no_grad():
        moe.set_top_k(2)
        moe.train_only("router")[0].add_(0.5)
    moe.save("out")
    assert "lacks what routers learn in a training" in Path("out/SURGERY.md").read_text(encoding="utf-8")
    replay = ["surgery", "apply", "out/recipe.yaml", "mixture", "--output", "again"]
    assert "the recipe lacks what routers learn in a training" in error_of(capsys, *replay)
    assert not Path("again").exists()
    assert run_main(*replay, "--incomplete") == 0
    streamed = Checkpoint("mixture")
    streamed.clone(0, 1)
    streamed.clone(1, 1)
    assert streamed.recipe().lacks == ("experts that were added in the files",)


def test_a_recipe_for_another_model_is_refused_when_files_are_edited_too(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(*edit("top-k"), "--output", "out") == 0
    text = yaml.safe_load(Path("out/recipe.yaml").read_text(encoding="utf-8"))
    Path("other.yaml").write_text(yaml.safe_dump({**text, "fingerprint": "0" * 16}), encoding="utf-8")
    replay = ["surgery", "apply", "other.yaml", "mixture", "--streaming", "--output", "again"]
    assert "other router weights" in error_of(capsys, *replay)
    assert run_main(*replay, "--any-weights") == 0


def test_what_a_recipe_brings_is_no_weight_of_the_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(*edit("insert open"), "--layers", "0,1", "--output", "out") == 0
    assert Path("out/recipe.safetensors").is_file()
    num_params = sum(parameter.numel() for parameter in surgery.open("out").model.parameters())
    assert run_json(capsys, "surgery", "inspect", "out")["num_params"] == num_params


@pytest.mark.parametrize("name", EDITS)
def test_without_output_an_edit_shows_what_would_change_and_writes_nothing(
    name: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = snapshot(here)
    assert run_main(*edit(name)) == 0
    said = capsys.readouterr().out
    assert "nothing was written; --output FOLDER writes it" in " ".join(said.split())
    assert "What would change" in said
    found = run_json(capsys, *edit(name))
    assert found["dry_run"]
    assert found["folder"] is None
    assert found["steps"]
    assert snapshot(here) == before
    assert run_main(*edit(name), "--output", "out") == 0
    written = surgery.open("out").sizes()
    assert (found["after"]["num_params"], found["after"]["size_bytes"]) == (written.num_params, written.size_bytes)
    assert found["after"]["num_experts"] == {str(layer): number for layer, number in written.num_experts.items()}
    assert found["after"]["top_k"] == {str(layer): number for layer, number in written.top_k.items()}
    assert found["before"]["num_params"] == run_json(capsys, "surgery", "inspect", "mixture")["num_params"]
    layers: dict[str, list[int]] = {"replace": [0], "insert open": [1]}
    assert found["layers"] == layers.get(name, [0, 1])


def test_a_dry_run_of_a_recipe_shows_its_steps(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot(here)
    for extra in ([], ["--streaming"]):
        found = run_json(capsys, "surgery", "apply", "recipe.yaml", "mixture", *extra)
        assert found["dry_run"]
        assert found["after"]["top_k"] == {"0": 1, "1": 1}
        assert found["steps"] == [{"do": "set_top_k", "top_k": 1}]
    assert snapshot(here) == before


def test_overwrite_without_output_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--output; name it" in error_of(capsys, *edit("top-k"), "--overwrite")


def adapted(moe: Any, name: str = "lora", seed: int = 1) -> None:
    """An adapter that has learnt something."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in moe.lora({0: [1], 1: [2]}, rank=2, name=name, seed=seed).parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))


def test_a_recipe_follows_adapters_that_come_learn_and_go(here: Path) -> None:
    moe = surgery.open("mixture")
    adapted(moe)
    moe.save("adapted")
    for change in ("merged", "dropped", "trained", "renumbered", "exchanged"):
        moe = surgery.open("adapted")
        if change == "merged":
            moe.merge_adapter("lora")
        elif change == "dropped":
            moe.drop_adapter("lora")
            moe.remove(0, [1])
            moe.remove(1, [1])
        elif change == "trained":
            with torch.no_grad():
                next(iter(moe.adapters["lora"].parameters())).mul_(2)
        elif change == "renumbered":
            moe.remove(0, [0])
            moe.remove(1, [0])
        else:
            moe.drop_adapter("lora")
            adapted(moe, "other", seed=7)
        other = surgery.open("adapted")
        other.apply(moe.recipe())
        assert {n: a.spec for n, a in other.adapters.items()} == {n: a.spec for n, a in moe.adapters.items()}, change
        assert same(other.model.state_dict(), moe.model.state_dict()), change
        for _ in other.steps:
            other.undo()
        assert same(other.model.state_dict(), surgery.open("adapted").model.state_dict()), change


def test_a_recipe_that_fails_in_its_adapters_leaves_the_model_as_it_was(here: Path) -> None:
    moe, other = surgery.open("mixture"), surgery.open("mixture")
    moe.set_top_k(1)
    adapted(moe)
    recipe = moe.recipe()
    recipe.steps[-1].tensors.popitem()
    before = {name: tensor.clone() for name, tensor in other.model.state_dict().items()}
    with pytest.raises(ConfigError, match="saved together"):
        other.apply(recipe)
    assert same(other.model.state_dict(), before)
    assert not other.adapters
    assert other.steps == ()
    assert other.layers[0].top_k == 2
