"""`iai bench classify` measures what `iai train` gives by default, beside the peers, on the same rows."""

import csv
import json
from pathlib import Path

import pytest

from conftest import FILLERS, TOPICS, make_encoder
from interconnected_ai.bench import classify
from interconnected_ai.bench.classify import bench_classify
from interconnected_ai.branches import Encoder
from interconnected_ai.config import RunConfig

SCORES = {"accuracy", "macro_f1", "hit_at_3"}
TRIAL = {"epochs": 2, "monitors": [], "device": "cpu", "precision": "float32"}


@pytest.fixture(autouse=True)
def _tiny_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder of the tests in place of the embedded ones: these take seconds."""
    pytest.importorskip("sklearn")
    pytest.importorskip("accelerate")
    monkeypatch.setattr(Encoder, "load", lambda name=None, max_seq_len=128: make_encoder(max_seq_len=max_seq_len))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set of ones own, `mine`, and CLINC150 in small, with out-of-scope texts."""

    def rows(numbers: range) -> list[tuple[str, str]]:
        return [
            (f"{words[n % 10]} {FILLERS[n % 13]} {words[n // 10]}", topic)
            for n in numbers
            for topic, words in TOPICS.items()
        ]

    (tmp_path / "mine").mkdir()
    (tmp_path / "clinc150").mkdir()
    for part, numbers in (("train", range(20)), ("test", range(40, 46))):
        with (tmp_path / "mine" / f"{part}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *rows(numbers)])
    foreign = [["please show me", "oos"], ["tell me now", "oos"]]
    clinc = {"train": rows(range(12)), "val": rows(range(30, 34)), "test": rows(range(50, 54))}
    content = {**clinc, "oos_train": foreign, "oos_val": foreign, "oos_test": foreign}
    (tmp_path / "clinc150" / "data_full.json").write_text(json.dumps(content), encoding="utf-8")
    return tmp_path


def test_each_set_is_measured_by_every_method_on_the_same_rows(folder: Path) -> None:
    said: list[str] = []
    found = bench_classify(folder, sets=("mine", "clinc150"), training=TRIAL, say=said.append)
    json.dumps(found)
    for each, num_test in zip(found["sets"], (18, 12), strict=True):
        methods = {row["method"]: row for row in each["methods"]}
        assert methods.keys() == {"tfidf_svm", "frozen_logistic_regression", "system"}
        assert all(0.0 <= row[key] <= 1.0 for row in methods.values() for key in SCORES)
        assert all(row["hit_at_3"] == 1.0 for row in methods.values()), "there are three classes"
        assert each["num_test"] == num_test
        best = max(methods["tfidf_svm"]["accuracy"], methods["frozen_logistic_regression"]["accuracy"])
        assert found[f"{each['set']}_accuracy"] == methods["system"]["accuracy"]
        assert found[f"{each['set']}_margin_points"] == pytest.approx(100 * (methods["system"]["accuracy"] - best))
    outside = {"oos_auroc", "oos_recall", "oos_recall_at_4_percent_false", "answered"}
    assert all(0.0 <= found[f"clinc150_{key}"] <= 1.0 for key in outside)
    assert "mine_oos_auroc" not in found
    assert any(line.startswith("mine: 60 rows to learn, 18 to test, encoder all-MiniLM-L6-v2") for line in said)


def test_few_shots_are_the_mean_of_three_draws(folder: Path) -> None:
    found = bench_classify(folder, sets=("mine",), shots=4, training=TRIAL, say=lambda line: None)
    (mine,) = found["sets"]
    assert (found["shots"], mine["num_train"], len(mine["draws"])) == (4, 12, 3)
    for row in mine["methods"]:
        drawn = [each[row["method"]]["accuracy"] for each in mine["draws"]]
        assert row["accuracy"] == pytest.approx(sum(drawn) / 3)


def test_the_system_measured_is_the_defaults_of_iai_train(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configs: list[RunConfig] = []
    train_run = classify.train_run

    def noting(config: RunConfig, **given: object) -> object:
        configs.append(config)
        assert not len(given["splits"].test), "test rows are read when learning is over"  # type: ignore[attr-defined]
        return train_run(config, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(classify, "train_run", noting)
    bench_classify(folder, sets=("mine",), training={"epochs": 1, "device": "cpu"}, say=lambda line: None)
    (config,) = configs
    plain = RunConfig.from_mapping({"output": "runs/plain", "data": config.data.to_dict()})
    assert config.system == plain.system.with_changes(encoder_lora_rank=32, encoder_lora_alpha=64.0)
    changed = {
        "epochs": 1, "device": "cpu", "feature_cache": config.training.feature_cache, "encoder_steps": 1_000,
        "encoder_rdrop": 2.0,
    }  # fmt: skip
    assert config.training == plain.training.with_changes(**changed)


def test_parts_of_the_default_system_can_be_measured_alone(folder: Path) -> None:
    found = bench_classify(folder, sets=("mine",), parts=("heads",), training=TRIAL, say=lambda line: None)
    assert [row["method"] for row in found["sets"][0]["methods"]][-1] == "heads"
    assert "mine_accuracy" not in found
    assert found["mine_heads_accuracy"] >= 0.0
