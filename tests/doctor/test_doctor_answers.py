"""What the doctor reads in a run's single answers: real short runs that have each illness, and a healthy one."""

import json
import random
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from doctor_runs import mislabelled

from conftest import FILLERS, make_encoder, make_rows
from interconnected_ai.branches import EMBEDDED_ENCODER, Encoder
from interconnected_ai.config import RunConfig
from interconnected_ai.data import Rows, Splits
from interconnected_ai.doctor import Diagnosis, diagnose, fixed_config
from interconnected_ai.errors import IntegrityError
from interconnected_ai.training import read_run, train_run
from interconnected_ai.training.system import answers as answers_of_runs

RUSSIAN = {
    "деньги": "банк карта счёт перевод кредит".split(),
    "погода": "дождь снег ветер туман гроза".split(),
    "звери": "кошка собака лошадь тигр медведь".split(),
}


def russian_rows(count: int, seed: int) -> Rows:
    luck, labels = random.Random(seed), [list(RUSSIAN)[row % 3] for row in range(count)]
    texts = [
        " ".join([*luck.choices(RUSSIAN[label], k=3), luck.choice("сегодня завтра вчера".split())]) for label in labels
    ]
    return Rows.of_branch("тема", texts, labels)


def train(folder: Path, splits: Splits, encoder: Encoder, **training: object) -> Path:
    name = splits.train.branch_names[0]
    config = RunConfig.from_mapping(
        {
            "output": str(folder),
            "system": {"num_moe_layers": 0, "max_seq_len": 16, "wide_terms": 0},
            "data": {"branches": [{"name": name, "path": f"{name}.csv"}]},
            "training": {
                "epochs": 1, "batch_size": 16, "monitors": [], "device": "cpu", "precision": "float32", **training,
            },
        }
    )  # fmt: skip
    train_run(config, splits=splits, encoder=encoder)
    return folder


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    splits = Splits(make_rows("a", 150), make_rows("a", 60, seed=1), make_rows("a", 60, seed=2))
    return train(tmp_path_factory.mktemp("runs") / "healthy", splits, make_encoder())


@pytest.fixture(scope="module")
def wrong_language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Russian rows under the name of the English encoder, whose tokenizer has none of their words."""
    encoder = make_encoder()
    encoder.name = EMBEDDED_ENCODER
    splits = Splits(russian_rows(90, 0), russian_rows(30, 1), russian_rows(60, 2))
    return train(tmp_path_factory.mktemp("runs") / "wrong", splits, encoder)


def told(diagnosis: Diagnosis) -> dict[str, str]:
    return {illness.name: illness.evidence for illness in diagnosis.illnesses}


NEW = {
    "encoder does not read the rows",
    "below counted words",
    "class never answered",
    "labels look wrong",
    "sure of any text",
}


def test_a_healthy_run_shows_none_of_them(healthy: Path) -> None:
    assert not NEW & set(told(diagnose(healthy)))


def test_an_encoder_of_another_language_is_named_with_the_one_that_reads_the_rows(wrong_language: Path) -> None:
    found = {illness.name: illness for illness in diagnose(wrong_language).illnesses}
    illness = found["encoder does not read the rows"]
    assert illness.evidence == "all-MiniLM-L6-v2 reads English; 100% of тема's training rows are not in Latin letters"
    fixed, _ = fixed_config(RunConfig.from_file(wrong_language / "run.yaml"), [illness])
    assert fixed.system.base_model_name == "multilingual"


def test_a_system_below_counted_words_hears_both_figures(wrong_language: Path) -> None:
    results = json.loads((wrong_language / "results.json").read_text(encoding="utf-8"))
    found, words = results["test"]["тема"], results["baseline"]["тема"]["accuracy"]
    evidence = told(diagnose(wrong_language))["below counted words"]
    right = f"{found['accuracy']:.1%} of {found['num_rows']} test rows"
    assert evidence == f"тема: {right}, TF-IDF + linear has {words:.1%} of the same"


def test_what_three_rows_decide_is_no_illness(healthy: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(healthy, tmp_path / "run"))
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    for rows_behind, ill in ((3, False), (12, True)):
        results["baseline"]["a"]["accuracy"] = 1.0
        results["test"]["a"]["accuracy"] = 1.0 - rows_behind / 60
        (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
        assert ("below counted words" in told(diagnose(folder))) is ill


def test_classes_that_are_never_answered_are_named_with_their_rows(wrong_language: Path) -> None:
    kept = read_run(wrong_language).answers["тема"]
    silent = [(label, kept.targets.count(n)) for n, label in enumerate(kept.labels) if n not in kept.answers]
    assert silent
    evidence = told(diagnose(wrong_language))["class never answered"]
    assert all(f"{label!r} ({rows} rows)" in evidence for label, rows in silent)


def test_labels_that_sure_answers_contradict_are_counted(tmp_path: Path) -> None:
    test = mislabelled(make_rows("a", 120, seed=2), 0.25, seed=3)
    folder = train(tmp_path / "run", Splits(make_rows("a", 150), make_rows("a", 60, seed=1), test), make_encoder())
    evidence = told(diagnose(folder))["labels look wrong"]
    changed = sum(a != b for a, b in zip(test.of("a")[1], make_rows("a", 120, seed=2).of("a")[1], strict=True))
    number = int(evidence.split("a: ")[1].split()[0])
    assert 0.6 * changed <= number <= changed + 2


def test_a_system_that_is_sure_of_any_text_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [" ".join(FILLERS[first : first + 4]) for first in range(9)]  # that this tokenizer can read
    monkeypatch.setattr(answers_of_runs, "FOREIGN_TEXTS", words)
    splits = Splits(make_rows("a", 150), make_rows("a", 60, seed=1), make_rows("a", 60, seed=2))
    folder = train(tmp_path / "run", splits, make_encoder(), ridge=1e-6)
    kept = read_run(folder).answers["a"]
    assert len(kept.foreign_confidence) == 9
    sure = sum(
        c >= 0.95 and answered for c, answered in zip(kept.foreign_confidence, kept.foreign_answered, strict=True)
    )
    assert sure > 4
    assert f"a: {sure} of 9" in told(diagnose(folder))["sure of any text"]


def test_texts_that_the_tokenizer_cannot_read_say_nothing_of_a_system(healthy: Path) -> None:
    """To this tokenizer of fifty words all of them are one text of unknown words."""
    assert read_run(healthy).answers["a"].foreign_confidence == []


def test_a_run_keeps_answers_and_no_texts(healthy: Path) -> None:
    record = read_run(healthy)
    kept, results = record.answers["a"], record.results
    assert results is not None
    right = sum(a == b for a, b in zip(kept.targets, kept.answers, strict=True))
    assert right / len(kept.targets) == pytest.approx(results.test["a"].accuracy)
    for target, answer, sure, given in zip(kept.targets, kept.answers, kept.confidence, kept.given, strict=True):
        assert given == sure if target == answer else given <= sure
    written = (healthy / "answers.json").read_text(encoding="utf-8")
    assert not any(text in written for text in make_rows("a", 60, seed=2).texts)


def test_a_run_that_kept_none_says_so_and_a_damaged_file_is_named(healthy: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(healthy, tmp_path / "run"))
    (folder / "answers.json").write_text('{"a": {}}', encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"answers\.json"):
        diagnose(folder)
    (folder / "answers.json").unlink()
    assert any(item.startswith("single answers") for item in diagnose(folder).unjudged)


def test_a_test_on_other_rows_than_the_baselines_is_not_compared(wrong_language: Path) -> None:
    from interconnected_ai.doctor.answering import _below_the_baseline
    from interconnected_ai.doctor.history import History

    record = read_run(wrong_language)
    assert record.results is not None
    assert _below_the_baseline(History(record)) is not None
    fewer = {name: replace(found, num_rows=59) for name, found in record.results.baseline.items()}
    assert _below_the_baseline(History(replace(record, results=replace(record.results, baseline=fewer)))) is None


def figures(evidence: str) -> list[str]:
    return sorted(re.findall(r"\d+(?:\.\d+)?", evidence.replace(",", ".")))


def test_the_russian_evidence_has_the_same_figures_and_no_english_word(wrong_language: Path, healthy: Path) -> None:
    found = {illness.name: illness for illness in [*diagnose(wrong_language).illnesses, *diagnose(healthy).illnesses]}
    assert {
        "encoder does not read the rows",
        "below counted words",
        "class never answered",
        "branch under 85 %",
    } <= set(found)
    for illness in found.values():
        assert illness.evidence_ru is not None, illness.name
        assert figures(illness.evidence_ru) == figures(illness.evidence)
        words = set(re.findall(r"[A-Za-z]{2,}", illness.evidence_ru))
        assert words <= {"all", "MiniLM", "TF", "IDF", "linear"}, illness.evidence_ru
