"""Everything that the report of a run shows, as records."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from interconnected_ai.config import RunConfig
from interconnected_ai.doctor import Diagnosis
from interconnected_ai.report.answers import BranchAnswers
from interconnected_ai.report.missing import Missing
from interconnected_ai.training import Baseline, BranchMetrics, Curve, FitResult, Origin


@dataclass(frozen=True, eq=False)
class ExpertUse:
    """How an MoE layer used its FFN experts. shares: (num_experts, num_steps), of each step's assignments."""

    layer: int
    steps: tuple[int, ...]
    shares: np.ndarray


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
class RunReport:
    """Everything that the report of a run shows.

    answers: measured now on the run's test rows; recorded: the test metrics as they stand in results.json.
    num_train: each branch's training rows. num_params: parameters of each part, empty without a model. diagnosis: what the
    doctor says, None where there is nothing to look at yet. origin: None, baseline: empty, in runs that kept none.
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
    diagnosis: Diagnosis | None = None
    origin: Origin | None = None
    baseline: Mapping[str, Baseline] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end: model and results are written."""
        return self.fit is not None and not any(m.kind == "no_model" for m in self.missing)

    @property
    def verdict(self) -> str:
        """good: the run is finished and the doctor found nothing; look: it found something; unfinished: it is too early."""
        if self.diagnosis is not None and not self.diagnosis.is_healthy:
            return "look"
        return "good" if self.finished and self.diagnosis is not None else "unfinished"

    def curves_of(self, prefix: str) -> dict[str, Curve]:
        """The figures `prefix/NAME`, by NAME, in the order of logging."""
        start = f"{prefix}/"
        return {name.removeprefix(start): curve for name, curve in self.curves.items() if name.startswith(start)}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON. The curves themselves are in the run's metrics.jsonl."""
        return {
            "run": str(self.folder),
            "finished": self.finished,
            "verdict": self.verdict,
            "findings": [] if self.diagnosis is None else [asdict(found) for found in self.diagnosis.illnesses],
            "origin": None if self.origin is None else asdict(self.origin),
            "baseline": {name: asdict(found) for name, found in self.baseline.items()},
            "branches": {answers.name: answers.to_dict() for answers in self.answers},
            "recorded": {name: _plain(asdict(metrics)) for name, metrics in self.recorded.items()},
            "cost": self.cost.to_dict(),
            "fit": None if self.fit is None else _plain(asdict(self.fit)),
        }


def _plain(value: Any) -> Any:
    """For JSON, which has no NaN: None in its place."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
