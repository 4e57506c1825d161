"""The baseline beside a run's figures: the same rows, its own chance, and nothing of the run depends on it."""

import json
import random
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import yaml

from conftest import make_encoder, make_rows
from interconnected_ai.config import RunConfig
from interconnected_ai.data import Rows, Splits
from interconnected_ai.errors import MissingExtraError
from interconnected_ai.training import BASELINE, RunResult, WordCounts, macro_f1, measure_baselines, read_run, train_run


def rows(seed: int, count: int = 40) -> Rows:
    return Rows.joined([make_rows("a", count, seed=seed), make_rows("b", count, seed=seed + 1, marker="today")])


def trained(folder: Path, *, splits: Splits | None = None, **given: object) -> RunResult:
    names = (splits.train if splits else rows(0)).branch_names
    config = RunConfig.from_mapping(
        {
            "output": str(folder),
            "system": {"num_experts": 2, "max_seq_len": 16, "d_ff": 16},
            "data": {"branches": [{"name": name, "path": f"{name}.csv"} for name in names]},
            "training": {"epochs": 1, "batch_size": 16, "precision": "float32", "device": "cpu", "monitors": []},
        }
    )
    splits = splits or Splits(rows(0), rows(10, 12), rows(20, 16))
    return train_run(config, splits=splits, encoder=make_encoder(), **given)  # type: ignore[arg-type]


def test_a_run_keeps_the_baseline_of_every_branch_beside_its_results(tmp_path: Path) -> None:
    done = trained(tmp_path / "run")
    kept = json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    assert kept["baseline"].keys() == kept["test"].keys() == {"a", "b"}
    for name, found in kept["baseline"].items():
        assert found["name"] == BASELINE == "TF-IDF + linear"
        assert found["num_rows"] == kept["test"][name]["num_rows"]
        assert found["num_learnt"] == 40 + 12
        assert found["seconds"] > 0
    results = read_run(tmp_path / "run").results
    assert results is not None
    assert results.baseline == done.baseline


def test_its_figures_are_those_of_the_test_rows_by_hand() -> None:
    learnt, test = rows(0), rows(20, 16)
    found = measure_baselines(learnt, test)["a"]
    texts, answers = test.of("a")
    given = [first for first, *_ in WordCounts.fit(*learnt.of("a")).ranked(texts)]
    assert found.accuracy == np.mean([one == other for one, other in zip(given, answers, strict=True)]) > 0.8
    number = {label: place for place, label in enumerate(sorted({*given, *answers}))}
    ours, true = (torch.tensor([number[label] for label in each]) for each in (given, answers))
    assert found.macro_f1 == macro_f1(ours, true)


def test_words_that_tell_the_classes_are_all_that_it_needs() -> None:
    words = WordCounts.fit(
        ["send money home", "card is lost", "money please", "the card again"] * 5, ["pay", "card"] * 10
    )
    assert words.ranked(["more money", "my card"], 2) == [["pay", "card"], ["card", "pay"]]


def test_not_one_bit_of_a_run_depends_on_it(tmp_path: Path) -> None:
    with_it, without = trained(tmp_path / "with"), trained(tmp_path / "without", baseline=False)
    assert without.baseline == {}
    assert "baseline" not in json.loads((tmp_path / "without" / "results.json").read_text(encoding="utf-8"))
    other = without.system.state_dict()
    assert all(torch.equal(tensor, other[name]) for name, tensor in with_it.system.state_dict().items())
    assert with_it.test == without.test


def test_it_draws_nothing_from_the_random_states_of_others() -> None:
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    first = measure_baselines(rows(0), rows(20, 16))
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before
    again = measure_baselines(rows(0), rows(20, 16))
    assert [b.accuracy for b in first.values()] == [b.accuracy for b in again.values()]


def test_without_scikit_learn_a_run_says_so_and_ends_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def all_but_scikit_learn(name: str) -> ModuleType:
        if name == "sklearn":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return import_module(name)

    monkeypatch.setattr("interconnected_ai.extras.import_module", all_but_scikit_learn)
    with pytest.raises(MissingExtraError):
        measure_baselines(rows(0), rows(20, 16))
    assert trained(tmp_path / "run").baseline == {}
    assert 'pip install "interconnected-ai[training]"' in caplog.text
    assert "no baseline" in caplog.text


def test_a_run_without_test_rows_has_no_baseline(tmp_path: Path) -> None:
    splits = Splits(rows(0), rows(10, 12), rows(20).select([]))
    assert trained(tmp_path / "run", splits=splits).baseline == {}


def test_a_branch_without_labelled_test_rows_is_left_out() -> None:
    test = Rows.joined([make_rows("a", 8, seed=5), Rows(["nobody knows"], {"b": [None]})])
    assert measure_baselines(rows(0), test).keys() == {"a"}


@pytest.mark.parametrize(
    ("texts", "labels"),
    [
        (["one text", "another"], ["same", "same"]),
        (["!", "?", "!"], ["x", "y", "x"]),
        (["a", "b", "a"], ["x", "y", "x"]),
    ],
    ids=["one class", "no words", "one-letter words"],
)
def test_rows_that_say_little_are_answered_all_the_same(texts: list[str], labels: list[str]) -> None:
    found = measure_baselines(Rows.of_branch("a", texts, labels), Rows.of_branch("a", texts, labels))["a"]
    assert found.num_rows == len(texts)
    assert found.accuracy >= 0.5
    assert WordCounts.fit(texts, labels).ranked([]) == []


def test_of_very_many_rows_it_learns_a_part_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interconnected_ai.training.system.baseline._MOST_LEARNT", 30)
    learnt = rows(0)
    found = measure_baselines(learnt, rows(20, 16))["a"]
    assert found.num_learnt == 30 < len(learnt.of("a")[0])


def test_the_settings_file_can_leave_it_out(tmp_path: Path) -> None:
    config = RunConfig.from_mapping({"output": "x", "data": {"branches": [{"name": "a", "path": "a.csv"}]}})
    assert config.training.baseline
    off = config.with_changes(training={**config.training.to_dict(), "baseline": False})
    assert not RunConfig.from_mapping(yaml.safe_load(off.to_yaml())).training.baseline
