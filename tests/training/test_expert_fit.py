"""Training an expert on a stream of tokens: it learns, it can stop and go on, and it says clearly when it cannot."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from expert_texts import documents, small_tokenizer, stream

from interconnected_ai.config import ExpertTrainingConfig
from interconnected_ai.errors import ConfigError, DataError, NonFiniteLossError, PromptError
from interconnected_ai.experts import ExpertModel, HeldOut, measure
from interconnected_ai.text import Tokenizer
from interconnected_ai.training import ExpertFit, fit_expert
from interconnected_ai.training.checkpoints import CheckpointFolder
from interconnected_ai.training.expert.objective import parameter_groups

QUICK = {
    "epochs": 2, "batch_size": 4, "lr": 5e-3, "warmup_steps": 4, "precision": "float32", "device": "cpu", "monitors": [],
}  # fmt: skip


def config(**changes: object) -> ExpertTrainingConfig:
    return ExpertTrainingConfig.from_mapping({**QUICK, **changes})


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    return small_tokenizer()


def make_expert(words: Tokenizer, **settings: object) -> ExpertModel:
    shape = {"d_model": 32, "n_layers": 2, "n_heads": 2, "max_seq_len": 32, "dropout": 0.1, "norm": "pre", **settings}
    return ExpertModel(words.vocab_size, **shape, generator=torch.Generator().manual_seed(0))  # type: ignore[arg-type]


def train(model: ExpertModel, words: Tokenizer, folder: Path, count: int = 30, *, resume: bool = False,
          validation: bool = True, **changes: object) -> ExpertFit:  # fmt: skip
    held = HeldOut.of(documents(6, seed=9), words) if validation else None
    return fit_expert(model, stream(documents(count), words), held, config(**changes), folder, resume=resume)


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def same(a: ExpertModel, b: ExpertModel) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("settings", [{"norm": "pre"}, {"norm": "post"}, {"tie_weights": True}])
def test_an_expert_learns_a_tiny_text_by_heart(words: Tokenizer, tmp_path: Path, settings: dict[str, object]) -> None:
    model = make_expert(words, dropout=0.0, n_layers=1, **settings)
    text = documents(1, sentences=12)
    before = measure(model, HeldOut.of(text, words))
    settings = {"epochs": 60, "batch_size": 1, "lr": 1e-2, "weight_decay": 0.0, "evaluate_every_steps": 500}
    fit_expert(model, stream(text, words), HeldOut.of(text, words), config(**settings), tmp_path)
    after = measure(model, HeldOut.of(text, words))
    assert before.perplexity > 100
    assert after.perplexity < 1.6
    assert after.bits_per_byte < 0.25 < before.bits_per_byte


def test_a_training_resumed_in_mid_epoch_ends_in_the_same_bits(words: Tokenizer, tmp_path: Path) -> None:
    whole, stopped, resumed = (make_expert(words) for _ in range(3))
    settings = {"checkpoint_every_steps": 3, "accumulation_steps": 2, "evaluate_every_steps": 4}
    train(whole, words, tmp_path / "whole", **settings)
    calls: list[int] = []

    def stop(*_: object) -> None:
        calls.append(1)
        if len(calls) == 35:  # in the second epoch, between two checkpoints
            raise KeyboardInterrupt

    stopped.norm.register_forward_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        train(stopped, words, tmp_path / "stopped", **settings)
    done = CheckpointFolder(tmp_path / "stopped" / "checkpoints").steps()
    assert done
    result = train(resumed, words, tmp_path / "stopped", resume=True, **settings)
    assert same(whole, resumed)
    assert not same(whole, stopped)
    assert result.train_tokens == (result.steps - done[-1]) * 4 * 32
    wanted = [(line["step"], line.get("validation_loss"), line.get("loss/task")) for line in lines(tmp_path / "whole")]
    assert wanted == [
        (line["step"], line.get("validation_loss"), line.get("loss/task")) for line in lines(tmp_path / "stopped")
    ]


def test_resuming_on_other_tokens_is_refused(words: Tokenizer, tmp_path: Path) -> None:
    train(make_expert(words, n_layers=1), words, tmp_path, epochs=1)
    with pytest.raises(DataError, match=r"begun on other tokens \(train: [\d,]+ tokens then, [\d,]+ others now\)"):
        train(make_expert(words, n_layers=1), words, tmp_path, 31, epochs=1, resume=True)
    with pytest.raises(DataError, match=r"\(validation: [\d,]+ tokens then, 0 others now\)"):
        train(make_expert(words, n_layers=1), words, tmp_path, epochs=1, resume=True, validation=False)


def test_accumulated_parts_and_recomputed_blocks_give_the_same_gradients(words: Tokenizer, tmp_path: Path) -> None:
    plain, parts, recomputed = (make_expert(words, dropout=0.0) for _ in range(3))
    train(plain, words, tmp_path / "plain", epochs=1)
    train(parts, words, tmp_path / "parts", epochs=1, accumulation_steps=2)
    train(recomputed, words, tmp_path / "recomputed", epochs=1, gradient_checkpointing=True)
    assert same(plain, recomputed)
    assert not recomputed.gradient_checkpointing
    losses = [line["loss/task"] for line in lines(tmp_path / "plain") if "loss/task" in line]
    assert losses[-1] < losses[0]
    assert [line["loss/task"] for line in lines(tmp_path / "parts") if "loss/task" in line] == pytest.approx(
        losses, rel=1e-4
    )


def test_recomputed_blocks_draw_the_same_dropout_again(words: Tokenizer, tmp_path: Path) -> None:
    plain, recomputed = make_expert(words), make_expert(words)
    train(plain, words, tmp_path / "plain", epochs=1)
    train(recomputed, words, tmp_path / "recomputed", epochs=1, gradient_checkpointing=True)
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(recomputed.state_dict()[name], tensor, atol=1e-5, rtol=1e-4)


def test_the_weights_of_the_lowest_validation_loss_are_kept(words: Tokenizer, tmp_path: Path) -> None:
    model = make_expert(words, dropout=0.0)
    result = train(model, words, tmp_path, count=6, epochs=60, batch_size=2, evaluate_every_steps=5, patience=4)
    losses = {line["step"]: line["validation_loss"] for line in lines(tmp_path) if "validation_loss" in line}
    assert result.stopped_early
    assert result.steps == result.best_step + 4 * 5
    assert losses[result.best_step] == min(losses.values())
    assert result.validation is not None
    assert result.validation.loss == pytest.approx(losses[result.best_step], rel=1e-5)


def test_max_steps_ends_the_training_and_is_evaluated(words: Tokenizer, tmp_path: Path) -> None:
    result = train(make_expert(words), words, tmp_path, max_steps=7)
    assert result.steps == 7
    assert result.best_step == 7
    assert [line["step"] for line in lines(tmp_path) if "perplexity" in line] == [7]


def test_everything_a_person_watches_is_in_the_metrics(words: Tokenizer, tmp_path: Path) -> None:
    train(make_expert(words), words, tmp_path, epochs=1, monitors=["tensorboard"])
    names = {name for line in lines(tmp_path) for name in line}
    assert {
        "loss/task", "gradient_norm", "rate/matrices", "rate/vectors", "tokens_per_second", "validation_loss", "perplexity",
        "bits_per_byte", "epoch",
    } <= names  # fmt: skip
    assert list((tmp_path / "logs").glob("events.out.tfevents.*"))


@pytest.mark.parametrize(("norm", "expected"), [("pre", 0.8 / 32), ("post", 0.13 / 32)])
def test_the_learning_rate_follows_from_width_and_norm(
    words: Tokenizer, tmp_path: Path, norm: str, expected: float
) -> None:
    train(make_expert(words, norm=norm), words, tmp_path, max_steps=11, lr=None, warmup_steps=0)
    assert lines(tmp_path)[0]["rate/matrices"] == pytest.approx(expected)


def test_only_matrices_decay(words: Tokenizer) -> None:
    model = make_expert(words, tie_weights=True)
    matrices, vectors = parameter_groups(model, lr=1e-3, weight_decay=0.1)
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.1, 0.0)
    assert all(p.dim() == 2 for p in matrices["params"])
    assert {p.dim() for p in vectors["params"]} == {1}
    assert sum(p.numel() for group in (matrices, vectors) for p in group["params"]) == model.get_num_params()


def test_a_nan_loss_stops_the_training_names_the_step_and_keeps_the_last_checkpoint(
    words: Tokenizer, tmp_path: Path
) -> None:
    model, calls = make_expert(words), []

    def poison(module: torch.nn.Module, inputs: object, output: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return output * math.nan if len(calls) == 4 else output

    model.norm.register_forward_hook(poison)
    with pytest.raises(NonFiniteLossError, match=r"step 4.*checkpoint of step 2 is intact.*\(lr\)"):
        train(model, words, tmp_path, checkpoint_every_steps=2)
    kept = CheckpointFolder(tmp_path / "checkpoints").latest()
    assert kept is not None
    assert all(torch.isfinite(tensor).all() for tensor in kept.model.values())


def test_what_cannot_be_trained_is_refused(words: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has \d+ tokens, one batch of batch_size=4 blocks of seq_len=32 needs 129"):
        train(make_expert(words), words, tmp_path, count=1)
    with pytest.raises(ConfigError, match="seq_len=64 is more than the model's max_seq_len=32"):
        train(make_expert(words), words, tmp_path, seq_len=64)
    with pytest.raises(PromptError, match=r"the model's vocabulary has 300"):
        fit_expert(
            ExpertModel(300, d_model=32, n_layers=1, n_heads=2, max_seq_len=32),
            np.arange(330, dtype=np.uint16), None, config(), tmp_path,
        )  # fmt: skip
    with pytest.raises(ConfigError, match="multiple of accumulation_steps"):
        config(accumulation_steps=3)
    with pytest.raises(ConfigError, match=r"unknown key 'lrs'.*nearest first: lr,"):
        config(lrs=1e-3)


def test_the_callers_random_state_is_left_alone(words: Tokenizer, tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    model = make_expert(words)
    torch.manual_seed(5)
    train(model, words, tmp_path, max_steps=1)
    assert torch.equal(torch.rand(3), expected)
