"""Illnesses of the token routers: experts that get too little, and a balance loss that says so."""

from typing import Any

from interconnected_ai.doctor import thresholds as limit
from interconnected_ai.doctor.history import History
from interconnected_ai.doctor.illness import Illness, Look
from interconnected_ai.doctor.settings import listed, lower_rates, more_balance, raised_balance


def _unbalanced(history: History) -> Illness | None:
    late = history.late("loss/balance")
    config, weight = history.config.system, history.config.training.balance_loss_weight
    if not len(late) or not history.layers or config.top_k == config.num_experts:
        return None
    worst = config.num_experts / config.top_k
    way = (late.median - 1.0) / (worst - 1.0)
    if way <= limit.HIGH_BALANCE.value or 1.0 - history.loss_left >= limit.NOT_FALLING.value:
        return None
    raised = raised_balance(weight)
    changes: dict[str, Any] = {"training.balance_loss_weight": raised}
    remedy = f"raise it as the document says, {weight:g} → {raised:g}; beyond 0.1 it drowns the task"
    if raised <= weight:
        changes = lower_rates(history)
        remedy = f"the weight is {weight:g} already and drowns the task; lower the rates instead: {listed(changes)}"
    return Illness(
        "balance loss high, loss not falling",
        f"balance loss {late.median:.2f} over {late.span} (1.00 is even use, {worst:.2f} the worst); "
        f"loss {history.late('loss/task').median:.3g} at the end, guessing costs {history.guess_loss:.3g}",
        "raise AUX_LOSS_WEIGHT",
        remedy,
        changes,
    )


def _collapse(history: History) -> Illness | None:
    config = history.config.system
    if config.top_k >= config.num_experts:
        return None
    fair = config.top_k / config.num_experts
    told = []
    for layer in history.layers:
        most = sorted(history.shares(layer), reverse=True)[: config.top_k]
        if (sum(most) - fair) / (1 - fair) > limit.COLLAPSE.value:
            told.append(
                f"layer {layer}: {config.top_k} of {config.num_experts} experts get {sum(most):.0%} of the tokens"
            )
    if not told:
        return None
    changes = more_balance(history)
    return Illness(
        "routing collapse",
        f"{'; '.join(told)} ({history.late_span}; even use would be {fair:.0%})",
        None,
        f"make the router spread the tokens: {listed(changes)}; train from the start, a collapsed router hardly recovers",
        changes,
    )


def _dead_experts(history: History) -> Illness | None:
    told = []
    for layer in history.layers:
        dead = [expert for expert, share in enumerate(history.shares(layer)) if share == 0]
        told += [f"layer {layer}: expert {', '.join(map(str, dead))}"] if dead else []
    if not told:
        return None
    changes = more_balance(history)
    return Illness(
        "dead expert",
        f"{'; '.join(told)} got no token over {history.late_span}",
        None,
        f"the weights of an expert without tokens get no gradient, it stays dead: {listed(changes)}, and train from the start",
        changes,
    )


def _idle_experts(history: History) -> Illness | None:
    told = []
    for layer in history.layers:
        shares = history.shares(layer)
        used = {expert: share * len(shares) for expert, share in enumerate(shares)}
        idle = {expert: use for expert, use in used.items() if use < limit.EXPERT_USE.value}
        told += [f"layer {layer}: " + ", ".join(f"expert {e} {u:.0%}" for e, u in idle.items())] if idle else []
    if not told:
        return None
    changes = more_balance(history)
    return Illness(
        "experts under 20 % used",
        f"{'; '.join(told)} of the fair share, over {history.late_span}",
        "lower TOP_K, or raise NUM_EXPERTS (either leaves each expert fewer tokens: the use falls further)",
        f"make the router spread the tokens: {listed(changes)}",
        changes,
    )


LOOKS: tuple[Look, ...] = (_unbalanced, _collapse, _dead_experts, _idle_experts)
