"""What half the experts of the quickstart's mixture cost: methods beside random on validation texts, the best on test texts.

The best method, random experts and the whole model are repaired alike, so that what a training teaches is not taken for what
it repairs.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interconnected_ai.bench.base_mixture import domain_texts
from interconnected_ai.bench.surgery_quickstart import SEEN, Texts, library_texts
from interconnected_ai.storage import read_json
from interconnected_ai.surgery import (
    MoE,
    Training,
    perplexity,
    prune_by,
    pruning_table,
    rank_experts,
    repair,
)
from interconnected_ai.surgery import open as open_moe

Say = Callable[[str], None]
METHODS = ("reap", "output", "merge", "gradient", "use", "random")


@dataclass(frozen=True)
class PruningCourse:
    """How much is read and trained. num_asked, num_validation, num_test: texts of each library that rank, choose and measure.

    most_texts: documents of each library at all; sample_tokens: see `surgery.rank_experts`.
    """

    keep: float = 0.5
    methods: tuple[Any, ...] = METHODS
    random_seeds: int = 3
    num_asked: int = 24
    num_validation: int = 24
    num_test: int = 24
    seq_tokens: int = 128
    batch_size: int = 8
    sample_tokens: int = 512
    training: Training = field(default_factory=Training)
    most_texts: int | None = None


PRUNING_COURSE = PruningCourse()
# A step of a mixture of pretrained models passes hundreds of millions of parameters.
SHORT_PRUNING_COURSE = PruningCourse(
    methods=("reap", "output", "merge", "random"),
    random_seeds=1,
    num_asked=6,
    num_validation=6,
    num_test=12,
    batch_size=4,
    sample_tokens=256,
    training=Training("lora", steps=24, batch_size=4, learning_rate=1e-3),
    most_texts=300,
)


def bench_pruning(
    model: Path, *, course: PruningCourse = PRUNING_COURSE, seed: int = 0, say: Say = lambda sentence: None
) -> dict[str, Any]:
    """Perplexity over the whole model's with a share of the experts, after the repair, on texts of the libraries it learnt.

    model: the folder `base` of `iai surgery quickstart`. Documents that rank, validate and measure are different ones, and
    none of those that measure was learnt from.
    """
    texts = _texts(model, course.most_texts, seed)
    asked, validation, test, learnt = _parts(texts, course)
    reading: dict[str, Any] = {"max_tokens": course.seq_tokens, "batch_size": course.batch_size}

    def opened() -> MoE:
        return open_moe(model)

    rows = pruning_table(
        opened, asked, validation, methods=course.methods, shares=(course.keep,), random_seeds=course.random_seeds,
        sample_tokens=course.sample_tokens, seed=seed, say=say, **reading,
    )  # fmt: skip
    best = min((row for row in rows if row.method not in ("whole", "random")), key=lambda row: row.perplexity)

    def measured(method: str) -> dict[str, float]:
        moe = opened()
        if method != "whole":
            ranking = rank_experts(moe, asked, method, sample_tokens=course.sample_tokens, seed=seed, **reading)  # type: ignore[arg-type]
            prune_by(moe, ranking, keep=course.keep)
        before = perplexity(moe, test, **reading)
        repair(moe, learnt, seed=seed, **vars(course.training))
        after = perplexity(moe, test, **reading)
        say(f"{method}: {before:.2f} on test texts, {after:.2f} after the repair")
        return {"before": before, "repaired": after}

    tested = {method: measured(method) for method in dict.fromkeys(("whole", best.method, "random"))}
    whole = tested["whole"]
    return {
        "pruned_half_perplexity": tested[best.method]["repaired"] / whole["before"],
        "pruned_half_before_repair": tested[best.method]["before"] / whole["before"],
        "pruned_half_over_whole_trained": tested[best.method]["repaired"] / whole["repaired"],
        "random_half_perplexity": tested["random"]["repaired"] / whole["before"],
        "pruning_method": best.method,
        "pruning_validation": [vars(row) for row in rows],
        "pruning_test": tested,
    }


def _texts(model: Path, most: int | None, seed: int) -> dict[str, Texts]:
    """Documents on the sides that the model's makers had them on."""
    told = model.parent / "quickstart.json"
    of_base = told.is_file() and read_json(told).get("of_base") is not None
    found = domain_texts(most=most, seed=seed) if of_base else library_texts(SEEN, most=most, seed=seed)
    return {library: found[library] for library in SEEN}


def _parts(texts: dict[str, Texts], course: PruningCourse) -> tuple[list[str], list[str], list[str], list[str]]:
    """Texts that rank, validate, measure and teach; of every library alike."""
    asked, validation, test, learnt = [], [], [], []
    for some in texts.values():
        first, second = course.num_asked, course.num_asked + course.num_validation
        asked += some.learnt[:first]
        validation += some.learnt[first:second]
        learnt += some.learnt[second:]
        test += some.held[: course.num_test]
    return asked, validation, test, learnt
