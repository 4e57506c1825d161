"""Post-norm against pre-norm: the same text, steps, warm-up and seeds, each at its own best learning rate."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from interconnected_ai.bench.timing import machine
from interconnected_ai.config import CorpusConfig, ExpertConfig, ExpertTrainingConfig
from interconnected_ai.data import Corpus, Texts, survey
from interconnected_ai.errors import NonFiniteLossError
from interconnected_ai.experts import ExpertModel, HeldOut
from interconnected_ai.text import Tokenizer
from interconnected_ai.training import fit_expert, held_out

SHAPE = {"d_model": 128, "n_layers": 4, "n_heads": 2, "max_seq_len": 128}
VOCAB_SIZE, BATCH_SIZE, WARM_UP = 2_000, 16, 20


@dataclass(frozen=True)
class Trial:
    """One training. bits_per_byte: of the validation documents after the last step; None when the loss became no number."""

    norm: str
    lr: float
    seed: int
    bits_per_byte: float | None


def bench_norm(
    *,
    library: str = "numpy",
    steps: int = 200,
    lrs: Sequence[float] = (5e-4, 1e-3, 3e-3, 6e-3),
    seeds: Sequence[int] = (0, 1),
    dropout: float = 0.0,
    say: Any = print,
) -> dict[str, Any]:
    """Train every combination and compare the best learning rate of each norm, by its mean over the seeds."""
    read = survey(Texts.of_config(CorpusConfig(paths=(f"docs:{library}",), test_fraction=0.0)))
    tokenizer = Tokenizer.train(read.training_texts(), VOCAB_SIZE)
    trials = []
    with TemporaryDirectory() as folder:
        corpus = Corpus.prepare(read.texts, tokenizer, folder, surveyed=read)
        held = held_out(corpus.validation)
        for norm in ("post", "pre"):
            for lr in lrs:
                for seed in seeds:
                    shape = {**SHAPE, "vocab_size": tokenizer.vocab_size, "norm": norm, "dropout": dropout}
                    found = _train(
                        shape, corpus.train.tokens, held, lr=lr, seed=seed, steps=steps, folder=Path(folder) / "run"
                    )
                    trials.append(Trial(norm, lr, seed, found))
                    say(f"{norm}-norm, lr {lr:g}, seed {seed}: {_spoken(found)} bits per byte")
    return _compared(trials, lrs) | {"machine": machine(), "shape": SHAPE, "steps": steps, "library": library}


def _train(
    shape: dict[str, Any], tokens: np.ndarray, held: HeldOut | None, *, lr: float, seed: int, steps: int, folder: Path
) -> float | None:
    config = ExpertTrainingConfig(
        epochs=1_000, max_steps=steps, batch_size=BATCH_SIZE, lr=lr, seed=seed, warmup_steps=WARM_UP, precision="float32",
        evaluate_every_steps=steps, monitors=(), checkpoint_every_steps=10**9,
    )  # fmt: skip
    model = ExpertModel.from_config(ExpertConfig.from_mapping(shape), generator=torch.Generator().manual_seed(seed))
    try:
        fitted = fit_expert(model, tokens, held, config, folder)
    except NonFiniteLossError:
        return None
    assert fitted.validation is not None, "validation documents were given"
    return fitted.validation.bits_per_byte


def _compared(trials: Sequence[Trial], lrs: Sequence[float]) -> dict[str, Any]:
    means = {
        norm: {lr: _mean([t.bits_per_byte for t in trials if (t.norm, t.lr) == (norm, lr)]) for lr in lrs}
        for norm in ("post", "pre")
    }
    best = {norm: min((m for m in by_lr.values() if m is not None), default=None) for norm, by_lr in means.items()}
    post, pre = best["post"], best["pre"]
    return {
        "trials": [asdict(trial) for trial in trials],
        "rows": [
            {"norm": norm, "lr": lr, "bits_per_byte": m} for norm, by_lr in means.items() for lr, m in by_lr.items()
        ],
        "post_bits_per_byte": post,
        "pre_bits_per_byte": pre,
        "pre_over_post": pre / post if pre and post else None,
    }


def _mean(found: Sequence[float | None]) -> float | None:
    """Of all seeds; None when one of them failed."""
    whole = [figure for figure in found if figure is not None]
    return mean(whole) if len(whole) == len(found) else None


def _spoken(found: float | None) -> str:
    return "no" if found is None else f"{found:.4f}"
