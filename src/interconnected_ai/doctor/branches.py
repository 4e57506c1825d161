"""Illnesses of single branches: starved, learning by heart, miscalibrated, not accurate enough."""

from math import inf, isclose, sqrt
from typing import Any

from interconnected_ai.branches import BranchCard
from interconnected_ai.data import BranchReport
from interconnected_ai.doctor import thresholds as limit
from interconnected_ai.doctor.history import History
from interconnected_ai.doctor.illness import Illness, Look, percent_ru
from interconnected_ai.doctor.settings import listed
from interconnected_ai.nn import HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE
from interconnected_ai.storage import read_json


def _overfitting(history: History) -> Illness | None:
    told, russian = [], []
    for branch in history.branches:
        loss, accuracy = history.curve(f"validation_loss/{branch}"), history.curve(f"accuracy/{branch}")
        learnt = history.late(f"train_accuracy/{branch}")
        if len(loss) < 3 or not len(learnt) or not len(accuracy):
            continue
        lowest = min(range(len(loss)), key=lambda i: loss.values[i])
        share, rows = accuracy.values[-1], max(1, history.data[branch].num_validation if branch in history.data else 1)
        gap = learnt.mean - share
        beyond_noise = gap > limit.GAP.value and gap > 2 * sqrt(max(0.0, share * (1 - share)) / rows)
        if beyond_noise and loss.values[-1] > limit.RISE.value * loss.values[lowest]:
            told.append(
                f"{branch}: {learnt.mean:.1%} right on rows learnt from, {share:.1%} on validation rows; validation loss "
                f"{loss.values[lowest]:.3g} at step {loss.steps[lowest]}, {loss.values[-1]:.3g} at step {loss.steps[-1]}"
            )
            lost = f"{loss.values[lowest]:.3g} на шаге {loss.steps[lowest]}, {loss.values[-1]:.3g} на шаге {loss.steps[-1]}"
            russian.append(
                f"{branch}: верны {percent_ru(learnt.mean)} обучающих строк и {percent_ru(share)} проверочных; потери на "
                f"проверке {lost.replace('.', ',')}"
            )
    if not told:
        return None
    system, training = history.config.system, history.config.training
    changes: dict[str, Any] = {
        "system.dropout": min(0.5, round(max(0.2, 2 * system.dropout), 2)),
        "training.label_smoothing": max(0.1, training.label_smoothing),
        "training.weight_decay": max(0.05, training.weight_decay),
        "training.patience": 3 if training.patience is None else min(3, training.patience),
    }
    return Illness(
        "overfitting",
        "; ".join(told),
        None,
        f"more rows help most; without them: {listed(changes)}. The weights of the best epoch are kept as it is",
        changes,
        "; ".join(russian),
    )


def _starved(history: History) -> Illness | None:
    rows = {name: curve.mean for name, curve in history.named("batch_rows/").items() if len(curve)}
    batch, told, russian = sum(rows.values()), [], []
    for branch, count in rows.items():
        if not limit.is_starved(count, batch, len(rows)):
            continue
        lag = _lag(history, branch)
        if count < limit.STARVED_ROWS.value or lag > limit.LAG.value:
            behind = f"; {lag:.1%} less accurate than the others" if 0 < lag < inf else ""
            told.append(
                f"{branch}: {count:.1f} of {batch:.0f} rows in a batch, {batch / len(rows):.0f} would be fair{behind}"
            )
            behind = f"; точность на {percent_ru(lag)} ниже, чем у других" if 0 < lag < inf else ""
            mine = f"{count:.1f} из {batch:.0f} строк пакета, поровну было бы {batch / len(rows):.0f}"
            russian.append(f"{branch}: {mine.replace('.', ',')}{behind}")
    if not told:
        return None
    return Illness(
        "branch starved in batches",
        "; ".join(told),
        None,
        "give it more rows; or leave it out here, and train it alone on the finished trunk, where all batches are its own: "
        "iai branch add RUN NAME --data FILE. A smaller batch_size raises its share a little, as each holds a row of it",
        evidence_ru="; ".join(russian),
    )


def _lag(history: History, branch: str) -> float:
    """How much less accurate the branch is than the mean of the others; infinite when nobody measured it."""
    found = {name: history.accuracy(name) for name in history.branches}
    others = [a.value for name, a in found.items() if name != branch and a is not None]
    mine = found.get(branch)
    if mine is None or not others:
        return inf if mine is None and others else 0.0
    return sum(others) / len(others) - mine.value


def _poor_calibration(history: History) -> Illness | None:
    if history.results is None:
        return None
    told, russian = [], []
    measured = history.results.test or history.results.fit.validation
    for branch, found in measured.items():
        allowed = limit.CALIBRATION.value + limit.calibration_noise(found.accuracy, found.num_rows)
        if found.calibration_error > allowed:
            told.append(
                f"{branch}: confidence is off by {found.calibration_error:.1%} on average over {found.num_rows} rows "
                f"({allowed:.1%} could be chance)"
            )
            russian.append(
                f"{branch}: уверенность расходится с точностью в среднем на {percent_ru(found.calibration_error)} по "
                f"{found.num_rows} строкам (до {percent_ru(allowed)} может дать случай)"
            )
    if not told:
        return None
    data = history.config.data
    changes = {"training.label_smoothing": max(0.05, history.config.training.label_smoothing)}
    sources = [data.table] if data.table else data.branches
    own = [source.validation for source in sources if source.validation]
    if not own and data.validation_fraction < 0.2:
        changes["data.validation_fraction"] = 0.2
    where = f" (they come from {own[0]})" if own else ""
    remedy = (
        f"temperatures are fitted on the validation rows{where}: give more of them, of the kind that will be asked and none "
        f"learnt from; {listed(changes)}"
    )
    return Illness("calibration poor", "; ".join(told), None, remedy, changes, "; ".join(russian))


def _calibrated_on_few_rows(history: History) -> Illness | None:
    if history.results is None:
        return None
    few = {n: read.num_validation for n, read in history.data.items() if n in history.branches}
    few = {name: rows for name, rows in few.items() if 0 < rows < limit.CALIBRATION_ROWS.value}
    if not few:
        return None
    told = ", ".join(f"{name} on {rows}" for name, rows in few.items())
    return Illness(
        "calibrated on few rows",
        f"{told}; so few move the temperature little from 1, and hold the threshold for unknown text low",
        None,
        f"give each branch {limit.CALIBRATION_ROWS.value:g} validation rows or more (data.validation_fraction, or a file of "
        "its own); until then read its confidence as an order, not as a probability",
        evidence_ru=", ".join(f"{name}: строк {rows}" for name, rows in few.items())
        + "; столь немногие почти не сдвигают температуру с 1 и держат порог для чужих текстов низким",
    )


def _temperature_at_its_bound(history: History) -> Illness | None:
    kept = history.run.folder / "model" / "config.json"
    if history.results is None or not kept.is_file():
        return None
    cards = [BranchCard.from_mapping(card, source=str(kept)) for card in read_json(kept)["branches"]]
    told, russian = [], []
    for card in cards:
        at = {LOWEST_TEMPERATURE: ("lowest", "наименьшая"), HIGHEST_TEMPERATURE: ("highest", "наибольшая")}
        for bound, (which, russian_which) in at.items():
            if isclose(card.temperature, bound, rel_tol=0.01):
                rows = "" if card.calibration_rows is None else f", fitted on {card.calibration_rows} rows"
                told.append(f"{card.name}: {card.temperature:.3g}, the {which} there is{rows}")
                rows = "" if card.calibration_rows is None else f", подобрана по {card.calibration_rows} строкам"
                reached = f"{card.temperature:.3g}".replace(".", ",")
                russian.append(f"{card.name}: {reached}, {russian_which} из возможных{rows}")
    if not told:
        return None
    return Illness(
        "temperature at its bound",
        "; ".join(told),
        None,
        "at the lowest the heads have hardly learnt yet, or the validation rows were learnt from: train longer, raise lr_head, "
        "look for repeated rows. At the highest the branch is sure and wrong: look at the validation rows' labels",
        evidence_ru="; ".join(russian),
    )


def weak_branch(history: History, causes: list[Illness]) -> Illness | None:
    """A branch under the document's 85 %. Comes last: what was found before may be the cause."""
    weak = history.weak
    if not weak or not history.is_half_done:
        return None
    told, russian, advice = [], [], []
    for name, found in weak.items():
        learnt = history.late(f"train_accuracy/{name}")
        of_the_learnt = f", {learnt.mean:.1%} of the rows learnt from" if len(learnt) else ""
        told.append(f"{name}: {found.value:.1%} of {found.num_rows} {found.where}{of_the_learnt}")
        learnt_ru = f" и {percent_ru(learnt.mean)} обучающих" if len(learnt) else ""
        which = "тестовых" if found.where == "test rows" else "проверочных"
        russian.append(f"{name}: верны {percent_ru(found.value)} из {found.num_rows} {which} строк{learnt_ru}")
        advice.append(_advice_for(name, learnt.mean if len(learnt) else 0.0, history.data.get(name)))
    named = [illness.name for illness in causes if illness.name in _CAUSES_OF_WEAKNESS]
    changes: dict[str, Any] = {} if named else _more_capacity(history, list(weak))
    first = f"cure first: {', '.join(named)}. Then: " if named else ""
    tail = f"; settings that give it more room: {listed(changes)}" if changes else ""
    return Illness(
        "branch under 85 %",
        "; ".join(told),
        "lower LR_ADAPTER",
        first + "; ".join(advice) + tail,
        changes,
        "; ".join(russian),
    )


_CAUSES_OF_WEAKNESS = {
    "out of memory", "ended by an error", "learning rate too high", "loss jumps", "routing collapse", "trunk drift",
    "learning rate too low", "overfitting", "branch starved in batches", "encoder does not read the rows", "labels look wrong",
}  # fmt: skip


def _advice_for(name: str, learnt: float, read: BranchReport | None) -> str:
    label, count = ("", inf) if read is None else read.smallest_class
    rows = f", beginning with class {label!r}, which has {count}" if count < limit.CLASS_ROWS.value else ""
    if learnt >= limit.ACCURACY.value:
        return f"{name} knows its training rows and not others: it needs more of them{rows}"
    return f"{name} does not even fit its training rows: look for wrong or contradicting labels, and let it learn more{rows}"


def _more_capacity(history: History, weak: list[str]) -> dict[str, Any]:
    """For branches that do not fit their rows: the encoder may learn with them; for others there is no setting."""
    unfit = [n for n in weak if len(c := history.late(f"train_accuracy/{n}")) and c.mean < limit.ACCURACY.value]
    if not unfit:
        return {}
    if not history.config.system.encoder_lora_rank:
        return {"system.encoder_lora_rank": 8}
    return {"training.epochs": 2 * history.config.training.epochs}


LOOKS: tuple[Look, ...] = (
    _starved,
    _overfitting,
    _poor_calibration,
    _calibrated_on_few_rows,
    _temperature_at_its_bound,
)
