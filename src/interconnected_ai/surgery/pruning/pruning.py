"""Pruning a model: rank its experts by some texts, take out or join as many as a share asks for, repair what is left.

From several threads at once: as all operations of a `MoE`, one after the other, and none beside a pass of the model.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from interconnected_ai.errors import ConfigError
from interconnected_ai.surgery.analysis.importance import first_order_scores
from interconnected_ai.surgery.analysis.texts import token_rows, tune
from interconnected_ai.surgery.anatomy.layer import Layer
from interconnected_ai.surgery.learnt_routers import log_routers, routers_of
from interconnected_ai.surgery.model import MoE
from interconnected_ai.surgery.operations.adapting import merge_adapter
from interconnected_ai.surgery.pruning.measuring import Seen, need_settled, see
from interconnected_ai.surgery.pruning.merging import by_similarity, shares_of
from interconnected_ai.surgery.pruning.reconstruction import by_output
from interconnected_ai.surgery.pruning.schedules import Budget, Schedule, by_score, check_share, cut
from interconnected_ai.surgery.settings import need_choice, need_count, need_kind, need_number, need_seed

Method = Literal["reap", "output", "merge", "gradient", "gate", "use", "random"]
Repair = Literal["router", "lora", "experts"]

METHODS: dict[Method, str] = {
    "reap": "the mean over an expert's tokens of weight · |output| (REAP)",
    "output": "how far the layer's output moves without it, one after the other (NAEE, greedy)",
    "merge": "none goes: those nearest in their outputs become one, each by its use (HC-SMoE, aligned)",
    "gradient": "what its absence does to the loss, to first order",
    "gate": "the sum of the weights it gets",
    "use": "how often it is chosen",
    "random": "drawn",
}
_RATES: dict[Repair, float] = {"router": 3e-3, "lora": 2e-3, "experts": 1e-4}
_NAME = "repair"
_MOST_RANK = 1 << 16


@dataclass(frozen=True)
class Ranking:
    """In which order the experts of every layer would go by one method, on some texts; cut at any share.

    chosen: layer → how often each expert was chosen; None where no text was read.
    """

    method: Method
    schedules: dict[int, Schedule]
    chosen: dict[int, Tensor] | None = None


@dataclass(frozen=True)
class Pruning:
    """What was done. removed: layer → experts that went; merged: layer → the groups that became one; all by old numbers."""

    method: Method
    keep: float
    budget: Budget
    removed: dict[int, tuple[int, ...]]
    merged: dict[int, tuple[tuple[int, ...], ...]]
    before: int
    after: int


@dataclass(frozen=True)
class Repaired:
    """A short training afterwards. num_params: that were trained."""

    what: Repair
    losses: tuple[float, ...]
    num_params: int


def rank(
    moe: MoE,
    texts: Sequence[str],
    method: Method = "reap",
    *,
    max_tokens: int = 256,
    batch_size: int = 8,
    sample_tokens: int = 512,
    seed: int = 0,
) -> Ranking:
    """Rank the experts by what they do with these texts; `METHODS` says how each method does it.

    max_tokens: of each text. sample_tokens: of a layer, for "output" and "merge", which run all experts on each. seed: of the
    sample, and of "random". Raises `ConfigError` where experts are closed, warm up, are packed or (gradient) adapted.
    """
    need_choice("method", method, METHODS)
    need_count("batch_size", batch_size)
    need_count("sample_tokens", sample_tokens)
    need_seed(seed)
    with moe.session.changing():  # nobody may edit what is being measured
        need_settled(moe.session)
        if method == "random":
            token_rows(moe, texts, max_tokens)
            return Ranking(method, _drawn(moe, seed))
        if method == "gradient":
            scores = first_order_scores(moe.session, texts, max_tokens=max_tokens, batch_size=min(batch_size, 2))
            return Ranking(method, {layer.number: by_score(layer, scores[layer.number]) for layer in moe.layers})
        seen = see(
            moe.session, texts, max_tokens=max_tokens, batch_size=batch_size, sample_tokens=sample_tokens, seed=seed
        )
        schedules = {layer.number: _schedule(method, layer, seen[layer.number]) for layer in moe.layers}
        return Ranking(method, schedules, {number: each.chosen for number, each in seen.items()})


def prune(
    moe: MoE,
    texts: Sequence[str],
    *,
    keep: float = 0.75,
    method: Method = "reap",
    budget: Budget = "layer",
    max_tokens: int = 256,
    batch_size: int = 8,
    sample_tokens: int = 512,
    seed: int = 0,
) -> Pruning:
    """Leave this share of the experts, the ones worth most on these texts (`rank`); all of it holds or nothing does.

    budget: "layer" leaves the share in every layer, which an ordinary checkpoint can say; "global" leaves more where experts
    are worth more, and only `surgery.open` reads what is saved then. Rules and adapters follow the experts. Raises
    `ConfigError` where top-k or groups need more experts, or a rule or an adapter would lose all of its own.
    """
    check_share(moe.layers, keep, budget)
    found = rank(
        moe, texts, method, max_tokens=max_tokens, batch_size=batch_size, sample_tokens=sample_tokens, seed=seed
    )
    return prune_by(moe, found, keep=keep, budget=budget)


def prune_by(moe: MoE, ranking: Ranking, *, keep: float = 0.75, budget: Budget = "layer") -> Pruning:
    """Leave this share of the experts by a ranking of this very model; see `prune`."""
    need_kind("ranking", ranking, Ranking)
    numbers = {layer.number: layer.num_experts for layer in moe.layers}
    if numbers != {number: each.num_experts for number, each in ranking.schedules.items()}:
        raise ConfigError("the ranking is of another model, or of this one before experts came or went; rank it again")
    moves = cut(moe.layers, ranking.schedules, keep, budget)
    lefts = {number: ranking.schedules[number].after(num_moves) for number, num_moves in moves.items()}
    removed = {number: _gone(left, numbers[number]) for number, left in lefts.items()}
    merged = {number: tuple(each for each in left if len(each) > 1) for number, left in lefts.items()}
    with _all_or_none(moe):
        for number in lefts:
            if removed[number]:
                moe.remove(number, removed[number])
            if merged[number]:
                _merge(moe, number, merged[number], ranking)
    after = sum(layer.num_experts for layer in moe.layers)
    return Pruning(
        ranking.method,
        keep,
        budget,
        {number: gone for number, gone in removed.items() if gone},
        {number: together for number, together in merged.items() if together},
        sum(numbers.values()),
        after,
    )


def repair(
    moe: MoE,
    texts: Sequence[str],
    what: Repair = "lora",
    *,
    steps: int = 100,
    batch_size: int = 8,
    seq_tokens: int = 128,
    learning_rate: float | None = None,
    rank: int = 16,
    balance_weight: float = 0.001,
    seed: int = 0,
) -> Repaired:
    """Train what is left on texts for a short while, so that it makes up for what went.

    The log holds what it learnt: by the routers as one step, by the experts as another; undoing both is the model before.

    what: "router" the routers alone; "lora" low-rank updates of all experts, with the routers, written into the weights at
    the end; "experts" all of the experts' weights, with the routers. learning_rate: None is 3e-3, 2e-3 and 1e-4.
    """
    need_choice("training", what, _RATES)
    need_count("rank", rank, most=_MOST_RANK)
    if learning_rate is not None:
        need_number("learning_rate", learning_rate, above=0, up_to=1e3)
    unlogged = moe.session.unlogged
    required = {parameter: parameter.requires_grad for parameter in moe.model.parameters()}
    with moe.session.changing() as before:
        parameters = _to_train(moe, what, rank, seed)
        routers = routers_of(moe)
        for layer in moe.layers:
            for parameter in layer.router.parameters():
                before.keep(parameter)
        try:
            losses = tune(
                moe, texts, parameters, steps=steps, batch_size=batch_size, seq_tokens=seq_tokens,
                learning_rate=_RATES[what] if learning_rate is None else learning_rate,
                balance_weight=balance_weight, seed=seed,
            )  # fmt: skip
        finally:
            for parameter, was in required.items():
                parameter.requires_grad_(was)
        num_params = sum(parameter.numel() for parameter in parameters)
        log_routers(moe, routers)
        moe.session.unlogged = unlogged
        if _NAME in moe.adapters:
            moe.session.perform(merge_adapter(moe.session, _NAME, comes_back=False))
        return Repaired(what, tuple(losses), num_params)


def _schedule(method: Method, layer: Layer, seen: Seen) -> Schedule:
    if method == "output":
        return by_output(layer, seen)
    if method == "merge":
        return by_similarity(layer, seen)
    scores = {"reap": seen.strength / seen.chosen.clamp_min(1), "gate": seen.gates, "use": seen.chosen}
    return by_score(layer, scores[method])


def _drawn(moe: MoE, seed: int) -> dict[int, Schedule]:
    generator = torch.Generator().manual_seed(seed)
    return {
        layer.number: by_score(layer, torch.rand(layer.num_experts, generator=generator, dtype=torch.float64))
        for layer in moe.layers
    }


def _gone(left: Sequence[Sequence[int]], num_experts: int) -> tuple[int, ...]:
    return tuple(sorted(set(range(num_experts)) - {expert for each in left for expert in each}))


@contextmanager
def _all_or_none(moe: MoE) -> Iterator[None]:
    """Steps that all stand in the log afterwards, or none: taken back one by one, so that memory need not hold all at once."""
    with moe.session.lock:
        before = len(moe.steps)
        try:
            yield
        except BaseException:  # Ctrl-C too leaves the model as it was
            while len(moe.steps) > before:
                moe.undo()
            raise


def _merge(moe: MoE, layer: int, clusters: Sequence[Sequence[int]], ranking: Ranking) -> None:
    """Join each cluster into its most used expert."""
    assert ranking.chosen is not None, "merging reads texts"
    chosen = ranking.chosen[layer]
    ordered = [sorted(cluster, key=lambda expert: -float(chosen[expert])) for cluster in clusters]
    moe.join(layer, ordered, [shares_of(each, chosen) for each in ordered], align=True)


def _to_train(moe: MoE, what: Repair, rank: int, seed: int) -> list[nn.Parameter]:
    if what == "router":
        return moe.train_only("router")
    everyone: Mapping[int, Sequence[int]] = {layer.number: range(layer.num_experts) for layer in moe.layers}
    everyone = {number: tuple(experts) for number, experts in everyone.items()}
    if what == "lora":
        parameters = moe.lora(everyone, rank=rank, name=_NAME, seed=seed).parameters()
    else:
        parameters = moe.train_experts(everyone, name=_NAME).parameters()
    routers = [
        parameter
        for layer in moe.layers
        if layer.top_k > 1 or not layer.family.routing.constant_at_one(layer.router)
        for parameter in layer.router.parameters()
    ]
    for parameter in routers:
        parameter.requires_grad_(True)
    return [*parameters, *routers]
