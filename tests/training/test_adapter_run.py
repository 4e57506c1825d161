"""A whole training of an adapter: folders, resume after `kill -9` to the same bits, several processes, refusals."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from expert_texts import documents
from launching import ALONE, PARALLELISMS, in_two_processes, run_iai
from tiny_causal import tiny_llama
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models, pre_tokenizers, trainers

from interconnected_ai.config import AdapterRunConfig
from interconnected_ai.errors import ConfigError, DataError, StorageError
from interconnected_ai.experts import base_sha256, read_adapter
from interconnected_ai.storage import load_tensors, sha256_of
from interconnected_ai.text import PretrainedTokenizer
from interconnected_ai.training import train_adapter

IAI = [sys.executable, "-m", "interconnected_ai.cli"]
TRAINING = {
    "epochs": 2, "batch_size": 4, "seq_len": 32, "lr": 1e-2, "warmup_steps": 2, "precision": "float32", "device": "cpu",
    "monitors": [],
}  # fmt: skip


def make_base(folder: Path) -> Path:
    """The folder of a tiny Llama with a byte-level tokenizer of 300 tokens."""
    place = folder / "base"
    fast = FastTokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )  # fmt: skip
    fast.train_from_iterator(documents(20), trainer)
    words = PretrainedTokenizer(fast, names={"eos_token": "<|im_end|>"})
    tiny_llama(vocab_size=words.vocab_size, pad_token_id=None, bos_token_id=None).save_pretrained(place)
    words.save(place)
    return place


def make_config(folder: Path, name: str = "adapter", **changes: Any) -> AdapterRunConfig:
    texts = folder / "texts.jsonl"
    if not texts.exists():
        texts.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents(60)), encoding="utf-8")
    base = folder / "base"
    settings = {
        "output": str(folder / name), "base": str(base if base.exists() else make_base(folder)),
        "text": {"paths": [str(texts)]}, "adapter": {"rank": 4}, "training": TRAINING, **changes,
    }  # fmt: skip
    return AdapterRunConfig.from_mapping(settings)


def start(config: AdapterRunConfig, folder: Path, *flags: str) -> "subprocess.Popen[str]":
    path = folder / f"{Path(config.output).name}.yaml"
    path.write_text(config.to_yaml(), encoding="utf-8")
    command = [*IAI, "expert", "adapt", "--config", str(path), *flags, "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_a_run_leaves_an_adapter_that_foretells_its_text_better_than_the_base(tmp_path: Path) -> None:
    run = train_adapter(make_config(tmp_path))
    assert run.base is not None
    assert run.test is not None
    assert run.test.bits_per_byte is not None
    assert run.base.bits_per_byte is not None
    assert run.test.bits_per_byte < 0.8 * run.base.bits_per_byte
    files = read_adapter(run.folder)
    assert files.card.kind == "adapter"
    assert files.card.base_sha256 == base_sha256(tmp_path / "base")
    assert files.card.bits_per_byte == run.test.bits_per_byte
    assert files.card.training["base_bits_per_byte"] == run.base.bits_per_byte
    assert files.weights.num_params == run.num_params
    assert set(files.weights.modules) == set(run.model.names if run.model else ())
    kept = {path.name for path in run.training_folder.iterdir()}
    assert {"run.yaml", "corpus", "text_report.json", "metrics.jsonl", "results.json", "computing.json"} <= kept
    again = train_adapter(make_config(tmp_path), resume=True)
    assert again.was_finished
    assert again.to_dict() == run.to_dict()


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # which PEFT asks for
def test_peft_foretells_with_the_saved_adapter_what_we_do(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    run = train_adapter(make_config(tmp_path))
    assert run.model is not None
    theirs = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tmp_path / "base"), run.folder).eval()
    ids = torch.arange(3, 20).unsqueeze(0)
    with torch.no_grad():
        ours = run.model.head(run.model.hidden(ids))
        torch.testing.assert_close(theirs(input_ids=ids).logits, ours, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("changes", [{"base_bits": 4}, {"adapter": {"rank": 2, "dropout": 0.1, "targets": ["q_proj"]}}])
def test_four_bits_and_dropout_learn_too(tmp_path: Path, changes: Mapping[str, Any]) -> None:
    run = train_adapter(make_config(tmp_path, **changes))
    assert run.base is not None
    assert run.test is not None
    assert run.test.loss < run.base.loss


def newest(checkpoints: Path) -> int:
    """The newest complete checkpoint's step."""
    return max((int(p.parent.name[5:]) for p in checkpoints.glob("step-*/manifest.json")), default=0)


def test_a_training_killed_and_resumed_ends_in_the_same_bits(tmp_path: Path) -> None:
    training = {**TRAINING, "epochs": 3, "checkpoint_every_steps": 1, "evaluate_every_steps": 5}
    settings: dict[str, Any] = {"training": training, "adapter": {"rank": 4, "dropout": 0.1}}
    whole = train_adapter(make_config(tmp_path, "whole", **settings))
    config = make_config(tmp_path, "killed", **settings)
    run, checkpoints = start(config, tmp_path), tmp_path / "killed-training" / "checkpoints"
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and run.poll() is None and newest(checkpoints) < whole.fit.steps // 3:
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=60)
    assert 0 < newest(checkpoints) < whole.fit.steps, "the kill came too late to show anything"
    train_adapter(config, resume=True)
    weights = [tmp_path / name / "adapter_model.safetensors" for name in ("whole", "killed")]
    assert sha256_of(weights[0]) == sha256_of(weights[1])


def test_a_training_that_is_told_to_stop_says_how_it_goes_on(tmp_path: Path) -> None:
    training = {**TRAINING, "epochs": 400, "checkpoint_every_steps": 1}
    run = start(make_config(tmp_path, training=training), tmp_path)
    checkpoints = tmp_path / "adapter-training" / "checkpoints"
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and run.poll() is None and newest(checkpoints) < 2:
        time.sleep(0.01)
    run.send_signal(signal.SIGINT)
    _, error = run.communicate(timeout=120)
    assert run.returncode == 130
    assert "Go on with: iai expert adapt --config" in error
    assert "--resume" in error


def trained(
    folder: Path,
    name: str,
    launcher: Sequence[str],
    environment: Mapping[str, str] | None = None,
    says: str = "",
    **changes: Any,
) -> tuple[dict[str, torch.Tensor], list[float]]:
    """Train a little; returns the adapter's weights and the losses that were logged."""
    training = {**TRAINING, "epochs": 1, "batch_size": 2, "accumulation_steps": 1, "lr": 2e-3}
    config = make_config(folder, name, training={**training, **changes.pop("training", {})}, **changes)
    path = folder / f"{name}.yaml"
    path.write_text(config.to_yaml(), encoding="utf-8")
    done = run_iai(launcher, "expert", "adapt", "--config", str(path), environment=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert says in done.stderr, done.stderr[-3000:]
    lines = [json.loads(line) for line in (folder / f"{name}-training" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss/task"] for line in lines if "loss/task" in line]
    return load_tensors(folder / name / "adapter_model.safetensors"), losses


@pytest.mark.slow
@pytest.mark.parametrize(("environment", "says"), PARALLELISMS)
def test_two_processes_reach_the_losses_of_one(tmp_path: Path, environment: Mapping[str, str], says: str) -> None:
    weights, losses = trained(tmp_path, "one", ALONE)
    weights_2, losses_2 = trained(tmp_path, "two", in_two_processes(), environment, says)
    assert losses[-1] < losses[0]
    assert losses_2 == pytest.approx(losses, rel=1e-4)
    for name, tensor in weights.items():
        torch.testing.assert_close(weights_2[name], tensor, atol=2e-3, rtol=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize(("environment", "says"), PARALLELISMS)
def test_two_processes_learn_preferences_as_one_does(tmp_path: Path, environment: Mapping[str, str], says: str) -> None:
    words = "tensor zeros text value return def add user model filled".split()
    rows = [
        {"prompt": f"{words[n % 10]} {n}?", "chosen": "returns a tensor", "rejected": f"user {words[n % 3]}"}
        for n in range(40)
    ]
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    changes: dict[str, Any] = {
        "text": None, "preferences": {"paths": [str(pairs)], "validation_fraction": 0.2},
        "training": {"seq_len": 96, "batch_size": 4, "epochs": 3},
    }  # fmt: skip
    weights, losses = trained(tmp_path, "one", ALONE, **changes)
    weights_2, losses_2 = trained(tmp_path, "two", in_two_processes(), environment, says, **changes)
    assert losses[-1] < losses[0] - 0.01
    assert losses_2 == pytest.approx(losses, abs=1e-4)
    for name, tensor in weights.items():
        torch.testing.assert_close(weights_2[name], tensor, atol=1e-4, rtol=1e-3)


def test_other_text_or_settings_are_refused_on_resume_and_taken_folders_without_a_word(tmp_path: Path) -> None:
    run = train_adapter(make_config(tmp_path))
    with pytest.raises(StorageError, match="holds an expert; use --overwrite"):
        train_adapter(make_config(tmp_path))
    with pytest.raises(ConfigError, match=r"differs from the settings given \(adapter\.rank\)"):
        train_adapter(make_config(tmp_path, adapter={"rank": 5}), resume=True)
    with pytest.raises(ConfigError, match="exclude each other"):
        train_adapter(make_config(tmp_path), resume=True, overwrite=True)
    before = (run.folder / "adapter_model.safetensors").read_bytes()
    train_adapter(make_config(tmp_path), overwrite=True)
    assert (run.folder / "adapter_model.safetensors").read_bytes() == before


def test_an_overwriting_training_that_is_refused_leaves_the_old_one_whole(tmp_path: Path) -> None:
    train_adapter(make_config(tmp_path))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(DataError, match="nowhere"):
        train_adapter(make_config(tmp_path, text={"paths": ["nowhere.txt"]}), overwrite=True)
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path: content for path, content in after.items() if path.suffix != ".lock"} == {
        path: content for path, content in before.items() if path.suffix != ".lock"
    }


def test_a_training_does_not_go_on_with_another_base(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    run = train_adapter(config)
    shutil.rmtree(run.folder)
    network = tiny_llama(vocab_size=300, pad_token_id=None, bos_token_id=None)
    with torch.no_grad():
        network.lm_head.weight.add_(0.01)
    network.save_pretrained(tmp_path / "base")
    with pytest.raises(ConfigError, match="began on another base"):
        train_adapter(config, resume=True)


def test_what_cannot_be_learnt_from_leaves_nothing_behind(tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.touch()
    with pytest.raises(DataError):
        train_adapter(make_config(tmp_path, text={"paths": [str(empty)]}))
    with pytest.raises(ConfigError, match="give one of text"):
        make_config(tmp_path, text=None)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("adapter")]


def test_a_target_that_the_base_lacks_is_refused_before_anything_is_written_or_replaced(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    wrong = config.with_changes(adapter={"rank": 4, "targets": ["q_prj"]})
    with pytest.raises(ConfigError, match="q_prj"):
        train_adapter(wrong)
    assert sorted(place.name for place in tmp_path.iterdir()) == ["base", "texts.jsonl"]
    train_adapter(config)
    before = {place: sha256_of(place) for place in tmp_path.rglob("*") if place.is_file()}
    with pytest.raises(ConfigError, match="q_prj"):
        train_adapter(wrong, overwrite=True)
    assert {place: sha256_of(place) for place in tmp_path.rglob("*") if place.is_file()} == before


def test_a_checkpoint_holds_the_adapter_alone(tmp_path: Path) -> None:
    run = train_adapter(make_config(tmp_path))
    latest = sorted((run.training_folder / "checkpoints").glob("step-*"))[-1]
    names = {name.rpartition(".")[2] for name in load_tensors(latest / "model.safetensors")}
    assert names == {"lora_a", "lora_b"}
    assert np.isfinite(run.fit.tokens_per_second)
