"""Three domain experts from the documentation on this machine: each must know its own domain best."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from interconnected_ai.bench.ngrams import Trigrams, bits, unigram_nats, xz_bits_per_byte
from interconnected_ai.bench.timing import machine
from interconnected_ai.config import ExpertRunConfig
from interconnected_ai.text import Tokenizer
from interconnected_ai.training import documentation
from interconnected_ai.training.expert import (
    ExpertRun,
    HeldOut,
    TextSplits,
    measure,
    sample_text,
    split_texts,
    train_expert,
    training_folder,
)
from interconnected_ai.training.expert.texts import read_stream
from interconnected_ai.training.runs import write_json_safely

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


def quickstart_config(folder: Path, domain: str) -> ExpertRunConfig:
    """Small and fast: half a million tokens a domain are learnt from, on two cores."""
    return ExpertRunConfig.from_mapping(
        {
            "output": str(folder / domain),
            "text": {"paths": [f"documentation of {domain}"], "validation_fraction": 0.03, "test_fraction": 0.07},
            "model": {
                "vocab_size": 2000, "d_model": 192, "n_layers": 4, "n_heads": 3, "max_seq_len": 256, "dropout": 0.0,
                "norm": "pre", "tie_weights": True,
            },
            "training": {
                "epochs": 3, "batch_size": 8, "lr": 3e-3, "warmup_steps": 50, "weight_decay": 0.1,
                "evaluate_every_steps": 200, "evaluation_tokens": 16_384, "checkpoint_every_steps": 500,
                "samples": [PROMPTS[domain]], "sample_tokens": SAMPLE_TOKENS,
            },
        }
    )  # fmt: skip


def run_expert_quickstart(folder: Path, *, overwrite: bool = False, say: Say = print) -> ExpertQuickstart:
    """Read, train the tokenizer and three experts, measure each on every domain; the experts stand in `folder`.

    Raises `StorageError` when an expert of one of these names stands there and `overwrite` is not asked for.
    """
    started = time.perf_counter()
    configs = {domain: quickstart_config(folder, domain) for domain in DOMAINS}
    say("Reading the documentation of Python, NumPy and PyTorch …")
    texts = {domain: _texts(domain, config) for domain, config in configs.items()}
    say("Training one tokenizer on all three …")
    vocab_size = configs[DOMAINS[0]].model.vocab_size
    tokenizer = Tokenizer.train([text for split in texts.values() for text in split.train], vocab_size)
    runs: dict[str, ExpertRun] = {}
    for domain, config in configs.items():
        num_bytes = sum(len(text.encode()) for text in texts[domain].train)
        say(f"Training the expert {domain} on {num_bytes:,} bytes …")
        runs[domain] = train_expert(config, overwrite=overwrite, texts=texts[domain], tokenizer=tokenizer)
    say("Measuring every expert on every domain …")
    held = {domain: HeldOut.of(split.test, tokenizer) for domain, split in texts.items()}
    table = {name: _known_by(run, held) for name, run in runs.items()}
    result = ExpertQuickstart(
        folder=folder,
        bits_per_byte=table,
        baselines=_baselines(configs, texts, held, tokenizer),
        samples={name: _sample(name, run) for name, run in runs.items()},
        train_seconds={name: run.fit.train_seconds for name, run in runs.items()},
        tokens_per_second={name: run.fit.tokens_per_second for name, run in runs.items()},
        seconds=time.perf_counter() - started,
        num_params=runs[DOMAINS[0]].model.get_num_params(),
        precision=runs[DOMAINS[0]].fit.precision,
    )
    write_json_safely(folder / "quickstart.json", result.to_dict())
    return result


def _texts(domain: str, config: ExpertRunConfig) -> TextSplits:
    documents = [document.text for document in documentation(domain)]
    text = config.text
    return split_texts(documents, validation=text.validation_fraction, test=text.test_fraction, seed=text.split_seed)


def _known_by(run: ExpertRun, held: Mapping[str, HeldOut]) -> dict[str, float]:
    return {domain: measure(run.model, text).bits_per_byte for domain, text in held.items()}


def _sample(name: str, run: ExpertRun) -> str:
    return PROMPTS[name] + sample_text(run.model, run.tokenizer, PROMPTS[name], SAMPLE_TOKENS)


def _baselines(
    configs: Mapping[str, ExpertRunConfig],
    texts: Mapping[str, TextSplits],
    held: Mapping[str, HeldOut],
    tokenizer: Tokenizer,
) -> dict[str, dict[str, float]]:
    out: dict[str, dict[str, float]] = {"unigrams": {}, "trigrams": {}, "xz": {}}
    for domain, config in configs.items():
        learnt = np.array(read_stream(training_folder(config) / "train.npy"))
        asked, num_bytes = held[domain].tokens, held[domain].num_bytes
        out["unigrams"][domain] = bits(unigram_nats(learnt, asked, tokenizer.vocab_size)) / num_bytes
        out["trigrams"][domain] = bits(Trigrams(learnt, tokenizer.vocab_size).nats(asked)) / num_bytes
        out["xz"][domain] = xz_bits_per_byte(texts[domain].train, texts[domain].test)
    return out
