"""What a run left behind, gathered for its report: curves, use of the experts, answers to the test rows, cost.

`contents` arranges it, `page` writes it as HTML and PNG. What a run lacks is listed in `missing`, and is no error.
"""

import json
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from interconnected_ai.branches import BranchCard, InterconnectedAISystem, class_indices, probabilities
from interconnected_ai.config import RunConfig
from interconnected_ai.data import Rows, load_splits
from interconnected_ai.errors import (
    ConfigError,
    IntegrityError,
    InterconnectedAIError,
    NotAModelError,
    UnknownNameError,
)
from interconnected_ai.storage import read_json
from interconnected_ai.training import BranchMetrics, FitResult, branch_metrics, expected_calibration_error, failure_of

NUM_BINS = 15  # those of the calibration error


@dataclass(frozen=True)
class Curve:
    """One logged figure: its values at the logged steps, in the order of the steps."""

    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class ExpertUse:
    """How an MoE layer used its FFN experts. shares: (num_experts, num_steps), of each step's assignments."""

    layer: int
    steps: tuple[int, ...]
    shares: np.ndarray


@dataclass(frozen=True)
class ReliabilityBin:
    """The answers of one interval of confidence: their means, as shares of 1."""

    confidence: float
    accuracy: float
    num_rows: int


@dataclass(frozen=True)
class Reliability:
    """Confidence against accuracy over equal-width bins (Guo et al. 2017); empty bins are left out."""

    bins: tuple[ReliabilityBin, ...]
    calibration_error: float


@dataclass(frozen=True)
class ConfusedPair:
    """Rows of one class that were answered with another. share: of the class's rows."""

    label: str
    answer: str
    num_rows: int
    share: float


@dataclass(frozen=True, eq=False)
class BranchAnswers:
    """What one branch answered to the run's test rows.

    confusion: (num_classes, num_classes) rows by true class and answer. before, after: at temperature 1 and at the
    branch's own; metrics are at its own.
    """

    card: BranchCard
    metrics: BranchMetrics
    confusion: np.ndarray
    before: Reliability
    after: Reliability

    @property
    def name(self) -> str:
        """The branch's name."""
        return self.card.name

    def confused_pairs(self, most: int = 10) -> tuple[ConfusedPair, ...]:
        """The pairs of classes with the most wrong answers, the largest first (ties: in the order of the labels)."""
        labels, of_class = self.card.spec.labels, self.confusion.sum(axis=1)
        wrong = [
            (int(self.confusion[true, answer]), int(true), int(answer))
            for true, answer in np.argwhere(self.confusion)
            if true != answer
        ]
        wrong.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
        return tuple(
            ConfusedPair(labels[true], labels[answer], count, count / int(of_class[true]))
            for count, true, answer in wrong[:most]
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; shares of 1."""
        return {
            **asdict(self.metrics),
            "num_classes": self.card.spec.num_classes,
            "calibration_error_before": self.before.calibration_error,
            "temperature": self.card.temperature,
            "threshold": self.card.threshold,
            "confused": [asdict(pair) for pair in self.confused_pairs()],
        }


@dataclass(frozen=True)
class Cost:
    """What the training took. Seconds and precision are None before its end; rows_per_second: median of logged steps."""

    train_seconds: float | None
    cache_seconds: float | None
    rows_per_second: float | None
    device: str | None
    precision: str | None
    usd_per_hour: float | None

    @property
    def seconds(self) -> float | None:
        """Encoding and training together."""
        if self.train_seconds is None or self.cache_seconds is None:
            return None
        return self.train_seconds + self.cache_seconds

    @property
    def usd(self) -> float | None:
        """Hours × price; None without a price or without seconds."""
        if self.seconds is None or self.usd_per_hour is None:
            return None
        return self.seconds / 3600 * self.usd_per_hour

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**asdict(self), "seconds": self.seconds, "usd": self.usd}


@dataclass(frozen=True)
class Missing:
    """Something that a run's report cannot show. kind: a key of `wording`; detail: names or an error's message."""

    kind: str
    detail: str = ""


@dataclass(frozen=True)
class RunReport:
    """Everything that the report of a run shows.

    answers: measured now on the run's test rows; recorded: the test metrics as they stand in results.json.
    num_train: each branch's training rows. num_params: parameters of each part, empty without a model.
    """

    folder: Path
    config: RunConfig
    curves: dict[str, Curve]
    experts: tuple[ExpertUse, ...]
    answers: tuple[BranchAnswers, ...]
    recorded: dict[str, BranchMetrics]
    num_train: dict[str, int]
    num_params: dict[str, int]
    fit: FitResult | None
    cost: Cost
    missing: tuple[Missing, ...]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end: model and results are written."""
        return self.fit is not None and not any(m.kind == "no_model" for m in self.missing)

    def curves_of(self, prefix: str) -> dict[str, Curve]:
        """The figures `prefix/NAME`, by NAME, in the order of logging."""
        start = f"{prefix}/"
        return {name.removeprefix(start): curve for name, curve in self.curves.items() if name.startswith(start)}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON. The curves themselves are in the run's metrics.jsonl."""
        return {
            "run": str(self.folder),
            "finished": self.finished,
            "branches": {answers.name: answers.to_dict() for answers in self.answers},
            "recorded": {name: _plain(asdict(metrics)) for name, metrics in self.recorded.items()},
            "cost": self.cost.to_dict(),
            "fit": None if self.fit is None else _plain(asdict(self.fit)),
        }


def gather_report(run: str | Path, *, usd_per_hour: float | None = None) -> RunReport:
    """Read a run's folder and, when its model and test rows are there, answer the test rows again.

    Raises `NotAModelError` for a folder that is no run, `IntegrityError` for damaged figures or results.
    """
    if usd_per_hour is not None and not (math.isfinite(usd_per_hour) and usd_per_hour >= 0):
        raise ConfigError(f"usd_per_hour={usd_per_hour}: needs a price of 0 or more")
    folder = Path(run)
    config = _config_of(folder)
    missing: list[Missing] = []
    curves = read_curves(folder / "metrics.jsonl")
    if not curves:
        missing.append(Missing("no_figures"))
    failure = failure_of(folder)
    if failure is not None:
        missing.append(Missing("ended", failure.message))
    answers, num_params = _answers_of(folder, config, missing)
    fit, recorded = _results_of(folder / "results.json")
    if fit is None and (folder / "model").is_dir():
        missing.append(Missing("no_results"))
    if differing := _differing(answers, recorded):
        missing.append(Missing("other_results", ", ".join(differing)))
    cost = _cost_of(fit, curves, usd_per_hour)
    if usd_per_hour is not None and cost.usd is None:
        missing.append(Missing("no_usd"))
    return RunReport(
        folder=folder,
        config=config,
        curves=curves,
        experts=_expert_use(curves),
        answers=tuple(answers),
        recorded=recorded,
        num_train=_num_train(folder / "data_report.json", answers),
        num_params=num_params,
        fit=fit,
        cost=cost,
        missing=tuple(missing),
    )


def read_curves(path: Path) -> dict[str, Curve]:
    """The figures of a metrics.jsonl, by name; none when there is no file.

    A torn last line is left out (the run may be writing it), and of a step that a resumed run logged again the later
    line counts. Raises `IntegrityError` for any other line that is no JSON object with a step.
    """
    points: dict[str, dict[int, float]] = defaultdict(dict)
    for number, line in enumerate(_whole_lines(path), start=1):
        try:
            figures = json.loads(line)
            step = figures.pop("step")
        except (json.JSONDecodeError, AttributeError, TypeError, KeyError) as error:
            raise IntegrityError(
                f"{path}, line {number} is {line[:40]!r}, needed is a JSON object with a step; remove the line, or "
                "restore the file from a copy"
            ) from error
        for name, value in figures.items():
            if isinstance(value, int | float):
                points[name][int(step)] = float(value)
    return {name: _curve(of_step) for name, of_step in points.items()}


def reliability(table: Tensor, targets: Tensor) -> Reliability:
    """table: (num_rows, num_classes) probabilities; targets: (num_rows,) class numbers."""
    confidence, predicted = table.max(dim=-1)
    correct = predicted == targets
    bin_of = (confidence * NUM_BINS).long().clamp(max=NUM_BINS - 1)
    bins = []
    for index in bin_of.unique():
        inside = bin_of == index
        means = confidence[inside].double().mean().item(), correct[inside].double().mean().item()
        bins.append(ReliabilityBin(*means, num_rows=int(inside.sum())))
    return Reliability(tuple(bins), expected_calibration_error(confidence, correct, num_bins=NUM_BINS))


def _config_of(folder: Path) -> RunConfig:
    if not folder.is_dir():
        raise NotAModelError(f"no folder at {folder}; needs the folder of a run, the `output` of its config")
    kept = folder / "run.yaml"
    if not kept.is_file():
        raise NotAModelError(
            f"{folder} is no run: it has no run.yaml; needs the folder that `iai train` wrote, the `output` of its config"
        )
    return RunConfig.from_file(kept)


def _whole_lines(path: Path) -> list[str]:
    if not path.is_file():
        return []
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise IntegrityError(f"{path} is not UTF-8: {error}; restore it from a copy") from error
    return [line for line in text.split("\n")[:-1] if line.strip()]  # what stands after the last newline is torn


def _curve(of_step: Mapping[int, float]) -> Curve:
    steps = sorted(of_step)
    return Curve(tuple(steps), tuple(of_step[step] for step in steps))


def _expert_use(curves: Mapping[str, Curve]) -> tuple[ExpertUse, ...]:
    """The curves `routing/layerL/expertE` as one table per layer, at the steps that all its experts have."""
    layers: dict[int, dict[int, Curve]] = defaultdict(dict)
    for name, curve in curves.items():
        kind, _, rest = name.partition("/layer")
        number, _, expert = rest.partition("/expert")
        if kind == "routing" and number.isdigit() and expert.isdigit():
            layers[int(number)][int(expert)] = curve
    out = []
    for layer, experts in sorted(layers.items()):
        tables = [dict(zip(experts[e].steps, experts[e].values, strict=True)) for e in sorted(experts)]
        steps = sorted(set.intersection(*(set(table) for table in tables)))
        out.append(ExpertUse(layer, tuple(steps), np.array([[table[s] for s in steps] for table in tables])))
    return tuple(out)


def _answers_of(folder: Path, config: RunConfig, missing: list[Missing]) -> tuple[list[BranchAnswers], dict[str, int]]:
    """Every branch on the run's test rows, and the parameters of the parts; what hinders goes to `missing`."""
    if not (folder / "model").is_dir():
        missing.append(Missing("no_model", str(folder / "run.yaml")))
        return [], {}
    num_params: dict[str, int] = {}
    try:
        system = InterconnectedAISystem.from_pretrained(folder / "model")
        num_params = system.get_num_params()
        test = load_splits(config.data).test
    except InterconnectedAIError as error:  # the curves are worth showing all the same
        missing.append(Missing("no_answers", str(error)))
        return [], num_params
    if not len(test):
        missing.append(Missing("no_test_rows"))
        return [], num_params
    return _answer(system, test, missing), num_params


def _answer(system: InterconnectedAISystem, test: Rows, missing: list[Missing]) -> list[BranchAnswers]:
    labelled = [name for name in test.branch_names if test.of(name)[0]]
    if unlabelled := [name for name in system.cards if name not in labelled]:
        missing.append(Missing("no_branch_rows", ", ".join(unlabelled)))
    if removed := [name for name in labelled if name not in system.cards]:
        missing.append(Missing("removed_branch", ", ".join(removed)))
    pooled = system.encode(test.texts)
    answers = []
    for name, card in system.cards.items():
        if name not in labelled:
            continue
        rows = [row for row, label in enumerate(test.labels[name]) if label is not None]
        try:
            targets = class_indices(card, test.of(name)[1])
        except UnknownNameError as error:
            missing.append(Missing("unreadable_branch", str(error)))
            continue
        answers.append(_branch_answers(card, system.logits_of(pooled[rows], [name])[name].cpu(), targets))
    return answers


def _branch_answers(card: BranchCard, logits: Tensor, targets: Tensor) -> BranchAnswers:
    """logits: (num_rows, num_classes); targets: (num_rows,)."""
    table = probabilities(logits, card)
    num_classes = card.spec.num_classes
    confusion = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(confusion, (targets.numpy(), table.argmax(dim=-1).numpy()), 1)
    return BranchAnswers(
        card=card,
        metrics=branch_metrics(table, targets, threshold=card.threshold),
        confusion=confusion,
        before=reliability(probabilities(logits, card.with_changes(temperature=1.0)), targets),
        after=reliability(table, targets),
    )


def _results_of(path: Path) -> tuple[FitResult | None, dict[str, BranchMetrics]]:
    """How the training went, and the test metrics recorded at its end."""
    if not path.is_file():
        return None, {}
    content = read_json(path)
    try:
        validation = {name: _metrics(found) for name, found in content["fit"]["validation"].items()}
        known = {field.name: content["fit"][field.name] for field in fields(FitResult)}
        return FitResult(**{**known, "validation": validation}), {n: _metrics(m) for n, m in content["test"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(
            f"{path} does not hold what a run writes there ({error!r}); restore it from a copy, or train again"
        ) from error


def _metrics(found: Mapping[str, Any]) -> BranchMetrics:
    """Metrics from a file; NaN where another version did not measure one."""
    return BranchMetrics(**{field.name: found.get(field.name, math.nan) for field in fields(BranchMetrics)})


def _plain(value: Any) -> Any:
    """For JSON, which has no NaN: None in its place."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _differing(answers: list[BranchAnswers], recorded: Mapping[str, BranchMetrics]) -> list[str]:
    """Branches whose accuracy is another one than at the end of the training; two rows may be rounding."""
    out = []
    for found in answers:
        then = recorded.get(found.name)
        if then is None:
            continue
        rows_apart = abs(found.metrics.accuracy - then.accuracy) * found.metrics.num_rows
        if found.metrics.num_rows != then.num_rows or rows_apart > 2.5:
            out.append(f"{found.name} {100 * found.metrics.accuracy:.2f} % / {100 * then.accuracy:.2f} %")
    return out


def _num_train(path: Path, answers: list[BranchAnswers]) -> dict[str, int]:
    """Training rows by branch: from the data report, and for branches added later from their cards."""
    report = read_json(path) if path.is_file() else {}
    read = {
        name: entry["num_train"]
        for name, entry in report.items()
        if isinstance(entry, Mapping) and isinstance(entry.get("num_train"), int)
    }
    return {**{found.name: found.card.num_rows for found in answers}, **read}


def _cost_of(fit: FitResult | None, curves: Mapping[str, Curve], usd_per_hour: float | None) -> Cost:
    speeds = [v for v in curves["rows_per_second"].values if math.isfinite(v)] if "rows_per_second" in curves else []
    return Cost(
        train_seconds=None if fit is None else fit.train_seconds,
        cache_seconds=None if fit is None else fit.cache_seconds,
        rows_per_second=float(np.median(speeds)) if speeds else None,
        device=None if fit is None else fit.device,
        precision=None if fit is None else fit.precision,
        usd_per_hour=usd_per_hour,
    )
