"""The quickstart's figures are what its systems give, in both languages and on a folder of ones own."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from conftest import FILLERS, TOPICS, make_encoder
from interconnected_ai.bench.quickstart import Quickstart, _require_free, quickstart_config, run_quickstart
from interconnected_ai.bench.quickstart_texts import own_texts, russian_texts
from interconnected_ai.bench.quickstart_words import ENGLISH, RUSSIAN
from interconnected_ai.branches import Encoder, InterconnectedAISystem
from interconnected_ai.config import BranchSpec, RunConfig
from interconnected_ai.data import read_rows
from interconnected_ai.errors import DataError, StorageError
from interconnected_ai.training import evaluate

TRIAL = {"epochs": 2, "monitors": [], "device": "cpu"}


def write_tables(folder: Path) -> Path:
    """Two branches to begin with and one to add."""
    topics = list(TOPICS.items())
    for name, kept in (("first", topics[:2]), ("second", topics[1:]), ("third", topics[::2])):
        rows = [
            (f"{words[n % 10]} {FILLERS[n % 13]} {words[n // 10]} {name[0]}{n}", topic)
            for n in range(40)
            for topic, words in kept
        ]
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
    return folder


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Quickstart:
    pytest.importorskip("sklearn")
    pytest.importorskip("accelerate")
    encoder, folder = make_encoder(), tmp_path_factory.mktemp("quickstart")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Encoder, "load", lambda name=None, max_seq_len=128: encoder)
        return run_quickstart(
            folder / "run", texts=own_texts(write_tables(folder)), twin=True, settings=TRIAL, say=lambda line: None
        )


def test_a_folder_of_tables_goes_through_the_whole_story(done: Quickstart) -> None:
    kept = json.loads((done.folder / "quickstart.json").read_text(encoding="utf-8"))
    assert kept.keys() == done.to_dict().keys()
    assert set(kept["scores"]) == {"first", "second"}
    for branch, methods in kept["scores"].items():
        assert methods.keys() == {"tfidf_svm", "frozen_logistic_regression", "dense_twin", "system"}
        best = max(methods["tfidf_svm"]["accuracy"], methods["frozen_logistic_regression"]["accuracy"])
        margin = 100 * (methods["system"]["accuracy"] - best)
        assert kept["margin_over_best_baseline_points"][branch] == pytest.approx(margin)
    margins = kept["margin_over_best_baseline_points"]
    assert margins["mean"] == pytest.approx((margins["first"] + margins["second"]) / 2)
    assert kept["old_outputs_max_abs_diff"] == 0.0


def test_what_the_quickstart_made_is_made_again_and_what_others_made_of_it_is_kept(
    done: Quickstart, tmp_path: Path
) -> None:
    again = quickstart_config(done.folder, ["first", "second"])
    again = again.with_changes(training={**again.training.to_dict(), **TRIAL})
    _require_free(done.folder, again, ["first", "second", "third"], overwrite=False)
    folder = tmp_path / "run"
    shutil.copytree(done.folder, folder)
    config = RunConfig.from_file(folder / "run.yaml")
    branches = ["first", "second", "third"]
    _require_free(folder, config, branches, overwrite=False)
    seeded = config.with_changes(training={**config.training.to_dict(), "seed": 7})
    with pytest.raises(StorageError, match="use --overwrite"):
        _require_free(folder, seeded, branches, overwrite=False)
    system = InterconnectedAISystem.from_pretrained(folder / "model", encoder=make_encoder())
    system.add_branch(BranchSpec.from_mapping({"name": "own", "labels": ["a", "b"]}))
    system.save_pretrained(folder / "model")
    with pytest.raises(StorageError, match="holds a run with more than this quickstart makes"):
        _require_free(folder, config, branches, overwrite=False)
    _require_free(folder, config, branches, overwrite=True)
    (folder / "model" / "config.json").unlink()
    with pytest.raises(StorageError, match="holds a run"):
        _require_free(folder, config, branches, overwrite=False)


def test_the_kept_model_gives_the_accuracies_told_and_has_the_later_branch(done: Quickstart) -> None:
    system = InterconnectedAISystem.from_pretrained(done.folder / "model", encoder=make_encoder())
    assert system.branch_names == ["first", "second", "third"]
    for name, methods in done.scores.items():
        rows = read_rows(done.folder / "data" / f"{name}-test.jsonl", "text", {name: "label"})
        assert evaluate(system, rows)[name].accuracy == methods["system"].accuracy
    rows = read_rows(done.folder / "data" / "third-test.jsonl", "text", {"third": "label"})
    assert evaluate(system, rows)["third"].accuracy == done.growth.added_accuracy


def test_both_ways_pay_for_the_new_rows_and_the_joint_one_for_the_others_too(done: Quickstart) -> None:
    growth = done.growth
    assert growth.added_seconds == pytest.approx(
        growth.new_rows_seconds + growth.added.encode_seconds + growth.added.train_seconds
    )
    assert growth.joint_seconds - growth.joint_again_seconds == done.fit.cache_seconds == growth.first_rows_seconds
    assert growth.joint_again_seconds == growth.new_rows_seconds + growth.joint_train_seconds
    assert growth.added_over_joint_time == growth.added_seconds / growth.joint_seconds


def test_a_folder_needs_two_tables(tmp_path: Path) -> None:
    write_tables(tmp_path)
    (tmp_path / "second.csv").unlink()
    (tmp_path / "third.csv").unlink()
    (tmp_path / "notes.txt").write_text("no table", encoding="utf-8")
    with pytest.raises(DataError, match="holds 1 tables"):
        own_texts(tmp_path)


def test_the_russian_story_has_branches_of_russian_text() -> None:
    for package in ("polib", "django", "allauth", "jupyterlab_language_pack_ru_RU"):
        pytest.importorskip(package)
    texts = russian_texts()
    assert (texts.names, texts.later_name) == (["jupyterlab", "django"], "allauth")
    sides = [set(rows.texts) for rows in (texts.first.train, texts.first.validation, texts.first.test)]
    assert not sides[0] & sides[2]
    assert all(sides)


def test_both_languages_say_the_same_things_with_the_same_figures() -> None:
    def blanks(sentence: str) -> list[str]:
        return sorted(part.partition("}")[0].partition(":")[0] for part in sentence.split("{")[1:])

    for name, english in vars(ENGLISH).items():
        russian = getattr(RUSSIAN, name)
        if isinstance(english, str):
            assert blanks(english) == blanks(russian), name
        else:
            assert english.keys() == russian.keys()
