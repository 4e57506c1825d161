"""Three adapters on one pretrained base from the documentation on this machine, beside the base alone and experts from nothing.

Every document that is measured on was held out of all trainings; each expert reads the same ones.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from interconnected_ai.bench.expert_quickstart import DOMAINS, quickstart_config
from interconnected_ai.bench.timing import machine
from interconnected_ai.config import AdapterRunConfig, ExpertRunConfig, GenerationConfig
from interconnected_ai.data import TEST, Survey, Texts, TokenSide, survey
from interconnected_ai.experts import HeldOut, SharedBase, find_base, measure
from interconnected_ai.text import TextTokenizer
from interconnected_ai.training import (
    AdaptedNetwork,
    AdapterRun,
    DocumentPieces,
    ExpertRun,
    base_tokenizer,
    foretell,
    owned,
    refuse_taken_adapter,
    refuse_taken_folders,
    train_adapter,
    train_expert,
    write_json_safely,
)
from interconnected_ai.types import ChatMessage

BLOCK = 256  # tokens of a step: as many tokens in twice the steps teach more
STEPS = 152  # 39,000 tokens of each domain
WINDOW = 512  # tokens that a document is measured in
TEST_BYTES = 16_000  # of each domain that are measured on: four bytes a token
ANSWER_TOKENS = 64
QUESTIONS = {
    "stdlib": "What does os.path.join do?",
    "numpy": "What does numpy.zeros return?",
    "torch": "What does torch.nn.Linear do?",
}
Say = Callable[[str], None]


@dataclass(frozen=True)
class AdapterQuickstart:
    """Everything `iai expert quickstart --base` prints.

    bits_per_byte: adapter → domain of the test documents → figure. alone: domain → the base's own. scratch: domain → that of an
    expert trained from nothing on that domain, for as long as its adapter. seconds: of everything; adapter_seconds: of the
    three adapters, from reading the text to the folder.
    """

    folder: Path
    base: str
    bits_per_byte: dict[str, dict[str, float]]
    alone: dict[str, float]
    scratch: dict[str, float]
    answers: dict[str, str]
    train_seconds: dict[str, float]
    tokens_per_second: dict[str, float]
    adapter_seconds: float
    seconds: float
    num_params: int
    precision: str

    @property
    def own_is_best(self) -> bool:
        """Whether every domain is known best by its own adapter."""
        found = self.bits_per_byte
        return all(min(found, key=lambda name: found[name][domain]) == domain for domain in DOMAINS)

    @property
    def over_base(self) -> float:
        """Bits per byte of the adapters on their own domains over the base's, the mean of the three."""
        return float(np.mean([self.bits_per_byte[domain][domain] / self.alone[domain] for domain in DOMAINS]))

    @property
    def over_scratch(self) -> float:
        """The same over the experts from nothing."""
        found = [self.bits_per_byte[domain][domain] / bits for domain, bits in self.scratch.items()]
        return float(np.mean(found)) if found else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "machine": machine(),
            "adapters": str(self.folder),
            "base": self.base,
            "own_is_best": self.own_is_best,
            "adapted_over_base_bpb": self.over_base,
            "adapted_over_scratch_bpb": self.over_scratch if self.scratch else None,
            "bits_per_byte": self.bits_per_byte,
            "alone": self.alone,
            "scratch": self.scratch,
            "answers": self.answers,
            "num_params": self.num_params,
            "precision": self.precision,
            "train_seconds": self.train_seconds,
            "tokens_per_second": self.tokens_per_second,
            "adapter_seconds": self.adapter_seconds,
            "seconds": self.seconds,
        }


def adapter_config(folder: Path, base: str, domain: str, *, seed: int = 0, steps: int = STEPS) -> AdapterRunConfig:
    """Few tokens in many small steps; the splits are those of `quickstart_config`."""
    return AdapterRunConfig.from_mapping(
        {
            "output": str(folder / domain),
            "base": base,
            "text": {"paths": [f"docs:{domain}"], "validation_fraction": 0.03, "test_fraction": 0.07},
            "adapter": {"rank": 16},
            "training": {
                "max_steps": steps, "batch_size": 1, "seq_len": BLOCK, "lr": 2e-3, "warmup_steps": 16,
                "evaluate_every_steps": max(1, steps), "evaluation_tokens": 2_048, "test_tokens": 4_096,
                "checkpoint_every_steps": 50, "seed": seed,
            },
        }
    )  # fmt: skip


def run_adapter_quickstart(
    folder: Path,
    base: str,
    *,
    overwrite: bool = False,
    seed: int = 0,
    steps: int = STEPS,
    scratch: bool = True,
    say: Say = print,
) -> AdapterQuickstart:
    """Read, train three adapters, and as long three experts from nothing; measure each, and ask each adapter something.

    The adapters stand in `folder`, the experts from nothing in its folder from-nothing. steps: of each adapter. scratch:
    whether there are experts from nothing. Raises as `run_expert_quickstart` does, and before anything is read or written what
    `find_base` raises.
    """
    find_base(base)
    with owned(folder):
        return _run(folder, base, overwrite, seed, steps, scratch, say)


def _run(folder: Path, base: str, overwrite: bool, seed: int, steps: int, scratch: bool, say: Say) -> AdapterQuickstart:
    started = time.perf_counter()
    configs = {domain: adapter_config(folder, base, domain, seed=seed, steps=steps) for domain in DOMAINS}
    for config in configs.values():
        refuse_taken_adapter(config, overwrite=overwrite)
    others = {domain: quickstart_config(folder / "from-nothing", domain, seed) for domain in DOMAINS if scratch}
    for other in others.values():
        refuse_taken_folders(other, overwrite=overwrite)
    say("Reading the documentation of Python, NumPy and PyTorch …")
    texts = {domain: survey(Texts.of_config(config.text)) for domain, config in configs.items() if config.text}
    held = {domain: _held_out(found) for domain, found in texts.items()}
    runs: dict[str, AdapterRun] = {}
    for domain, config in configs.items():
        say(f"Adapting {base} to {domain}: {steps} steps of {BLOCK} tokens …")
        runs[domain] = train_adapter(config, overwrite=overwrite, surveyed=texts[domain])
    adapter_seconds = time.perf_counter() - started
    say("Measuring every adapter on every domain, and the base alone …")
    models = {domain: run.model for domain, run in runs.items() if run.model is not None}
    alone, found = _bits_per_byte(models, base_tokenizer(base), held)
    answers = _answers(base, folder, say)
    from_nothing = {
        domain: _from_nothing(config, runs[domain], texts[domain], held[domain], overwrite, say)
        for domain, config in others.items()
    }
    result = AdapterQuickstart(
        folder=folder,
        base=base,
        bits_per_byte=found,
        alone=alone,
        scratch=from_nothing,
        answers=answers,
        train_seconds={name: run.fit.train_seconds for name, run in runs.items()},
        tokens_per_second={name: run.fit.tokens_per_second for name, run in runs.items()},
        adapter_seconds=adapter_seconds,
        seconds=time.perf_counter() - started,
        num_params=runs[DOMAINS[0]].num_params,
        precision=runs[DOMAINS[0]].fit.precision,
    )
    write_json_safely(folder / "quickstart.json", result.to_dict())
    return result


def _held_out(found: Survey) -> list[str]:
    """Random test documents of some `TEST_BYTES` in all."""
    texts = [document.text for side, _, document in found.documents() if side == TEST]
    order = np.random.default_rng(0).permutation(len(texts))
    sizes = np.cumsum([len(texts[number].encode()) for number in order])
    return [texts[number] for number in order[: max(1, int(np.searchsorted(sizes, TEST_BYTES)))]]


def _bits_per_byte(
    models: Mapping[str, AdaptedNetwork], words: TextTokenizer, held: Mapping[str, list[str]]
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """The base's own by domain, and each adapter's."""
    examples = {domain: _pieces(texts, words) for domain, texts in held.items()}

    def measured(model: AdaptedNetwork) -> dict[str, float]:
        found = {domain: foretell(model, pieces, WINDOW).bits_per_byte for domain, pieces in examples.items()}
        return {domain: bits for domain, bits in found.items() if bits is not None}

    first = next(iter(models.values()))
    with first.without_adapter():
        alone = measured(first)
    return alone, {name: measured(model) for name, model in models.items()}


def _pieces(texts: list[str], words: TextTokenizer) -> DocumentPieces:
    tokens, offsets = [words.end_id], []
    for ids in words.encode_batch(texts):
        offsets.append(len(tokens))
        tokens += [*ids, words.end_id]
    side = TokenSide(np.array(tokens), np.array(offsets), sum(len(text.encode()) for text in texts))
    return DocumentPieces(side, WINDOW, words.start_id, ends=False)


def _from_nothing(
    config: ExpertRunConfig, run: AdapterRun, found: Survey, held: list[str], overwrite: bool, say: Say
) -> float:
    """Bits per byte of an expert from nothing that was trained for as long."""
    minutes = run.fit.train_seconds / 60
    say(f"Training {config.output} from nothing for the same {minutes:.1f} minutes …")
    expert: ExpertRun = train_expert(config, overwrite=overwrite, minutes=minutes, surveyed=found)
    return measure(expert.model, HeldOut.of(held, expert.tokenizer)).bits_per_byte


def _answers(base: str, folder: Path, say: Say) -> dict[str, str]:
    """One turn of a chat with each adapter."""
    say("Asking each of them …")
    settings = GenerationConfig(max_new_tokens=ANSWER_TOKENS, temperature=0.0)
    with SharedBase.open(base) as shared:
        for domain in DOMAINS:
            shared.add(domain, folder / domain)
        return {
            domain: str(shared.stream_chat([ChatMessage("user", QUESTIONS[domain])], settings, adapter=domain).result())
            for domain in DOMAINS
        }
