"""What pruning costs, method by method and share by share: perplexity on held-out texts, beside random and the whole model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from interconnected_ai.surgery.analysis.texts import perplexity
from interconnected_ai.surgery.model import MoE
from interconnected_ai.surgery.pruning.pruning import METHODS, Method, Repair, prune_by, rank, repair
from interconnected_ai.surgery.pruning.schedules import Budget, check_share
from interconnected_ai.surgery.settings import need_choice, need_count, need_kind, need_list, need_number, need_seed


@dataclass(frozen=True)
class Training:
    """The short training after pruning; see `repair`."""

    what: Repair = "lora"
    steps: int = 100
    batch_size: int = 8
    seq_tokens: int = 128
    learning_rate: float | None = None
    rank: int = 16


@dataclass(frozen=True)
class PruningRow:
    """One line: perplexity right after pruning, and after the training (None without). method: "whole" for keep = 1.

    seed: of a random ranking, 0 elsewhere.
    """

    method: str
    keep: float
    seed: int
    num_params: int
    perplexity: float
    repaired: float | None = None


def pruning_table(
    opened: Callable[[], MoE],
    texts: Sequence[str],
    held: Sequence[str],
    *,
    methods: Sequence[Method] = tuple(METHODS),
    shares: Sequence[float] = (0.75, 0.5),
    budget: Budget = "layer",
    random_seeds: int = 3,
    training: Training | None = None,
    learnt: Sequence[str] | None = None,
    top_k: int | None = None,
    max_tokens: int = 256,
    batch_size: int = 8,
    sample_tokens: int = 512,
    seed: int = 0,
    say: Callable[[str], None] = lambda sentence: None,
) -> list[PruningRow]:
    """Perplexity on `held` for every method and share, the whole model's first; each contestant is pruned from a fresh copy.

    opened: gives the model anew. texts: rank the experts. learnt: what the training reads, None is `texts`; the whole model is
    trained as long, so that what the texts teach is not taken for what the training repairs. random_seeds: rankings of the
    method "random". top_k: set before all else. The other arguments are those of `rank` and `prune`.
    """
    for method in need_list("methods", methods):
        need_choice("method", method, METHODS)
    for share in need_list("shares", shares):
        need_number("shares", share, above=0, up_to=1)
    need_count("random_seeds", random_seeds)
    need_seed(seed)
    if training is not None:
        need_kind("training", training, Training)
    reading: dict[str, Any] = {"max_tokens": max_tokens, "batch_size": batch_size}
    taught = texts if learnt is None else learnt

    def fresh() -> MoE:
        moe = opened()
        if top_k is not None:
            moe.set_top_k(top_k)
        return moe

    def row(moe: MoE, method: str, keep: float, one: int) -> PruningRow:
        size, before = moe.sizes().num_params, perplexity(moe, held, **reading)
        after = None
        if training is not None:
            repair(moe, taught, seed=seed, **vars(training))
            after = perplexity(moe, held, **reading)
        told = "" if after is None else f", {after:.2f} after training"
        say(f"{method}, {keep:.0%} kept{f', seed {one}' if method == 'random' else ''}: {before:.2f}{told}")
        return PruningRow(method, keep, one, size, before, after)

    first = fresh()
    for share in shares:
        check_share(first.layers, share, budget)
    rows = [row(first, "whole", 1.0, 0)]
    for method in methods:
        for one in range(seed, seed + random_seeds) if method == "random" else (seed,):
            ranking = rank(fresh(), texts, method, sample_tokens=sample_tokens, seed=one, **reading)
            for keep in shares:
                moe = fresh()
                prune_by(moe, ranking, keep=keep, budget=budget)
                rows.append(row(moe, method, keep, one))
    return rows
