"""Three domain experts from the documentation on this machine: each must know its own domain best."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from interconnected_ai.bench.ngrams import Trigrams, Unigrams, bits, xz_bits_per_byte
from interconnected_ai.bench.timing import machine
from interconnected_ai.config import ExpertRunConfig
from interconnected_ai.data import TEST, TRAIN, Survey, Texts, survey
from interconnected_ai.experts import HeldOut, measure
from interconnected_ai.text import Tokenizer
from interconnected_ai.training import (
    ExpertRun,
    held_out,
    owned,
    refuse_taken_folders,
    sample_text,
    train_expert,
    write_json_safely,
)

DOMAINS = ("stdlib", "numpy", "torch")
PROMPTS = {"stdlib": "Return the", "numpy": "Return the", "torch": "Applies a"}
SAMPLE_TOKENS = 48
Say = Callable[[str], None]


@dataclass(frozen=True)
class ExpertQuickstart:
    """Everything `iai expert quickstart` prints.

    bits_per_byte: expert → domain of the test documents → figure. baselines: method → domain → figure, each taught with
    that domain's training documents. seconds: of everything; train_seconds: of each training alone.
    """

    folder: Path
    bits_per_byte: dict[str, dict[str, float]]
    baselines: dict[str, dict[str, float]]
    samples: dict[str, str]
    train_seconds: dict[str, float]
    tokens_per_second: dict[str, float]
    seconds: float
    num_params: int
    precision: str

    @property
    def own_is_best(self) -> bool:
        """Whether every domain is known best by its own expert."""
        return all(
            min(self.bits_per_byte, key=lambda expert: self.bits_per_byte[expert][domain]) == domain
            for domain in DOMAINS
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "machine": machine(),
            "experts": str(self.folder),
            "own_is_best": self.own_is_best,
            "bits_per_byte": self.bits_per_byte,
            "baselines": self.baselines,
            "samples": self.samples,
            "num_params": self.num_params,
            "precision": self.precision,
            "train_seconds": self.train_seconds,
            "tokens_per_second": self.tokens_per_second,
            "seconds": self.seconds,
        }


def quickstart_config(folder: Path, domain: str, seed: int = 0) -> ExpertRunConfig:
    """Small and fast: a million tokens are read of each domain, which two cores do in about a minute."""
    return ExpertRunConfig.from_mapping(
        {
            "output": str(folder / domain),
            "text": {"paths": [f"docs:{domain}"], "validation_fraction": 0.03, "test_fraction": 0.07},
            "model": {
                "vocab_size": 2000, "d_model": 128, "n_layers": 4, "n_heads": 2, "max_seq_len": 256, "dropout": 0.0,
                "norm": "pre",
            },
            "training": {
                "max_steps": 1000, "batch_size": 4, "lr": 6e-3, "warmup_steps": 50, "weight_decay": 0.1,
                "evaluate_every_steps": 500, "evaluation_tokens": 8_192, "checkpoint_every_steps": 500,
                "samples": [PROMPTS[domain]], "sample_tokens": SAMPLE_TOKENS, "seed": seed,
            },
        }
    )  # fmt: skip


def run_expert_quickstart(
    folder: Path, *, overwrite: bool = False, seed: int = 0, say: Say = print
) -> ExpertQuickstart:
    """Read, train the tokenizer and three experts, measure each on every domain; the experts stand in `folder`.

    Raises `StorageError` when an expert of one of these names stands there and `overwrite` is not asked for, `BusyError` while
    another quickstart is at work in `folder`.
    """
    with owned(folder):
        return _run_quickstart(folder, overwrite, seed, say)


def _run_quickstart(folder: Path, overwrite: bool, seed: int, say: Say) -> ExpertQuickstart:
    started = time.perf_counter()
    configs = {domain: quickstart_config(folder, domain, seed) for domain in DOMAINS}
    for config in configs.values():
        refuse_taken_folders(config, overwrite=overwrite)
    say("Reading the documentation of Python, NumPy and PyTorch …")
    texts = {domain: survey(Texts.of_config(config.text)) for domain, config in configs.items()}
    say("Training one tokenizer on all three …")
    learnt = [text for found in texts.values() for text in found.training_texts()]
    tokenizer = Tokenizer.train(learnt, configs[DOMAINS[0]].model.vocab_size)
    runs: dict[str, ExpertRun] = {}
    for domain, config in configs.items():
        say(f"Training the expert {domain} on {texts[domain].report.sides[0].num_bytes:,} bytes …")
        runs[domain] = train_expert(config, overwrite=overwrite, surveyed=texts[domain], tokenizer=tokenizer)
    say("Measuring every expert on every domain …")
    held = {domain: _held_out(run) for domain, run in runs.items()}
    result = ExpertQuickstart(
        folder=folder,
        bits_per_byte={
            name: {domain: measure(run.model, text).bits_per_byte for domain, text in held.items()}
            for name, run in runs.items()
        },
        baselines=_baselines(texts, runs, held),
        samples={
            name: PROMPTS[name] + sample_text(run.model, tokenizer, PROMPTS[name], SAMPLE_TOKENS)
            for name, run in runs.items()
        },
        train_seconds={name: run.fit.train_seconds for name, run in runs.items()},
        tokens_per_second={name: run.fit.tokens_per_second for name, run in runs.items()},
        seconds=time.perf_counter() - started,
        num_params=runs[DOMAINS[0]].model.get_num_params(),
        precision=runs[DOMAINS[0]].fit.precision,
    )
    write_json_safely(folder / "quickstart.json", result.to_dict())
    return result


def _held_out(run: ExpertRun) -> HeldOut:
    found = held_out(run.corpus.test)
    assert found is not None, "the quickstart's configs hold some documents out"
    return found


def _baselines(
    texts: Mapping[str, Survey], runs: Mapping[str, ExpertRun], held: Mapping[str, HeldOut]
) -> dict[str, dict[str, float]]:
    """Each taught with the domain's training documents, and asked its test documents as the experts are."""
    out: dict[str, dict[str, float]] = {"unigrams": {}, "trigrams": {}, "xz": {}}
    for domain, run in runs.items():
        learnt, asked, vocab_size = run.corpus.train.tokens, held[domain], run.tokenizer.vocab_size
        rows = [np.append(asked.start_id, document) for document in asked.documents]
        single, triple = Unigrams(learnt, vocab_size), Trigrams(learnt, vocab_size)
        out["unigrams"][domain] = bits(sum(map(single.nats, rows))) / asked.num_bytes
        out["trigrams"][domain] = bits(sum(map(triple.nats, rows))) / asked.num_bytes
        sides: dict[int, list[str]] = {TRAIN: [], TEST: []}
        for side, _, document in texts[domain].documents():
            if side in sides:
                sides[side].append(document.text)
        out["xz"][domain] = xz_bits_per_byte(sides[TRAIN], sides[TEST])
    return out
