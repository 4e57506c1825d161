"""What ails the training of a language model's adapter: on text, on conversations, or on preferences (DPO)."""

from collections.abc import Callable, Iterable
from math import log, sqrt
from typing import Any

import numpy as np

from interconnected_ai.config import AdapterTrainingConfig
from interconnected_ai.data import Remark
from interconnected_ai.doctor import thresholds as limit
from interconnected_ai.doctor.illness import Illness
from interconnected_ai.training import (
    OUT_OF_MEMORY,
    AdapterRecord,
    Curve,
    PreferenceCorpus,
    TokenizedChat,
    TokenizedPair,
)

AdapterLook = Callable[[AdapterRecord], Illness | None]
_USUAL = AdapterTrainingConfig()


def illnesses_of(run: AdapterRecord) -> tuple[Illness, ...]:
    """Everything that a run's figures and examples show, in the order in which it is cured."""
    return tuple(illness for look in _LOOKS if (illness := look(run)) is not None)


def unjudged_of(run: AdapterRecord) -> tuple[str, ...]:
    """What could not be looked at, and why."""
    out = []
    if len(run.curve("loss/task")) < limit.LINES.value:
        out.append(
            f"trends: {len(run.curve('loss/task'))} lines of step figures, needed are {limit.LINES.value:.0f} (80 steps)"
        )
    if len(run.curve("validation_loss")) < 2:
        out.append("whether it learns by heart: nothing is held out, or one evaluation is not over yet")
    return tuple(out)


# What ended it


def _ended(run: AdapterRecord) -> Illness | None:
    failure = run.failure
    if failure is None or failure.kind == "NonFiniteLossError":
        return None
    evidence = f"step {failure.step + 1}: {failure.message}"
    if failure.kind != OUT_OF_MEMORY:
        return Illness(
            "ended by an error", f"step {failure.step + 1}: {failure.kind}: {failure.message}", None,
            "put right what the message names, then go on with the same command and --resume",
        )  # fmt: skip
    training, changes = run.config.training, dict[str, Any]()
    if training.accumulation_steps < training.batch_size:
        changes["training.accumulation_steps"] = training.batch_size
    if not training.gradient_checkpointing:
        changes["training.gradient_checkpointing"] = True
    remedy = _listed(changes) or "lower training.seq_len"
    return Illness("out of memory", evidence, None, f"{remedy}; or keep the base in 4 bits (base_bits: 4)", changes)


# How it learns


def _rate_too_high(run: AdapterRecord) -> Illness | None:
    loss, failure, lr = run.curve("loss/task"), run.failure, run.config.training.lr
    early, late = _early(loss), _late(loss)
    if failure is not None and failure.kind == "NonFiniteLossError":
        evidence = failure.message.partition(";")[0]
    elif len(loss) >= limit.LINES.value and late.median > limit.NATS_GROWTH.value * early.median:
        evidence = f"loss {early.median:.3g} over {early.span}, {late.median:.3g} over {late.span}"
    else:
        return None
    changes = {"training.lr": _USUAL.lr if lr > 3 * _USUAL.lr else _rounded(lr / 10)}
    return Illness(
        "learning rate too high", f"{evidence}; lr {lr:g}", None, f"smaller steps: {_listed(changes)}", changes
    )


def _not_falling(run: AdapterRecord) -> Illness | None:
    loss = run.curve("loss/task")
    if len(loss) < limit.LINES.value or _rate_too_high(run) is not None:
        return None
    early, late, lr = _early(loss), _late(loss), run.config.training.lr
    if late.median < (1 - limit.NATS_FALL.value) * early.median:
        return None
    changes = {"training.lr": _USUAL.lr if lr < _USUAL.lr / 3 else _rounded(3 * lr)}
    return Illness(
        "loss does not fall",
        f"{early.median:.4g} over {early.span}, {late.median:.4g} over {late.span}; lr {lr:g}",
        None,
        f"larger steps: {_listed(changes)}; where the base knows all of it already there is nothing to learn",
        changes,
    )


def _too_many_epochs(run: AdapterRecord) -> Illness | None:
    held = run.curve("validation_loss")
    if len(held) < 2:
        return None
    best = min(range(len(held)), key=held.values.__getitem__)
    lowest, last = held.values[best], held.values[-1]
    if last <= limit.NATS_RISE.value * lowest:
        return None
    evidence = f"validation loss {lowest:.4g} at step {held.steps[best]}, {last:.4g} at step {held.steps[-1]}"
    epochs = dict(zip(run.curve("epoch").steps, run.curve("epoch").values, strict=True))
    if held.steps[best] == 0:
        changes: dict[str, Any] = {"training.lr": _rounded(run.config.training.lr / 10)}
        return Illness(
            "the base alone is better",
            f"{evidence}; the weights that are kept are those of step 0, an adapter that does nothing",
            None,
            f"smaller steps: {_listed(changes)}; and see whether the held-out examples are of the same kind as the learnt ones",
            changes,
        )
    changes = {"training.epochs": max(1, round(epochs.get(held.steps[best], 1.0)))}
    return Illness(
        "validation loss rises",
        f"{evidence}; the weights of the former are kept",
        None,
        f"it learns by heart: {_listed(changes)}, or more examples, a lower rank, dropout",
        changes,
    )


# What it learns from


def _few_examples(run: AdapterRecord) -> Illness | None:
    return _remarked(run, "examples enough", "few examples")


def _no_end(run: AdapterRecord) -> Illness | None:
    return _remarked(run, "answers end", "answers without an end")


def _cut(run: AdapterRecord) -> Illness | None:
    if run.corpus is None or run.corpus.share_cut <= limit.CUT_CHATS.value:
        return None
    return _remarked(run, "answers whole", "conversations too long")


def _remarked(run: AdapterRecord, remark: str, name: str) -> Illness | None:
    """What was remarked of the examples when they were read, as an illness."""
    found: Iterable[Remark] = () if run.corpus is None else run.corpus.remarks
    return next((Illness(name, one.evidence, None, one.remedy) for one in found if one.name == remark), None)


def _little_counts(run: AdapterRecord) -> Illness | None:
    if run.corpus is None:
        return None
    train = run.corpus.facts["sides"]["train"]
    if train["num_counted"] >= limit.COUNTED.value * train["num_tokens"]:
        return None
    return Illness(
        "little of it is learnt",
        f"{train['num_counted']:,} of {train['num_tokens']:,} tokens are answers",
        None,
        "shorten the questions, or put several questions and answers into one conversation; is the right part the answer?",
    )


def _leaks(run: AdapterRecord) -> Illness | None:
    if run.corpus is None or not run.corpus.validation:
        return None
    learnt = {answer for item in run.corpus.train for answer in _long_answers(item)}
    held = [answers for item in run.corpus.validation if (answers := _long_answers(item))]
    known = sum(answers <= learnt for answers in held)
    if not held or known <= limit.LEAK.value * len(held):
        return None
    return Illness(
        "held-out answers are learnt",
        f"the answers of {known} of {len(held)} held-out examples stand word for word among the learnt ones",
        None,
        "take copies with other questions out, or hold out a file of its own; until then the validation loss flatters",
    )


def _long_answers(item: TokenizedChat | TokenizedPair) -> set[bytes]:
    """Every run of learnt tokens that is long enough to be told again by chance hardly ever; of a pair, the better answer's."""
    chat = item.chosen if isinstance(item, TokenizedPair) else item
    edges = np.flatnonzero(np.diff(np.concatenate([[False], chat.counted, [False]]).astype(np.int8)))
    spans = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    return {chat.ids[start:end].tobytes() for start, end in spans if end - start >= limit.LEAK_TOKENS.value}


# Preferences


def _not_preferred(run: AdapterRecord) -> Illness | None:
    accuracy = run.curve("preference_accuracy")
    if not isinstance(run.corpus, PreferenceCorpus) or len(accuracy) < 2 or not run.corpus.validation:
        return None
    pairs = len(run.corpus.validation)
    chance = 0.5 + 1.0 / sqrt(pairs)  # two standard errors above guessing
    best = max(accuracy.values[1:])
    if best > chance:
        return None
    changes = {"training.lr": _rounded(3 * run.config.training.lr)}
    return Illness(
        "preferences are not learnt",
        f"{100 * best:.0f} % of {pairs} held-out pairs the right way round at best, guessing has 50 %",
        None,
        f"more pairs, or larger steps: {_listed(changes)}; are chosen and rejected told apart by something one can see?",
        changes,
    )


def _better_ones_unlikely(run: AdapterRecord) -> Illness | None:
    reward = run.curve("chosen_reward")
    preferences = run.config.preferences
    if preferences is None or not len(reward) or reward.values[-1] >= limit.LESS_LIKELY.value:
        return None
    beta = preferences.beta
    nats = -reward.values[-1] / beta
    changes = {"preferences.beta": _rounded(2 * beta), "training.lr": _rounded(run.config.training.lr / 3)}
    return Illness(
        "better answers become unlikely",
        f"mean reward of the chosen answers {reward.values[-1]:.3g} at step {reward.steps[-1]}: {nats:.0f} nats "
        f"({nats / log(10):.0f} powers of ten) less likely than the base has them; beta {beta:g}",
        None,
        f"stay nearer to the base: {_listed(changes)}; or teach the chosen answers as conversations first",
        changes,
    )


# Curves


def _early(curve: Curve) -> Curve:
    """The first quarter."""
    size = max(1, len(curve) // 4)
    return Curve(curve.steps[:size], curve.values[:size])


def _late(curve: Curve) -> Curve:
    """The last quarter."""
    size = max(1, len(curve) // 4)
    return Curve(curve.steps[-size:], curve.values[-size:])


def _listed(changes: dict[str, Any]) -> str:
    return ", ".join(
        f"{name.partition('.')[2]}={value:g}" if isinstance(value, float) else f"{name.partition('.')[2]}={value}"
        for name, value in changes.items()
    )


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


_LOOKS: tuple[AdapterLook, ...] = (
    _ended, _rate_too_high, _not_falling, _too_many_epochs, _no_end, _cut, _few_examples, _little_counts, _leaks,
    _not_preferred, _better_ones_unlikely,
)  # fmt: skip
