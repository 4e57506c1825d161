"""Illnesses of the learning itself: steps too large or too small, a loss that jumps, a trunk that drifts away."""

from math import inf
from typing import Any

from interconnected_ai.doctor import thresholds as limit
from interconnected_ai.doctor.history import History
from interconnected_ai.doctor.illness import Illness, Look
from interconnected_ai.doctor.settings import (
    DEFAULTS,
    listed,
    lower_rates,
    lowered_trunk_rate,
    raise_rates,
    rates_in_words,
)


def rate_too_high(history: History) -> Illness | None:
    """Steps so large that the loss grew, became no number, or stayed while the weights went far."""
    failure = history.failure
    evidence = ""
    if failure is not None and failure.kind == "NonFiniteLossError":
        evidence = failure.message.partition(";")[0]
    elif len(history.curve("loss/task")) >= limit.LINES.value:
        late, drift = history.late("loss/task"), history.last("drift/moe")
        went_nowhere = history.loss_left > limit.HARDLY_LEARNT.value and drift > limit.FAR_DRIFT.value
        if history.loss_left > limit.DIVERGED.value or went_nowhere:
            evidence = (
                f"loss {late.median:.3g} over {late.span}, guessing costs {history.guess_loss:.3g}; the trunk's weights are "
                f"{drift:.2g} × their norm from their start"
            )
    if not evidence:
        return None
    training = history.config.training
    changes: dict[str, Any] = lower_rates(history)
    if training.precision == "float16":
        changes["training.precision"] = "float32"
    if training.gradient_clip > DEFAULTS.gradient_clip:
        changes["training.gradient_clip"] = DEFAULTS.gradient_clip
    return Illness(
        "learning rate too high",
        f"{evidence}; {rates_in_words(training)}",
        None,
        f"go back to rates that hold: {listed(changes)}",
        changes,
    )


def _loss_jumps(history: History) -> Illness | None:
    jumps = _jumps(history)
    if len(jumps) < limit.JUMPS.value:
        return None
    training = history.config.training
    told = ", ".join(f"{before:.3g} → {after:.3g} by step {step}" for step, before, after in jumps[:3])
    changes = lower_rates(history)
    if training.gradient_clip > DEFAULTS.gradient_clip:
        changes["training.gradient_clip"] = DEFAULTS.gradient_clip
    norm = history.curve("gradient_norm").median if len(history.curve("gradient_norm")) else 0.0
    return Illness(
        "loss jumps",
        f"{len(jumps)} jumps, the first: {told}; gradient norm {norm:.2g} in the median, clipped at {training.gradient_clip:g}",
        "raise GRADIENT_CLIP (this lets larger steps through: the jumps grow)",
        f"lower the learning rates, and clip at {DEFAULTS.gradient_clip:g} or less: {listed(changes)}",
        changes,
    )


def _jumps(history: History) -> list[tuple[int, float, float]]:
    """(step, loss before, loss reached) of each jump; before: the lower of the two lines before it."""
    task, highest = history.curve("loss/task"), history.curve("loss/highest")
    reached = dict(zip(highest.steps, highest.values, strict=True))
    rows = sum(curve.mean for curve in history.named("batch_rows/").values()) or history.config.training.batch_size
    height = limit.JUMP_HEIGHT.value * history.guess_loss + limit.JUMP_ROW.value / rows
    out = []
    for i in range(2, len(task)):
        before, step = min(task.values[i - 2 : i]), task.steps[i]
        after = reached.get(step, task.values[i])
        if after > limit.JUMP_FACTOR.value * before and after - before > height:
            out.append((step, before, after))
    return out


def _trunk_drift(history: History) -> Illness | None:
    drift, mean = history.curve("drift/moe"), history.curve("accuracy/mean")
    if not len(drift):
        return None
    told = []
    if drift.values[-1] > limit.FAR_DRIFT.value:
        told.append("hardly anything is left of the trunk that the encoder's knowledge came through")
    if len(mean) > 1 and drift.values[-1] > limit.HARMFUL_DRIFT.value:
        best = max(range(len(mean)), key=lambda i: mean.values[i])
        fall = mean.values[best] - mean.values[-1]
        if fall > limit.FALL.value and not _learnt_since(history, mean.steps[best]):
            told.append(
                f"mean accuracy fell from {mean.values[best]:.1%} at step {mean.steps[best]} to {mean.values[-1]:.1%} at "
                f"step {mean.steps[-1]}, on rows learnt from as well"
            )
    if not told:
        return None
    training = history.config.training
    changes: dict[str, Any] = {"training.lr_moe": lowered_trunk_rate(training)}
    if not training.head_start_epochs:
        changes["training.head_start_epochs"] = 20
    return Illness(
        "trunk drift",
        f"the trunk's weights are {drift.values[-1]:.2g} × their norm from their start at step {drift.steps[-1]}: "
        + "; ".join(told),
        None,
        f"let the trunk learn slower than what stands on it, and later: {listed(changes)}",
        changes,
    )


def _learnt_since(history: History, step: int) -> bool:
    """Whether rows learnt from are answered better at the end than at that step: then it is no drift, but learning by heart."""
    task = history.curve("loss/task")
    before = [value for s, value in zip(task.steps, task.values, strict=True) if s <= step][-3:]
    return bool(before) and history.late("loss/task").median < 0.9 * min(before)


def _rate_too_low(history: History) -> Illness | None:
    left = history.loss_left
    if not history.is_half_done or _jumps(history) or not limit.HALF_LEARNT.value < left <= limit.DIVERGED.value:
        return None
    late, drift, straight = history.late("loss/task"), history.last("drift/head", default=inf), _straightness(history)
    if left > limit.HARDLY_LEARNT.value and drift < limit.HEAD_STILL.value:
        why = f"the heads' weights are {drift:.2g} × their norm from their start"
    elif straight > limit.STRAIGHT.value and history.weak and _still_generalises(history):
        why = f"the heads went {straight:.0%} of the way that their rate allows, as weights do that pull one way to the end"
    else:
        return None
    changes = raise_rates(history)
    return Illness(
        "learning rate too low",
        f"loss {late.median:.3g} over {late.span}, guessing costs {history.guess_loss:.3g}; {why}; "
        f"{rates_in_words(history.config.training)}",
        None,
        f"take larger steps: {listed(changes)}; more epochs would do as well, and cost more",
        changes,
    )


def _straightness(history: History) -> float:
    """How far the heads' weights went over the sum of all their rates, the most that AdamW can move a weight.

    Weights that arrive turn around, weights that are still on their way keep going in one direction. 0 where it cannot be
    said: a head start moved them at rates that are not logged.
    """
    rate, moved = history.curve("rate/head"), history.last("moved/head")
    if len(rate) < 2 or history.config.training.head_start_epochs:
        return 0.0
    steps_between = (rate.steps[-1] - rate.steps[0]) / (len(rate) - 1)
    return moved / (steps_between * sum(rate.values))


def _still_generalises(history: History) -> bool:
    """Whether validation losses still fell in the second half: what is learnt so slowly is not merely the rows by heart."""
    curves = [curve.values for curve in history.named("validation_loss/").values()]
    middle = sum(values[(len(values) - 1) // 2] for values in curves)
    return sum(values[-1] for values in curves) < (1 - limit.VALIDATION_FALL.value) * middle


LOOKS: tuple[Look, ...] = (_loss_jumps, _trunk_drift, _rate_too_low)
