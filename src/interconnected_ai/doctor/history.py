"""What a run's folder tells of it: its config, its curves, what was read, how it ended."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean, median
from typing import Any

from interconnected_ai.config import RunConfig
from interconnected_ai.doctor import thresholds as limit
from interconnected_ai.errors import DataError, StorageError
from interconnected_ai.storage import read_json
from interconnected_ai.training import Failure, failure_of

_CHARACTERS_PER_TOKEN = 4.0


@dataclass(frozen=True)
class Curve:
    """One figure over the steps at which it was logged; not a number (a skipped step) is left out."""

    steps: tuple[int, ...]
    values: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.values)

    def since(self, step: int) -> "Curve":
        """The part from a step on."""
        kept = [(s, v) for s, v in zip(self.steps, self.values, strict=True) if s >= step]
        return Curve(tuple(s for s, _ in kept), tuple(v for _, v in kept))

    @property
    def mean(self) -> float:
        """The mean of the values."""
        return fmean(self.values)

    @property
    def median(self) -> float:
        """The median of the values."""
        return median(self.values)

    @property
    def span(self) -> str:
        """The steps in words."""
        first, last = self.steps[0], self.steps[-1]
        return f"step {first}" if first == last else f"steps {first}–{last}"


@dataclass(frozen=True)
class Accuracy:
    """A branch's accuracy on held-out rows, of the weights that are kept. where: which rows, in words."""

    value: float
    num_rows: int
    where: str


@dataclass(frozen=True)
class History:
    """A run, read from its folder. lines: those of metrics.jsonl; report: data_report.json; results: results.json."""

    folder: Path
    config: RunConfig
    lines: tuple[dict[str, float], ...]
    report: dict[str, Any]
    results: dict[str, Any] | None
    failure: Failure | None

    @property
    def state(self) -> str:
        """finished, ended by an error, or unfinished (it runs, was interrupted or was killed)."""
        if self.results is not None:
            return "finished"
        return "unfinished" if self.failure is None else f"ended by {self.failure.kind} after {self.failure.step} steps"

    @cached_property
    def curves(self) -> dict[str, Curve]:
        """Every figure's curve by its name."""
        points: dict[str, list[tuple[int, float]]] = {}
        for line in self.lines:
            for name, value in line.items():
                if name != "step" and math.isfinite(value):
                    points.setdefault(name, []).append((int(line["step"]), value))
        return {name: Curve(tuple(s for s, _ in p), tuple(v for _, v in p)) for name, p in points.items()}

    def curve(self, name: str) -> Curve:
        """One figure's curve, empty when it was never logged."""
        return self.curves.get(name, Curve((), ()))

    def late(self, name: str) -> Curve:
        """The last quarter of a figure of the steps."""
        curve = self.curve(name)
        return curve.since(curve.steps[-max(1, len(curve) // 4)]) if len(curve) else curve

    def last(self, name: str, default: float = 0.0) -> float:
        """A figure's last value; `default` when it was never logged."""
        curve = self.curve(name)
        return curve.values[-1] if len(curve) else default

    @property
    def late_span(self) -> str:
        """The steps of the last quarter, in words."""
        return self.late("loss/task").span

    def named(self, prefix: str) -> dict[str, Curve]:
        """Curves whose names begin so, by the rest of the name."""
        return {name.removeprefix(prefix): c for name, c in self.curves.items() if name.startswith(prefix)}

    @property
    def branches(self) -> list[str]:
        """The branches that learn."""
        return list(self.report) or list(self.named("batch_rows/"))

    @property
    def layers(self) -> list[int]:
        """The MoE layers."""
        names = {name.partition("/")[0] for name in self.named("routing/layer")}
        return sorted(int(name) for name in names)

    def shares(self, layer: int) -> list[float]:
        """Each expert's share of the layer's tokens, over the last quarter."""
        experts = range(len(self.named(f"routing/layer{layer}/expert")))
        return [self.late(f"routing/layer{layer}/expert{expert}").mean for expert in experts]

    @property
    def tokens_per_text(self) -> int:
        """Mean tokens of a text, by the lengths in the report; the most there can be where there is no report."""
        rows = sum(int(branch["num_train"]) for branch in self.report.values())
        longest: int = self.config.system.max_seq_len
        if not rows:
            return longest
        characters = float(sum(b["length_median"] * b["num_train"] for b in self.report.values())) / rows
        return max(2, min(longest, round(characters / _CHARACTERS_PER_TOKEN) + 2))

    @property
    def epochs_done(self) -> float:
        """The last whole epoch."""
        return self.last("epoch")

    @property
    def is_half_done(self) -> bool:
        """Whether a run that still learns has had half of its epochs: before that a low accuracy says nothing."""
        return self.results is not None or self.epochs_done >= self.config.training.epochs / 2

    @cached_property
    def guess_loss(self) -> float:
        """What guessing costs: the mean of ln(num_classes) over a batch's rows. A loss without learning stays there."""
        rows = {name: curve.mean for name, curve in self.named("batch_rows/").items()}
        known = {name: int(self.report[name]["num_classes"]) for name in rows if name in self.report}
        total = sum(rows[name] for name in known)
        if not total:
            return self.curve("loss/task").values[0]
        return sum(rows[name] * math.log(count) for name, count in known.items()) / total

    @property
    def loss_left(self) -> float:
        """The last quarter's loss over what guessing costs: 1 is nothing learnt."""
        return self.late("loss/task").median / self.guess_loss

    def accuracy(self, branch: str) -> Accuracy | None:
        """On test rows, else on validation rows; of an unfinished run those of its best epoch. None where none is known."""
        for part, where in ((("test",), "test"), (("fit", "validation"), "validation")):
            found: Any = self.results or {}
            for key in (*part, branch):
                found = found.get(key, {}) if isinstance(found, Mapping) else {}
            if found:
                return Accuracy(found["accuracy"], found["num_rows"], f"{where} rows")
        # Step 0 is what a head start reached: those weights are not kept.
        curve, mean = self.curve(f"accuracy/{branch}").since(1), self.curve("accuracy/mean").since(1)
        if not len(curve):
            return None
        best = mean.steps[max(range(len(mean)), key=lambda i: mean.values[i])]
        value = curve.since(best).values[0]
        rows = int(self.report.get(branch, {}).get("num_validation", 0))
        return Accuracy(value, rows, f"validation rows at step {best}")

    @property
    def weak(self) -> dict[str, Accuracy]:
        """The branches under the document's 85 %."""
        found = {name: self.accuracy(name) for name in self.branches}
        return {name: a for name, a in found.items() if a is not None and a.value < limit.ACCURACY.value}


def read_history(folder: str | Path) -> History:
    """Raises `StorageError` when the folder is no run, `DataError` when the run has not logged anything yet."""
    folder = Path(folder)
    if not folder.is_dir():
        raise StorageError(
            f"no folder at {folder}; give the folder of a run (what `iai train` wrote), or a config file"
        )
    if not (folder / "run.yaml").is_file():
        inside = "it is a model without its run" if (folder / "config.json").is_file() else "it holds no run.yaml"
        raise StorageError(f"{folder} is no run: {inside}; give the output folder of `iai train`, or a config file")
    history = History(
        folder=folder,
        config=RunConfig.from_file(folder / "run.yaml"),
        lines=tuple(_lines(folder / "metrics.jsonl")),
        report=_read(folder / "data_report.json") or {},
        results=_read(folder / "results.json"),
        failure=failure_of(folder),
    )
    if not history.lines and history.failure is None:
        raise DataError(
            f"{folder} has no figures in metrics.jsonl yet; wait for the training's first step, and ask again"
        )
    return history


def _read(path: Path) -> dict[str, Any] | None:
    return read_json(path) if path.is_file() else None


def _lines(path: Path) -> list[dict[str, float]]:
    """The whole lines of a log that is perhaps being written: a torn last one is left out."""
    if not path.is_file():
        return []
    out = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(keepends=True), start=1):
        if not text.endswith("\n"):
            break
        try:
            line = json.loads(text)
            out.append({str(name): float(value) for name, value in line.items()})
            int(out[-1]["step"])
        except (json.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path}, line {number} is not an object of figures with a step: {text.strip()[:60]!r}; was it edited? "
                "Remove the line, and ask again"
            ) from error
    return out
