"""A run as the doctor sees it: what follows from the curves and records in its folder."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from interconnected_ai.config import RunConfig, expected_tokens
from interconnected_ai.data import BranchReport
from interconnected_ai.doctor import thresholds as limit
from interconnected_ai.errors import DataError
from interconnected_ai.training import Curve, Failure, RunRecord, RunResults, read_run


@dataclass(frozen=True)
class Accuracy:
    """A branch's accuracy on held-out rows, of the weights that are kept. where: which rows, in words."""

    value: float
    num_rows: int
    where: str


@dataclass(frozen=True)
class History:
    """A run as the doctor looks at it: what its folder says, and what follows from that."""

    run: RunRecord

    @property
    def config(self) -> RunConfig:
        """The run's settings."""
        return self.run.config

    @property
    def results(self) -> RunResults | None:
        """What the finished run wrote; None before the end."""
        return self.run.results

    @property
    def failure(self) -> Failure | None:
        """The error that ended the run, if one did."""
        return self.run.failure

    @property
    def data(self) -> Mapping[str, BranchReport]:
        """What was read for each branch; empty where the report is missing."""
        return self.run.data

    @property
    def state(self) -> str:
        """finished, ended by an error, or unfinished (it runs, was interrupted or was killed)."""
        if self.results is not None:
            return "finished"
        return "unfinished" if self.failure is None else f"ended by {self.failure.kind} after {self.failure.step} steps"

    @cached_property
    def curves(self) -> dict[str, Curve]:
        """Every figure's curve by its name, without the steps at which it was no number."""
        found = {name: curve.finite for name, curve in self.run.curves.items()}
        return {name: curve for name, curve in found.items() if len(curve)}

    def curve(self, name: str) -> Curve:
        """One figure's curve, empty when it was never logged."""
        return self.curves.get(name, Curve())

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
        return list(self.data) or list(self.named("batch_rows/"))

    @property
    def layers(self) -> list[int]:
        """The MoE layers."""
        names = {name.partition("/")[0] for name in self.named("routing/layer")}
        return sorted(int(name) for name in names if name.isdigit() and self._knows_all_experts(int(name)))

    def _knows_all_experts(self, layer: int) -> bool:
        """Whether the use of each of a layer's experts was logged."""
        curves = self.named(f"routing/layer{layer}/expert")
        return bool(curves) and all(str(expert) in curves for expert in range(len(curves)))

    def shares(self, layer: int) -> list[float]:
        """Each expert's share of the layer's tokens, over the last quarter."""
        experts = range(len(self.named(f"routing/layer{layer}/expert")))
        return [self.late(f"routing/layer{layer}/expert{expert}").mean for expert in experts]

    @property
    def tokens_per_text(self) -> int:
        """Mean tokens of a text, by the lengths in the report; the most there can be where there is no report."""
        rows = sum(branch.num_train for branch in self.data.values())
        longest: int = self.config.system.max_seq_len
        if not rows:
            return longest
        characters = sum(branch.length_median * branch.num_train for branch in self.data.values()) / rows
        return max(2, min(longest, round(expected_tokens(characters))))

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
        known = {
            name: self.data[name].num_classes for name in rows if name in self.data and self.data[name].num_classes > 1
        }
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
        if self.results is not None:
            for measured, where in ((self.results.test, "test"), (self.results.fit.validation, "validation")):
                if (found := measured.get(branch)) is not None:
                    return Accuracy(found.accuracy, found.num_rows, f"{where} rows")
        # Step 0 is what a head start reached: those weights are not kept.
        curve, mean = self.curve(f"accuracy/{branch}").since(1), self.curve("accuracy/mean").since(1)
        if not len(curve):
            return None
        mean = mean if len(mean) else curve
        best = mean.steps[max(range(len(mean)), key=lambda i: mean.values[i])]
        value = (curve.since(best) or curve).values[0]
        rows = self.data[branch].num_validation if branch in self.data else 0
        return Accuracy(value, rows, f"validation rows at step {best}")

    @property
    def weak(self) -> dict[str, Accuracy]:
        """The branches under the document's 85 %."""
        found = {name: self.accuracy(name) for name in self.branches}
        return {name: a for name, a in found.items() if a is not None and a.value < limit.ACCURACY.value}


def read_history(folder: str | Path) -> History:
    """Raises what `read_run` does, and `DataError` when the run has not logged anything yet."""
    run = read_run(folder)
    if not run.curves and run.failure is None:
        raise DataError(
            f"{run.folder} has no figures in metrics.jsonl yet; wait for the training's first step, and ask again"
        )
    return History(run)
