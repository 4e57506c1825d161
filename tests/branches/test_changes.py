"""Load, change, save by several at once: nobody's branch is lost, and nobody saves over what he has not seen."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from conftest import make_encoder, make_rows, make_system, randomize, spec
from interconnected_ai import InterconnectedAISystem
from interconnected_ai.branches import Encoder, fit_branch, save_change
from interconnected_ai.branches import system as system_file
from interconnected_ai.config import TrainingConfig
from interconnected_ai.data import write_rows
from interconnected_ai.errors import ConfigError, ConflictError, UnknownNameError

TEXTS = ["my bank card", "rain and snow today please tell me", "cat"]


@pytest.fixture
def folder(tmp_path: Path, encoder_folder: Path) -> Path:
    """A saved system of the branches one and two on a finished trunk."""
    encoder = Encoder.load(str(encoder_folder), max_seq_len=32)
    system = randomize(make_system("one", "two", encoder=encoder, base_model_name=str(encoder_folder)))
    system.freeze_trunk()
    for name in ("one", "two"):
        system.seal_branch(name, trained="joint")
    system.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def load(folder: Path) -> InterconnectedAISystem:
    return InterconnectedAISystem.from_pretrained(folder)


def with_branch(system: InterconnectedAISystem, name: str) -> InterconnectedAISystem:
    system.add_branch(spec(name))
    fit_branch(system, name, *make_rows(name, 12).of(name), config=TrainingConfig(epochs=1))
    return system


def test_a_system_is_not_saved_over_one_that_it_has_not_seen(folder: Path) -> None:
    mine, theirs = with_branch(load(folder), "mine"), with_branch(load(folder), "theirs")
    theirs.save_pretrained(folder)
    for _ in range(2):
        with pytest.raises(ConflictError, match="changed by someone else"):
            mine.save_pretrained(folder)
    assert load(folder).branch_names == ["one", "two", "theirs"]


def test_a_system_may_be_saved_over_itself_again_and_again(folder: Path) -> None:
    system = load(folder)
    for name in ("a", "b", "c"):
        with_branch(system, name).save_pretrained(folder)
    assert load(folder).branch_names == ["one", "two", "a", "b", "c"]


def test_a_link_to_the_folder_is_the_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    mine, theirs = with_branch(load(tmp_path / "link"), "mine"), with_branch(load(folder), "theirs")
    theirs.save_pretrained(tmp_path / "link")
    with pytest.raises(ConflictError):
        mine.save_pretrained(folder)
    assert (tmp_path / "link").is_symlink()


def test_saving_elsewhere_is_free_and_the_way_back_is_not(folder: Path, tmp_path: Path) -> None:
    mine, theirs = load(folder), with_branch(load(folder), "theirs")
    theirs.save_pretrained(folder)
    mine.save_pretrained(tmp_path / "elsewhere")
    theirs.save_pretrained(tmp_path / "elsewhere")  # seen by nobody, loaded by nobody: replaced, as ever
    with pytest.raises(ConflictError):
        mine.save_pretrained(folder)
    with pytest.raises(ConflictError):
        mine.save_pretrained(tmp_path / "elsewhere")


def test_where_the_folder_was_removed_nobody_is_in_the_way(folder: Path) -> None:
    system = load(folder)
    shutil.rmtree(folder)
    system.save_pretrained(folder)
    assert load(folder).branch_names == ["one", "two"]


def test_what_somebody_put_where_the_folder_was_removed_is_not_replaced(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = load(folder), with_branch(load(folder), "theirs")
    theirs.save_pretrained(folder)
    monkeypatch.setattr(system_file, "version_of", lambda place: None)  # it came back just after one looked
    with pytest.raises(ConflictError, match="nothing was to stand there"):
        mine.save_pretrained(folder)
    assert load(folder).branch_names == ["one", "two", "theirs"]


def test_pushing_to_a_hub_forgets_its_own_scratch_and_no_more(folder: Path) -> None:
    class Hub:
        def create_repo(self, repo_id: str, **_: object) -> None: ...

        def upload_folder(self, *, folder_path: Path, **_: object) -> str:
            return " ".join(sorted(path.name for path in folder_path.iterdir()))

    system = load(folder)
    before = dict(system._saved_versions)
    assert system.push_to_hub("me/it", api=Hub()) == "README.md config.json manifest.json model.safetensors"
    assert system._saved_versions == before


def test_a_change_is_made_again_on_what_somebody_else_saved(folder: Path) -> None:
    mine, theirs = with_branch(load(folder), "mine"), with_branch(load(folder), "theirs")
    theirs.save_pretrained(folder)
    expected = mine.logits_of(mine.features_of(TEXTS), ["mine"])["mine"]
    saved = save_change(mine, folder, lambda newest: newest.take_branch("mine", mine))
    again = load(folder)
    assert saved.branch_names == again.branch_names == ["one", "two", "theirs", "mine"]
    assert torch.equal(again.logits_of(again.features_of(TEXTS), ["mine"])["mine"], expected)
    assert again.cards["mine"] == mine.cards["mine"]
    assert [check.identical for check in again.verify()] == [True] * 4


def test_a_change_without_anybody_beside_is_made_once(folder: Path) -> None:
    system = with_branch(load(folder), "mine")
    assert save_change(system, folder, lambda newest: pytest.fail("made again")) is system


def test_a_change_that_others_overtake_every_time_is_given_up(folder: Path) -> None:
    def overtaken(newest: InterconnectedAISystem) -> None:
        rounds.append(newest)
        other = load(folder)
        other.add_branch(spec(f"branch-{len(rounds)}"))
        other.save_pretrained(folder)

    rounds: list[InterconnectedAISystem] = []
    mine = load(folder)
    overtaken(mine)
    with pytest.raises(ConflictError):
        save_change(mine, folder, overtaken)
    assert 5 < len(rounds) < 50


def test_a_removal_is_made_again_and_a_name_that_is_taken_is_said(folder: Path) -> None:
    mine, theirs, third = (load(folder) for _ in range(3))
    mine.remove_branch("one")
    with_branch(theirs, "new").save_pretrained(folder)
    save_change(mine, folder, lambda newest: newest.remove_branch("one"))
    assert load(folder).branch_names == ["two", "new"]
    with_branch(third, "NEW")
    with pytest.raises(ConfigError, match="exists already"):
        save_change(third, folder, lambda newest: newest.take_branch("NEW", third))
    with pytest.raises(UnknownNameError):
        save_change(third, folder, lambda newest: newest.remove_branch("one"))
    assert load(folder).branch_names == ["two", "new"]


def test_a_branch_is_not_taken_from_another_trunk_shape_or_encoder(folder: Path) -> None:
    system = load(folder)
    other = load(folder)
    with torch.no_grad():
        next(other.trunk.parameters()).view(-1)[0] += 1e-6
    with pytest.raises(ConflictError, match="the trunk of the two"):
        system.take_branch("one", other)
    with pytest.raises(ConflictError, match="the encoder of the two"):
        system.take_branch("one", make_system("one", encoder=make_encoder(seed=9)))
    with pytest.raises(ConflictError, match="the shape of the two"):
        system.take_branch("one", make_system("one", encoder=system.encoder, d_ff=32))
    assert system.branch_names == ["one", "two"]


def test_a_branch_that_is_taken_is_a_copy(folder: Path) -> None:
    system, source = load(folder), with_branch(load(folder), "new")
    system.take_branch("new", source)
    before = system.logits_of(system.features_of(TEXTS), ["new"])["new"]
    with torch.no_grad():
        source.branch("new").head.bias += 1.0
    assert torch.equal(system.logits_of(system.features_of(TEXTS), ["new"])["new"], before)


def test_a_loaded_encoder_lora_is_not_overwritten_by_a_change_made_again(tmp_path: Path, encoder_folder: Path) -> None:
    encoder = Encoder.load(str(encoder_folder), max_seq_len=32)
    system = randomize(make_system("one", encoder=encoder, base_model_name=str(encoder_folder), encoder_lora_rank=2))
    system.freeze_trunk()
    system.save_pretrained(tmp_path / "model")
    mine, theirs = with_branch(load(tmp_path / "model"), "mine"), with_branch(load(tmp_path / "model"), "theirs")
    theirs.save_pretrained(tmp_path / "model")
    saved = save_change(mine, tmp_path / "model", lambda newest: newest.take_branch("mine", mine))
    assert saved.encoder is not mine.encoder
    assert saved.branch_names == ["one", "theirs", "mine"]


# `iai branch add` in two processes, both of which have loaded before either saves
AT_ONCE = """
import sys, time
from pathlib import Path
from interconnected_ai.branches import InterconnectedAISystem
from interconnected_ai.cli import main

mine, other, *arguments = sys.argv[1:]
save = InterconnectedAISystem.save_pretrained

def save_when_both_have_loaded(*args, **kwargs):
    Path(mine).touch()
    while not Path(other).exists():
        time.sleep(0.01)
    save(*args, **kwargs)

InterconnectedAISystem.save_pretrained = save_when_both_have_loaded
main(arguments)
"""


def at_once(place: Path, *commands: list[str]) -> list[str]:
    """What two `iai` commands complain of that have both loaded the run before either saves."""
    marks = [str(place / "first"), str(place / "second")]
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", AT_ONCE, *order, *command],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for order, command in zip((marks, marks[::-1]), commands, strict=True)
    ]
    said = [process.communicate()[1] for process in processes]
    for mark in marks:
        Path(mark).unlink()
    return [text if process.returncode else "" for process, text in zip(processes, said, strict=True)]


def test_of_two_commands_that_change_one_run_at_once_neither_is_lost(folder: Path, tmp_path: Path) -> None:
    before = load(folder)
    expected = before.logits_of(before.features_of(TEXTS))
    for name in ("red", "blue"):
        write_rows(tmp_path / f"{name}.jsonl", *make_rows(name, 30).of(name))

    def add(name: str, branch: str) -> list[str]:
        return ["branch", "add", str(folder), branch, "--data", str(tmp_path / f"{name}.jsonl"), "--epochs", "1"]

    assert at_once(tmp_path, add("red", "red"), add("blue", "blue")) == ["", ""]
    after = load(folder)
    assert sorted(after.branch_names) == ["blue", "one", "red", "two"]
    assert torch.equal(after.logits_of(after.features_of(TEXTS))["one"], expected["one"])
    assert all(check.identical for check in after.verify())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blue.jsonl", "model", "red.jsonl", "tiny-bert"]
