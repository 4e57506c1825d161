"""Data are known, not only named: a training that goes on refuses other rows, and nobody is measured on what it has learnt."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import make_encoder, make_rows, make_system, spec
from interconnected_ai import InterconnectedAISystem
from interconnected_ai.branches import fit_branch
from interconnected_ai.config import RunConfig, TrainingConfig
from interconnected_ai.data import RowRecord, Rows, load_splits, read_rows, write_rows
from interconnected_ai.errors import ConfigError, DataError
from interconnected_ai.text import KnownTexts
from interconnected_ai.training import compare_systems, evaluate, fit, splits_of_finished_run, train_run, unseen
from interconnected_ai.training.checkpoints import CheckpointFolder
from interconnected_ai.training.trainer import Trainer

SETTINGS = {
    "epochs": 6, "batch_size": 8, "precision": "float32", "device": "cpu", "monitors": [], "patience": None,
    "checkpoint_every_steps": 5,
}  # fmt: skip


def config(folder: Path, **data: Any) -> RunConfig:
    return RunConfig.from_mapping(
        {
            "output": str(folder / "run"),
            "system": {"num_experts": 2, "max_seq_len": 32, "d_ff": 16},
            "data": {"branches": [{"name": "a", "path": str(folder / "a.jsonl")}], "test_fraction": 0.2, **data},
            "training": SETTINGS,
        }
    )


def write(folder: Path, rows: Rows) -> None:
    write_rows(folder / "a.jsonl", *rows.of("a"))


def numbered(count: int, start: int = 0) -> Rows:
    """Rows of which none is another's copy."""
    made = make_rows("a", count, seed=start)
    return Rows.of_branch("a", [f"{text} {start + row}" for row, text in enumerate(made.texts)], made.of("a")[1])


def interrupted(folder: Path, monkeypatch: pytest.MonkeyPatch, at: int = 13) -> None:
    """A run that was stopped at this step, between two checkpoints."""
    step = Trainer._step

    def stopping(self: Trainer, *given: Any) -> float:
        if self.step == at:
            raise KeyboardInterrupt
        return step(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", stopping)
        with pytest.raises(KeyboardInterrupt):
            train_run(config(folder), encoder=make_encoder())


def weights(system: InterconnectedAISystem) -> dict[str, torch.Tensor]:
    return dict(system.state_dict())


# Resuming


def test_a_renamed_class_is_refused_on_resume_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = numbered(60)
    write(tmp_path, rows)
    interrupted(tmp_path, monkeypatch)
    labels = ["zebras" if label == "animals" else label for label in rows.of("a")[1]]
    write(tmp_path, Rows.of_branch("a", rows.texts, labels))
    told = r"20 rows are with another label or spelling; branch 'a' lost the class 'animals'; branch 'a' got the class 'zebras'"
    for how in ({}, {"new_rows": True}):
        with pytest.raises(DataError, match=told):
            train_run(config(tmp_path), encoder=make_encoder(), resume=True, **how)


def test_rows_that_were_added_or_taken_away_are_refused_on_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, numbered(60))
    interrupted(tmp_path, monkeypatch)
    kept = RowRecord.load(tmp_path / "run" / "rows")
    write(tmp_path, Rows.joined([numbered(60), numbered(15, start=500)]))
    with pytest.raises(DataError, match=r"15 rows are new\. .*--new-rows"):
        train_run(config(tmp_path), encoder=make_encoder(), resume=True)
    write(tmp_path, numbered(60).select(range(57)))
    with pytest.raises(DataError, match=r"3 rows are gone\. Put the rows back") as refused:
        train_run(config(tmp_path), encoder=make_encoder(), resume=True)
    assert "--new-rows" not in str(refused.value)
    assert RowRecord.load(tmp_path / "run" / "rows") == kept


def test_rows_in_another_order_resume_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("whole", "stopped"):
        (tmp_path / place).mkdir()
        write(tmp_path / place, numbered(60))
    whole = train_run(config(tmp_path / "whole"), encoder=make_encoder()).system
    interrupted(tmp_path / "stopped", monkeypatch)
    write(tmp_path / "stopped", numbered(60).select(reversed(range(60))))
    resumed = train_run(config(tmp_path / "stopped"), encoder=make_encoder(), resume=True).system
    assert all(torch.equal(tensor, weights(resumed)[name]) for name, tensor in weights(whole).items())
    assert whole.cards == resumed.cards


def test_new_rows_are_taken_where_told_to_and_no_learnt_row_is_measured_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, numbered(60))
    interrupted(tmp_path, monkeypatch)
    before = load_splits(config(tmp_path).data, record=RowRecord.load(tmp_path / "run" / "rows"))
    write(tmp_path, Rows.joined([numbered(45, start=500), numbered(60)]))
    run = train_run(config(tmp_path), encoder=make_encoder(), resume=True, new_rows=True)
    now = splits_of_finished_run(tmp_path / "run", config(tmp_path))
    assert sum(map(len, (now.train, now.validation, now.test))) == 105
    for old, new in ((before.train, now.train), (before.validation, now.validation), (before.test, now.test)):
        assert set(old.texts) < set(new.texts)
    assert unseen(now.test, run.system).left_out == {"a": 0}
    assert run.system.learnt_texts("a") == KnownTexts.of([*now.train.texts, *now.validation.texts])
    train_run(config(tmp_path), encoder=make_encoder(), resume=True)  # they are the run's rows from here on
    more = Rows.joined([numbered(9, start=900), numbered(45, start=500), numbered(60)])
    write(tmp_path, more)
    again = train_run(config(tmp_path), encoder=make_encoder(), resume=True, new_rows=True)
    assert again.system.branch("a").words["terms"].tolist() == run.system.branch("a").words["terms"].tolist()


def test_new_rows_begin_the_choice_of_the_best_weights_anew(tmp_path: Path) -> None:
    rows, settings = numbered(48), TrainingConfig.from_mapping(SETTINGS)
    fit(make_system("a"), rows, numbered(12, start=300), settings, tmp_path)
    with pytest.raises(DataError, match="12 rows are new"):
        fit(make_system("a"), rows, numbered(24, start=300), settings, tmp_path, resume=True)
    more = Rows.joined([rows, numbered(24, start=900)])
    result = fit(make_system("a"), more, numbered(12, start=300), settings, tmp_path, resume=True, new_rows=True)
    assert result.best_epoch > 48 * 6 // 72  # of the steps that were taken with them


def test_new_rows_without_resume_make_no_sense(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="resume"):
        train_run(config(tmp_path), new_rows=True)


def test_a_checkpoint_knows_its_rows_where_no_run_does(tmp_path: Path) -> None:
    rows, settings = numbered(48), TrainingConfig.from_mapping(SETTINGS)
    fit(make_system("a"), rows, numbered(12, start=300), settings, tmp_path)
    for other, told in (
        (rows.select(range(47)), "1 row is gone"),
        (rows.select(reversed(range(48))), "the rows are in another order"),
        (Rows.of_branch("a", rows.texts, list(reversed(rows.of("a")[1]))), "with another label or spelling"),
    ):
        with pytest.raises(DataError, match=f"the training was begun with other rows: .*{told}"):
            fit(make_system("a"), other, numbered(12, start=300), settings, tmp_path, resume=True)
    moved = Rows.joined([rows, numbered(12, start=300)])
    with pytest.raises(DataError, match="on another side"):
        fit(make_system("a"), moved, rows.select([]), settings, tmp_path, resume=True, new_rows=True)


def test_a_run_without_a_record_goes_on_with_the_split_that_it_had_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, numbered(60))
    old = load_splits(config(tmp_path).data, unrecorded=True)
    with monkeypatch.context() as patch:
        patch.setattr("interconnected_ai.training.system.run_rows.load_splits", lambda *_, **__: old)
        interrupted(tmp_path, patch)
    shutil.rmtree(tmp_path / "run" / "rows")
    for file in (tmp_path / "run" / "checkpoints").rglob("data.*"):
        file.unlink()
    for manifest in (tmp_path / "run" / "checkpoints").rglob("manifest.json"):
        _forget_data(manifest)
    run = train_run(config(tmp_path), encoder=make_encoder(), resume=True)
    assert caplog.text.count("cannot be checked") == 1
    assert splits_of_finished_run(tmp_path / "run", config(tmp_path)).test.texts == old.test.texts
    assert unseen(old.test, run.system).left_out == {"a": 0}


def _forget_data(manifest: Path) -> None:
    content = json.loads(manifest.read_text())
    content["files"] = {name: known for name, known in content["files"].items() if not name.startswith("data.")}
    manifest.write_text(json.dumps(content))


def test_an_interrupted_runs_record_is_in_its_checkpoints_without_pickle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, numbered(60))
    interrupted(tmp_path, monkeypatch)
    found = CheckpointFolder(tmp_path / "run" / "checkpoints").latest()
    assert found is not None
    assert found.data is not None
    splits = load_splits(config(tmp_path).data)
    assert found.data.facts["labels"] == {"a": ["animals", "money", "weather"]}
    assert len(found.data.arrays["rows"]) == len(splits.train) + len(splits.validation)
    assert not any(array.dtype.hasobject for array in found.data.arrays.values())


# Measuring


def trained(folder: Path, train: Rows, validation: Rows, epochs: int = 2) -> InterconnectedAISystem:
    system = make_system("a")
    settings = TrainingConfig.from_mapping({**SETTINGS, "epochs": epochs, "lr_head": 1e-2, "lr_adapter": 1e-2})
    fit(system, train, validation, settings, folder)
    return system


def test_evaluate_leaves_out_what_was_learnt_or_calibrated_on_and_says_how_many(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train, validation, new = numbered(48), numbered(12, start=300), numbered(30, start=600)
    system = trained(tmp_path, train, validation)
    spelled = Rows.of_branch("a", [f"  {text.upper()}" for text in train.texts[:9]], train.of("a")[1][:9])
    mixed = Rows.joined([new, spelled, validation])
    assert evaluate(system, mixed) == evaluate(system, new)
    assert "a: 21 rows left out, which were learnt (trained, stopped or calibrated on); 30 left" in caplog.text
    assert evaluate(system, mixed, include_learnt=True)["a"].num_rows == 51
    with pytest.raises(DataError, match=r"all 48 rows were learnt.*include_learnt"):
        evaluate(system, train)


def test_a_row_is_left_out_for_the_branch_that_has_learnt_it_alone() -> None:
    system, rows = make_system("a", "b"), numbered(6)
    system.branch("a").learnt = KnownTexts.of(rows.texts[:2])
    system.branch("b").learnt = KnownTexts.of([])
    both = Rows(rows.texts, {"a": rows.labels["a"], "b": [*rows.of("a")[1][:3], None, None, None]})
    found = unseen(both, system)
    assert found.left_out == {"a": 2, "b": 0}
    assert {name: m.num_rows for name, m in evaluate(system, both).items()} == {"a": 4, "b": 3}


def test_compare_does_not_call_a_model_better_for_what_it_has_learnt(tmp_path: Path) -> None:
    """B has learnt by heart what nobody can guess: labels that are drawn."""
    random = np.random.default_rng(0)
    texts = [f"{text} {row}" for row, text in enumerate(make_rows("a", 40).texts)]
    drawn = Rows.of_branch("a", texts, random.choice(["animals", "money", "weather"], 40).tolist())
    validation = numbered(12, start=300)
    a = trained(tmp_path / "a", numbered(48), validation)
    b = trained(tmp_path / "b", Rows.joined([numbered(48), drawn]), validation)
    with pytest.raises(DataError, match="all 40 rows were learnt"):
        compare_systems(a, b, drawn)
    new = numbered(30, start=600)
    (fair,) = compare_systems(a, b, Rows.joined([drawn, new]))
    assert fair == compare_systems(a, b, new)[0]
    assert fair.num_rows == 30
    (unfair,) = compare_systems(a, b, drawn, include_learnt=True)
    assert unfair.num_rows == 40


def test_what_a_branch_has_learnt_is_saved_taken_along_and_grows(tmp_path: Path) -> None:
    system = trained(tmp_path / "run", numbered(48), numbered(12, start=300))
    system.save_pretrained(tmp_path / "model")
    system.add_branch(spec("later"))
    later = numbered(20, start=700)
    held = later.select(range(15, 20))
    fit_branch(system, "later", later.texts[:15], later.of("a")[1][:15], validation=held.of("a"))
    assert system.learnt_texts("later") == KnownTexts.of(later.texts)
    taker = InterconnectedAISystem.from_pretrained(tmp_path / "model", encoder=system.encoder)
    assert taker.learnt_texts("a") == KnownTexts.of([*numbered(48).texts, *numbered(12, start=300).texts])
    taker.take_branch("later", system)
    taker.save_pretrained(tmp_path / "model")
    again = InterconnectedAISystem.from_pretrained(tmp_path / "model", encoder=system.encoder)
    assert again.learnt_texts("later") == KnownTexts.of(later.texts)
    more = numbered(9, start=800)
    fit_branch(again, "later", more.texts, more.of("a")[1])
    assert again.learnt_texts("later") == KnownTexts.of([*later.texts, *more.texts])


def test_a_model_without_a_record_is_measured_and_said_to_be_unchecked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    system = trained(tmp_path / "run", numbered(48), numbered(12, start=300))
    system.branch("a").learnt = None
    system.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model" / "learnt.npz").exists()
    old = InterconnectedAISystem.from_pretrained(tmp_path / "model", encoder=system.encoder)
    assert old.learnt_texts("a") is None
    assert evaluate(old, numbered(48))["a"].num_rows == 48
    assert caplog.text.count("cannot be checked") == 1
    fit_branch(old, "a", *numbered(9, start=900).of("a"))
    assert old.learnt_texts("a") is None  # what it learnt before is still unknown


def test_a_test_file_with_learnt_rows_ends_no_training_and_flatters_no_figure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, numbered(60))
    write_rows(tmp_path / "test.jsonl", *Rows.joined([numbered(60).select(range(6)), numbered(9, start=400)]).of("a"))
    content = config(tmp_path).to_dict()
    content["data"]["branches"][0]["test"] = str(tmp_path / "test.jsonl")
    run = train_run(RunConfig.from_mapping(content), encoder=make_encoder())
    assert run.test["a"].num_rows == 9
    assert "test rows of a: 6 rows left out" in caplog.text
    assert len(read_rows(tmp_path / "test.jsonl", "text", {"a": "label"})) == 15
