"""The doctor on trainings of adapters, from real runs on a tiny base: what ails each is found, and nothing in a healthy one."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.training.test_adapter_chats import WORDS, a_config, chat_rows, pair_rows
from tests.training.tiny_base import tiny_base

from interconnected_ai.config import AdapterRunConfig
from interconnected_ai.doctor import Check, Diagnosis, Illness, adapter_checklist, diagnose, fixed_config
from interconnected_ai.errors import DataError, NonFiniteLossError
from interconnected_ai.report.findings import finding_in
from interconnected_ai.training import adapter_training_folder, train_adapter


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"))


def diagnosis_of(
    folder: Path, base: Path, rows: list[dict[str, Any]], **changes: Any
) -> tuple[AdapterRunConfig, Diagnosis]:
    config = a_config(folder, base, rows, **changes)
    run = train_adapter(config)
    return config, diagnose(run.folder)


def illness(found: Diagnosis, name: str) -> Illness:
    assert name in [one.name for one in found.illnesses], found.illnesses
    return next(one for one in found.illnesses if one.name == name)


@pytest.mark.parametrize("rows", [chat_rows, pair_rows])
def test_a_healthy_run_is_told_so(rows: Callable[[int], list[dict[str, Any]]], tmp_path: Path, base: Path) -> None:
    _, found = diagnosis_of(tmp_path, base, rows(80))
    assert found.is_healthy
    assert found.state == "finished"
    assert found.unjudged[0].startswith("trends: ")


def states(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.state for check in checks}


@pytest.mark.parametrize("rows", [chat_rows, pair_rows])
def test_before_a_training_base_rows_lengths_and_answers_are_looked_at_and_nothing_is_written(
    rows: Callable[[int], list[dict[str, Any]]], tmp_path: Path, base: Path
) -> None:
    config = a_config(tmp_path, base, rows(80), training={"monitors": ["tensorboard"]})
    before = sorted(tmp_path.rglob("*"))
    checks = adapter_checklist(config)
    assert set(states(checks).values()) == {"ok"}
    assert list(states(checks)) == [
        "base is there", "rows can be read", "something is held out", "block fits the window", "conversations fit a block",
        "answers are learnt", "answers end", "examples enough", "batch for all parts", "monitoring on", "output folder free",
    ]  # fmt: skip
    assert sorted(tmp_path.rglob("*")) == before


def test_before_a_training_what_will_fail_is_told_with_the_row(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = a_config(tmp_path, base, [*chat_rows(60), {"instruction": "a", "output": ""}])
    (failed,) = [check for check in adapter_checklist(config) if check.state == "fails"]
    assert failed.name == "rows can be read"
    assert "line 61, row 61: output is empty" in failed.evidence
    monkeypatch.setenv("WORLD_SIZE", "8")
    config = a_config(tmp_path, tmp_path / "nothing", chat_rows(60))
    failing = [check.name for check in adapter_checklist(config) if check.state == "fails"]
    assert failing == ["base is there", "batch for all parts"]


def test_before_a_training_what_may_come_out_badly_is_told_with_settings(tmp_path: Path, base: Path) -> None:
    long_rows = [{"instruction": f"text {n} " * 60, "output": "returns"} for n in range(4)]
    config = a_config(tmp_path, base, [*chat_rows(30), *long_rows], training={"seq_len": 100_000})
    found = states(adapter_checklist(config))
    assert [name for name, state in found.items() if state == "warning"] == [
        "block fits the window", "conversations fit a block", "examples enough", "monitoring on",
    ]  # fmt: skip
    fixed, changes = fixed_config(config, adapter_checklist(config))
    assert fixed.training.seq_len == 128
    assert "training.seq_len" in [change.setting for change in changes]


def test_a_base_that_does_not_read_the_language_is_told(tmp_path: Path) -> None:
    told = tiny_base(tmp_path / "base", window=512)
    (told / "README.md").write_text("---\nlanguage: en\n---\n", encoding="utf-8")
    rows = [{"instruction": f"Как зовут кота номер {n}?", "output": f"Его зовут Барсик {n}."} for n in range(60)]
    config = a_config(tmp_path, told, rows, training={"seq_len": 512})
    (warned,) = [check for check in adapter_checklist(config) if check.name == "base reads the language"]
    assert (warned.state, warned.evidence) == ("warning", "the rows are ru, the base says en")


def test_the_adapter_and_its_training_are_the_same_run(tmp_path: Path, base: Path) -> None:
    config, found = diagnosis_of(tmp_path, base, chat_rows(60))
    assert diagnose(adapter_training_folder(config)) == found
    assert found.run == adapter_training_folder(config)


def unrelated(number: int) -> list[dict[str, Any]]:
    """Answers that nothing in the question foretells."""
    luck = random.Random(0)
    return [
        {"instruction": f"{WORDS[n % 10]} {n}", "output": " ".join(luck.choice(WORDS) for _ in range(6))}
        for n in range(number)
    ]


def test_learning_by_heart_is_told_with_the_epochs_that_were_enough(tmp_path: Path, base: Path) -> None:
    config, found = diagnosis_of(
        tmp_path, base, unrelated(70), training={"epochs": 18, "batch_size": 2, "lr": 5e-3}, adapter={"rank": 16}
    )
    ill = illness(found, "validation loss rises")
    assert "the weights of the former are kept" in ill.evidence
    assert 1 <= ill.settings_to_change["training.epochs"] < 18
    fixed, changes = fixed_config(config, found.illnesses, output="elsewhere")
    assert fixed.training.epochs == ill.settings_to_change["training.epochs"]
    assert [change.setting for change in changes] == ["training.epochs"]


def test_few_examples_and_conversations_that_do_not_fit_are_told(tmp_path: Path, base: Path) -> None:
    long_rows = [{"instruction": f"text {n} " * 60, "output": "returns"} for n in range(4)]
    _, found = diagnosis_of(tmp_path, base, [*chat_rows(30), *long_rows], training={"epochs": 1})
    assert [one.name for one in found.illnesses] == ["conversations too long", "few examples"]
    assert "of 34 conversations 4 were left out" in found.illnesses[0].evidence
    assert "examples to learn from" in found.illnesses[1].evidence


def test_answers_that_are_learnt_and_held_out_word_for_word_are_told(tmp_path: Path, base: Path) -> None:
    rows = [
        {"instruction": f"{WORDS[n % 10]} {n}?", "output": "return the filled tensor value " * 4} for n in range(60)
    ]
    _, found = diagnosis_of(tmp_path, base, rows, training={"epochs": 1})
    assert "held-out examples stand word for word" in illness(found, "held-out answers are learnt").evidence


def test_a_long_question_with_a_short_answer_teaches_little(tmp_path: Path) -> None:
    rows = [{"instruction": f"{n} " + "zeros " * 120, "output": "a"} for n in range(60)]
    wide = tiny_base(tmp_path / "wide", window=1_024)
    _, found = diagnosis_of(tmp_path, wide, rows, training={"epochs": 1, "seq_len": 1_024})
    assert "tokens are answers" in illness(found, "little of it is learnt").evidence


def test_a_loss_that_does_not_fall_is_told(tmp_path: Path, base: Path) -> None:
    _, found = diagnosis_of(
        tmp_path, base, chat_rows(60), training={"epochs": 60, "max_steps": 90, "batch_size": 2, "lr": 1e-9}
    )
    assert illness(found, "loss does not fall").settings_to_change == {"training.lr": 1e-3}


def test_a_loss_that_is_no_number_is_told_of_an_unfinished_run(tmp_path: Path, base: Path) -> None:
    config = a_config(tmp_path, base, chat_rows(60), training={"lr": 1e30})
    with pytest.raises(NonFiniteLossError):
        train_adapter(config)
    found = diagnose(adapter_training_folder(config))
    assert found.state.startswith("ended by NonFiniteLossError")
    assert illness(found, "learning rate too high").settings_to_change == {"training.lr": 1e-3}


def test_preferences_without_a_reason_are_not_learnt(tmp_path: Path, base: Path) -> None:
    luck = random.Random(1)
    rows = []
    for n in range(70):
        one, other = luck.sample(WORDS, 2)
        rows.append({"prompt": f"{WORDS[n % 10]} {n}", "chosen": one, "rejected": other})
    _, found = diagnosis_of(tmp_path, base, rows, training={"lr": 1e-6})
    assert "guessing has 50 %" in illness(found, "preferences are not learnt").evidence


def test_better_answers_that_become_unlikely_are_told(tmp_path: Path, base: Path) -> None:
    config, healthy = diagnosis_of(tmp_path, base, pair_rows(80), preferences={"beta": 0.5})
    assert healthy.is_healthy
    with (healthy.run / "metrics.jsonl").open(
        "a", encoding="utf-8"
    ) as file:  # as a training that goes on may come to it
        file.write('{"step": 99, "chosen_reward": -3.0, "reward_margin": 4.0}\n')
    found = diagnose(healthy.run)
    assert (
        "6 nats (3 powers of ten) less likely than the base has them"
        in illness(found, "better answers become unlikely").evidence
    )
    fixed, _ = fixed_config(config, found.illnesses)
    assert fixed.preferences is not None
    assert fixed.preferences.beta == 1.0


def test_a_run_that_has_logged_nothing_yet_is_told(tmp_path: Path, base: Path) -> None:
    folder = tmp_path / "mine-training"
    folder.mkdir()
    (folder / "run.yaml").write_text(a_config(tmp_path, base, chat_rows(9)).to_yaml(), encoding="utf-8")
    with pytest.raises(DataError, match=r"no figures in metrics\.jsonl yet"):
        diagnose(folder)


@pytest.mark.parametrize(
    "name",
    ["loss does not fall", "the base alone is better", "validation loss rises", "few examples", "answers without an end",
     "conversations too long", "little of it is learnt", "held-out answers are learnt", "preferences are not learnt",
     "better answers become unlikely", "learning rate too high", "out of memory", "ended by an error"],
)  # fmt: skip
def test_every_finding_has_a_russian_name(name: str) -> None:
    told, remedy = finding_in(Illness(name, "", None, ""), "ru")
    assert told != name
    assert remedy
