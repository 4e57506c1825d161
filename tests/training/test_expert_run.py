"""A whole training of an expert: `kill -9` and resume, folders, tokenizers, held-out text."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from expert_texts import documents, small_tokenizer

from interconnected_ai.config import ExpertRunConfig
from interconnected_ai.errors import ConfigError, DataError, StorageError, TokenizerError
from interconnected_ai.experts import load_card, load_expert
from interconnected_ai.storage import sha256_of
from interconnected_ai.training import evaluate_expert, train_expert

IAI = [sys.executable, "-m", "interconnected_ai.cli"]
MODEL = {"vocab_size": 330, "d_model": 16, "n_layers": 1, "n_heads": 2, "max_seq_len": 16, "norm": "pre"}
TRAINING = {"epochs": 2, "batch_size": 4, "lr": 5e-3, "precision": "float32", "device": "cpu", "monitors": []}


def write_texts(folder: Path, count: int = 60) -> Path:
    path = folder / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents(count)), encoding="utf-8")
    return path


def make_config(folder: Path, name: str = "expert", **changes: object) -> ExpertRunConfig:
    settings = {
        "output": str(folder / name), "text": {"paths": [str(write_texts(folder))]}, "model": MODEL, "training": TRAINING,
        **changes,
    }  # fmt: skip
    return ExpertRunConfig.from_mapping(settings)


def start(config: ExpertRunConfig, folder: Path, *flags: str) -> "subprocess.Popen[str]":
    path = folder / f"{Path(config.output).name}.yaml"
    path.write_text(config.to_yaml(), encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [*IAI, "expert", "train", "--config", str(path), *flags, "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def newest(checkpoints: Path) -> int:
    """The newest complete checkpoint's step."""
    steps = [int(p.parent.name[5:]) for p in checkpoints.glob("step-*/manifest.json")]
    return max(steps, default=0)


def test_a_training_killed_at_random_moments_ends_in_the_same_bits(tmp_path: Path) -> None:
    training = {**TRAINING, "epochs": 4, "checkpoint_every_steps": 1, "evaluate_every_steps": 5}
    whole = train_expert(make_config(tmp_path, "whole", training=training))
    steps = whole.fit.steps

    moment = random.Random(time.time_ns())
    config = make_config(tmp_path, "killed", training=training)
    checkpoints = tmp_path / "killed-training" / "checkpoints"
    survived = []
    for attempt in range(2):
        run = start(config, tmp_path, *(["--resume"] if attempt else []))
        deadline = time.monotonic() + 600
        wanted = (steps * (attempt + 1)) // 3
        while time.monotonic() < deadline and run.poll() is None and newest(checkpoints) < wanted:
            time.sleep(0.02)
        time.sleep(moment.random() * 0.2)  # every step saves, so most moments fall into a save
        run.send_signal(signal.SIGKILL)
        run.communicate(timeout=60)
        survived.append(newest(checkpoints))
    train_expert(config, resume=True)
    assert 0 < survived[0] < steps, "the first kill came too late to show anything"
    weights = [tmp_path / name / "model.safetensors" for name in ("whole", "killed")]
    assert sha256_of(weights[0]) == sha256_of(weights[1])


def test_a_run_leaves_an_expert_and_everything_to_understand_it(tmp_path: Path) -> None:
    config = make_config(tmp_path, roles=["code"], training={**TRAINING, "samples": ["the cat"], "sample_tokens": 5})
    run = train_expert(config)
    model, tokenizer, card = load_expert(tmp_path / "expert")
    assert tokenizer.roles == ["code"]
    assert model.config.vocab_size == tokenizer.vocab_size <= 330
    assert run.test is not None
    assert card.training["bits_per_byte"] == run.test.bits_per_byte
    assert card.training["measured_on"] == "test"
    assert card.tokenizer_sha256 == tokenizer.sha256
    kept = {path.name for path in run.training_folder.iterdir()}
    assert {"run.yaml", "corpus", "tokenizer.json", "text_report.json", "metrics.jsonl", "results.json"} <= kept
    samples = [json.loads(line) for line in (run.training_folder / "samples.jsonl").read_text().splitlines()]
    assert [sample["prompt"] for sample in samples] == ["the cat"] * 2
    results = json.loads((run.training_folder / "results.json").read_text())
    assert results["test"]["bits_per_byte"] == run.test.bits_per_byte
    assert results["text"]["total"]["num_documents"] == 60
    own = evaluate_expert(tmp_path / "expert")
    assert own.bits_per_byte == pytest.approx(run.test.bits_per_byte, rel=1e-5)
    other = evaluate_expert(tmp_path / "expert", [str(write_texts(tmp_path))])
    assert other.num_documents == 60


def test_a_shared_tokenizer_is_taken_from_another_experts_folder(tmp_path: Path) -> None:
    words = small_tokenizer()
    words.save(tmp_path / "tokenizer.json")
    first = train_expert(make_config(tmp_path, "first", tokenizer=str(tmp_path / "tokenizer.json")))
    second = train_expert(make_config(tmp_path, "second", tokenizer=str(tmp_path / "first")))
    assert first.tokenizer.sha256 == second.tokenizer.sha256 == words.sha256
    with pytest.raises(TokenizerError, match="no tokenizer at"):
        train_expert(make_config(tmp_path, "third", tokenizer=str(tmp_path / "nowhere.json")))
    with pytest.raises(TokenizerError, match="no role 'code'"):
        train_expert(make_config(tmp_path, "fourth", tokenizer=str(tmp_path / "tokenizer.json"), roles=["code"]))


def test_a_taken_folder_needs_a_decision(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    train_expert(config)
    before = load_card(tmp_path / "expert")
    with pytest.raises(StorageError, match="holds an expert; use --overwrite"):
        train_expert(config)
    with pytest.raises(ConfigError, match="exclude each other"):
        train_expert(config, resume=True, overwrite=True)
    with pytest.raises(ConfigError, match=r"differs from the settings given \(training\.lr\)"):
        train_expert(make_config(tmp_path, training={**TRAINING, "lr": 1e-3}), resume=True)
    train_expert(config, resume=True)
    assert load_card(tmp_path / "expert") == before
    train_expert(config, overwrite=True)
    assert load_card(tmp_path / "expert") == before


def test_an_unfinished_training_is_not_begun_anew_by_accident(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one batch of batch_size=640"):
        train_expert(make_config(tmp_path, training={**TRAINING, "batch_size": 640}))
    assert not [path for path in tmp_path.iterdir() if "expert" in path.name]  # nothing is left of what was refused
    run = train_expert(make_config(tmp_path))  # what ended before its first checkpoint is nothing to lose
    shutil.rmtree(run.folder)
    with pytest.raises(StorageError, match="holds an unfinished training; use --resume"):
        train_expert(make_config(tmp_path))


@pytest.mark.parametrize("wrong", [{"text": {"paths": ["nowhere.txt"]}}, {"tokenizer": "nowhere.json"}])
def test_an_overwriting_training_that_is_refused_leaves_the_old_one_whole(
    tmp_path: Path, wrong: dict[str, object]
) -> None:
    run = train_expert(make_config(tmp_path))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises((DataError, TokenizerError), match="nowhere"):
        train_expert(make_config(tmp_path, **wrong), overwrite=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert run.training_folder.is_dir()


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    (tmp_path / "expert").mkdir()
    (tmp_path / "expert" / "thesis.txt").write_text("mine")
    with pytest.raises(StorageError, match="not written by this package"):
        train_expert(config)
    assert (tmp_path / "expert" / "thesis.txt").read_text() == "mine"


def test_minutes_become_steps_that_a_resumed_training_keeps(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = make_config(tmp_path)
    with caplog.at_level("INFO", logger="interconnected_ai"):
        run = train_expert(config, minutes=0.02)
    told = [record.getMessage() for record in caplog.records]
    assert len([words for words in told if words.startswith("device ")]) == 1  # the timed trainings are silent
    assert f"0.02 minutes: {run.fit.steps} steps, by timing a few" in told
    paced = json.loads((run.training_folder / "paced.json").read_text())
    assert run.fit.steps == paced["max_steps"]
    assert train_expert(config, resume=True).fit.steps == run.fit.steps


def test_text_that_cannot_be_learnt_from_is_refused(tmp_path: Path) -> None:
    cp1251 = tmp_path / "windows.txt"
    cp1251.write_bytes("кошка и собака".encode("cp1251"))
    with pytest.raises(DataError, match="not UTF-8"):
        train_expert(make_config(tmp_path, "a", text={"paths": [str(cp1251)]}))
    with pytest.raises(DataError, match="no file or folder at"):
        train_expert(make_config(tmp_path, "b", text={"paths": [str(tmp_path / "nowhere.txt")]}))


def test_a_resumed_training_says_that_its_text_has_changed_and_goes_on_with_what_it_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = make_config(tmp_path)
    first = train_expert(config)
    again = train_expert(config, resume=True)
    assert "has changed" not in caplog.text
    texts = tmp_path / "texts.jsonl"
    texts.write_text(texts.read_text(encoding="utf-8") + json.dumps({"text": "something else"}), encoding="utf-8")
    assert train_expert(config, resume=True).corpus.report == again.corpus.report == first.corpus.report
    assert caplog.text.count("has changed since; this training goes on with what it read then") == 1
    texts.unlink()
    train_expert(config, resume=True)
    assert "is gone" in caplog.text
