"""What LoRA on the suggested quarter of the experts gains, beside other quarters and beside all, each at its own best rate."""

import gc
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from interconnected_ai.bench.surgery_quickstart import BATCH, HELD_OUT, SEEN, SEQ_TOKENS, UNSEEN, library_texts
from interconnected_ai.surgery import MoE, perplexity, tune
from interconnected_ai.surgery import open as open_moe

RANK, SHARE = 16, 0.25
Choice = Mapping[int, Sequence[int]]


@dataclass(frozen=True)
class Course:
    """How long every contestant learns, and on what it is measured.

    rates: tried for each, the best on validation texts counts. most_texts: documents at all, most_measured: of the held-out
    ones; None for every one. num_asked: texts that the suggestions look at. num_draws: random quarters.
    """

    steps: int = 200
    rates: tuple[float, ...] = (1e-2, 2e-2)  # 5e-3 and 4e-2 were worse for the adapters on all: docs/log.md
    batch_size: int = BATCH
    seq_tokens: int = SEQ_TOKENS
    most_texts: int | None = None
    most_measured: int | None = None
    num_asked: int = 200
    num_draws: int = 2


COURSE = Course()
# A step of a mixture of pretrained models passes hundreds of millions of parameters, and they can speak already.
SHORT_COURSE = Course(
    steps=40, rates=(2e-3,), batch_size=4, most_texts=300, most_measured=24, num_asked=24, num_draws=1
)  # fmt: skip


@dataclass(frozen=True)
class Gain:
    """What LoRA on some experts gained, at the learning rate that was best on validation texts.

    nats, validation_nats: per token, on held-out and on validation texts. coverage: the part of all (token, choice) pairs of
    the domain that falls on these experts.
    """

    nats: float
    validation_nats: float
    learning_rate: float
    num_params: int
    coverage: float


def bench_suggestion(
    model: Path, *, library: str = UNSEEN, course: Course = COURSE, seed: int = 0, num_seeds: int = 1
) -> dict[str, Any]:
    """Gains of LoRA on a quarter of the experts over that on all, for a library; default one that the model never saw.

    A fifth of its documents is held out (of a library the model learnt from, those that it did not see), a tenth of the
    others chooses the rates. num_seeds: as many comparisons, each with its own texts held out, adapters, order of texts and
    random quarters; the shares are their means, and `seeds` holds each comparison's.
    """
    held_out = HELD_OUT if library in SEEN else 0.2
    found = []
    for one in range(seed, seed + num_seeds):
        texts = library_texts([library], most=course.most_texts, seed=one, held_out=held_out, most_measured=None)[
            library
        ]
        number, held = max(1, len(texts.learnt) // 10), texts.held[: course.most_measured]
        validation = texts.learnt[:number][: course.most_measured]
        found.append(compare(model, texts.learnt[number:], validation, held, course=course, seed=one))
    shares = [key for key in found[0] if key.endswith("_share")]
    return {key: mean(each[key] for each in found) for key in shares} | {"gains": found[0]["gains"], "seeds": found}


def compare(
    model: Path,
    learnt: Sequence[str],
    validation: Sequence[str],
    held: Sequence[str],
    *,
    course: Course = COURSE,
    seed: int = 0,
) -> dict[str, Any]:
    """The quarter by gradient, the quarter most used, random quarters, and all: the same texts, steps and rates for each."""
    moe = open_moe(model)
    parts = [validation, held]
    before = [perplexity(moe, part, max_tokens=course.seq_tokens) for part in parts]
    asked = learnt[: course.num_asked]
    shares = dict(zip((layer.number for layer in moe.layers), moe.usage(asked).share("texts"), strict=True))

    def gain(experts: Choice) -> Gain:
        tried = []
        for rate in course.rates:
            moe = open_moe(model)
            adapter = moe.lora(experts, rank=RANK, seed=seed)
            tune(
                moe, learnt, adapter.parameters(), steps=course.steps, batch_size=course.batch_size,
                seq_tokens=course.seq_tokens, learning_rate=rate, seed=seed,
            )  # fmt: skip
            after = [perplexity(moe, part, max_tokens=course.seq_tokens) for part in parts]
            chosen, last = (math.log(b / a) for b, a in zip(before, after, strict=True))
            covered = sum(float(shares[layer][list(e)].sum()) for layer, e in experts.items()) / len(shares)
            tried.append(Gain(last, chosen, rate, adapter.num_params, covered))
            del moe, adapter
            gc.collect()  # a model and its layers know each other: without this five of them are in memory at once
        return max(tried, key=lambda each: each.validation_nats)

    gains = {name: gain(experts) for name, experts in choices(moe, asked, course, seed).items()}
    whole, drawn = gains["all"], [each for name, each in gains.items() if name.startswith("random")]
    return {
        "suggested_gain_share": gains["suggested"].nats / whole.nats,
        "used_gain_share": gains["used"].nats / whole.nats,
        "random_gain_share": mean(each.nats for each in drawn) / whole.nats,
        "suggested_params_share": gains["suggested"].num_params / whole.num_params,
        "gains": {name: vars(each) for name, each in gains.items()},
    }


def choices(moe: MoE, texts: Sequence[str], course: Course = COURSE, seed: int = 0) -> dict[str, Choice]:
    """The contestants: name → layer → experts, as many in every quarter."""
    numbers = {layer.number: layer.num_experts for layer in moe.layers}
    generator = torch.Generator().manual_seed(seed)
    drawn = [
        {
            layer: torch.randperm(size, generator=generator)[: round(SHARE * size)].tolist()
            for layer, size in numbers.items()
        }
        for _ in range(course.num_draws)
    ]
    return {
        "suggested": moe.suggest(texts, SHARE, score="gradient", over="model", batch_size=2 * course.batch_size),
        "used": moe.suggest(texts, SHARE),
        **{f"random {number}": experts for number, experts in enumerate(drawn)},
        "all": {layer: tuple(range(size)) for layer, size in numbers.items()},
    }
