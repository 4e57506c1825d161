"""From a file of conversations or preferences to an adapter on a tiny base: what it learnt, what it keeps, how it resumes."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.training.tiny_base import tiny_base

from interconnected_ai.config import AdapterRunConfig
from interconnected_ai.errors import ConfigError, DataError, IntegrityError
from interconnected_ai.training import Foretold, Preferred, read_adapter_run, train_adapter

WORDS = "tensor zeros text value return def add user model filled".split()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"))


def chat_rows(number: int) -> list[dict[str, Any]]:
    """Whatever is asked, the answer is the same two words."""
    return [
        {"instruction": f"{WORDS[n % 10]} {WORDS[n // 10 % 10]} {n}?", "output": f"returns {WORDS[n % 3]}"}
        for n in range(number)
    ]


def pair_rows(number: int) -> list[dict[str, Any]]:
    return [
        {
            "prompt": f"{WORDS[n % 10]} {WORDS[n // 10 % 10]} {n}?",
            "chosen": "returns a tensor",
            "rejected": f"user {WORDS[n % 3]}",
        }
        for n in range(number)
    ]


def a_config(folder: Path, base: Path, rows: list[dict[str, Any]], **changes: Any) -> AdapterRunConfig:
    kind = "preferences" if "chosen" in rows[0] else "chats"
    path = folder / f"{kind}.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    training = {
        "epochs": 2, "batch_size": 4, "seq_len": 64, "lr": 2e-2, "warmup_steps": 0, "device": "cpu",
        "precision": "float32", "monitors": [], "checkpoint_every_steps": 3, "keep_checkpoints": 99,
        **changes.pop("training", {}),
    }  # fmt: skip
    return AdapterRunConfig.from_mapping(
        {
            "output": str(folder / "adapter"), "base": str(base), "adapter": {"rank": 4}, "training": training,
            kind: {"paths": [str(path)], "validation_fraction": 0.2, **changes.pop(kind, {})}, **changes,
        }
    )  # fmt: skip


def weights_of(adapter: Path) -> dict[str, torch.Tensor]:
    return load_file(adapter / "adapter_model.safetensors")


def test_answers_are_learnt_and_what_was_read_stays_beside_the_adapter(tmp_path: Path, base: Path) -> None:
    run = train_adapter(a_config(tmp_path, base, chat_rows(60)))
    record = read_adapter_run(run.folder)
    held = record.curve("validation_loss")
    assert held.values[-1] < 0.7 * held.values[0]
    assert isinstance(run.fit.validation, Foretold)
    assert run.fit.validation.loss == pytest.approx(min(held.values), rel=1e-4)
    assert record.state == "finished"
    assert record.corpus is not None
    assert len(record.corpus.train) + len(record.corpus.validation) == 60
    assert weights_of(run.folder)


def test_preferences_are_learnt(tmp_path: Path, base: Path) -> None:
    run = train_adapter(a_config(tmp_path, base, pair_rows(60)))
    assert isinstance(run.fit.validation, Preferred)
    assert run.fit.validation.accuracy > 0.9
    assert run.fit.validation.loss < 0.5
    assert 0.5 < run.fit.filled <= 1.0
    assert read_adapter_run(run.training_folder).curve("preference_accuracy").steps[0] == 0
    again = train_adapter(a_config(tmp_path, base, pair_rows(60)), resume=True)
    assert again.was_finished
    assert again.fit == run.fit


@pytest.mark.parametrize("rows", [chat_rows, pair_rows])
def test_a_run_resumed_from_a_checkpoint_ends_with_the_same_bits(rows: Any, tmp_path: Path, base: Path) -> None:
    config = a_config(tmp_path, base, rows(40), adapter={"rank": 4, "dropout": 0.1})
    run = train_adapter(config)
    whole = weights_of(run.folder)
    shutil.rmtree(run.folder)
    (run.training_folder / "results.json").unlink()
    checkpoints = run.training_folder / "checkpoints"
    later = [step for step in checkpoints.glob("step-*") if int(step.name[5:]) > 3]
    assert later
    for step in later:
        shutil.rmtree(step)
    Path(next(iter((config.chats or config.preferences).paths))).write_text("gone", encoding="utf-8")  # type: ignore[union-attr]
    again = train_adapter(config, resume=True)
    found = weights_of(again.folder)
    assert whole.keys() == found.keys()
    assert all(torch.equal(whole[name], found[name]) for name in whole)


def test_what_cannot_be_learnt_from_is_told_before_the_base_is_opened_and_leaves_no_folder(
    tmp_path: Path, base: Path
) -> None:
    config = a_config(tmp_path, base, [{"instruction": "a", "output": ""}])
    with pytest.raises(DataError, match=r"chats\.jsonl, line 1, row 1: output is empty"):
        train_adapter(config)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chats.jsonl"]


def test_long_conversations_are_cut_to_the_window_or_refused(tmp_path: Path, base: Path) -> None:
    rows = [*chat_rows(20), {"instruction": "text " * 200, "output": "returns"}]
    config = a_config(tmp_path, base, rows, training={"epochs": 1, "seq_len": 100_000})
    run = train_adapter(config)
    record = read_adapter_run(run.folder)
    assert record.corpus is not None
    assert max(map(len, record.corpus.train)) <= 129
    assert record.corpus.share_cut == 1 / 21
    with pytest.raises(DataError, match="129 are allowed"):
        train_adapter(config.with_changes(chats={**config.to_dict()["chats"], "too_long": "refuse"}), overwrite=True)


def test_exactly_one_kind_of_data_is_asked_for(tmp_path: Path, base: Path) -> None:
    config = a_config(tmp_path, base, chat_rows(4))
    with pytest.raises(ConfigError, match="give one of text"):
        config.with_changes(preferences=config.to_dict()["chats"])
    with pytest.raises(ConfigError, match="give one of text"):
        config.with_changes(chats=None)


def test_damaged_conversations_of_a_run_are_refused(tmp_path: Path, base: Path) -> None:
    run = train_adapter(a_config(tmp_path, base, chat_rows(20), training={"epochs": 1}))
    tokens = run.training_folder / "chats" / "tokens.npz"
    tokens.write_bytes(tokens.read_bytes()[:-40])
    with pytest.raises(IntegrityError):
        read_adapter_run(run.folder)
