"""What the folder of a system's training says of it, for those who judge or show the run: the one reader of its files."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from pydantic import TypeAdapter

from interconnected_ai.arguments import checked
from interconnected_ai.config import RunConfig
from interconnected_ai.data import BranchReport
from interconnected_ai.errors import NotAModelError
from interconnected_ai.training.curves import Curve, read_curves
from interconnected_ai.training.failures import Failure, failure_of
from interconnected_ai.training.origin import Origin, origin_of
from interconnected_ai.training.run_folder import as_record, content_of
from interconnected_ai.training.system.answers import KeptAnswers, kept_answers
from interconnected_ai.training.system.baseline import Baseline
from interconnected_ai.training.system.fit import FitResult
from interconnected_ai.training.system.metrics import BranchMetrics


@dataclass(frozen=True)
class RunResults:
    """results.json: how the training went, and the metrics of every branch on the test rows.

    baseline: of each branch that it was measured for; empty with `--no-baseline` and in runs of older versions.
    """

    fit: FitResult
    test: dict[str, BranchMetrics]
    baseline: dict[str, Baseline] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRecord:
    """A run, read from its folder. data: what was read for each branch; results: None before the end; failure: the error that
    ended it, if one did. origin: None, and answers: empty, in runs of versions that kept none.
    """

    folder: Path
    config: RunConfig
    curves: dict[str, Curve]
    data: dict[str, BranchReport]
    results: RunResults | None
    failure: Failure | None
    origin: Origin | None = None
    answers: Mapping[str, KeptAnswers] = field(default_factory=dict)


@checked
def read_run(folder: str | Path) -> RunRecord:
    """Read what a run has written so far. May be called while it is at work, from any thread or process.

    Raises `NotAModelError` for a folder that is no run, `IntegrityError` for a file that is not what a run writes there,
    `ConfigError` for a config that is none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotAModelError(
            f"no folder at {folder}; give the folder of a run (what `iai train` wrote, the `output` of its config)"
        )
    if not (folder / "run.yaml").is_file():
        inside = "it is a model without its run" if (folder / "config.json").is_file() else "it holds no run.yaml"
        raise NotAModelError(f"{folder} is no run: {inside}; give the output folder of `iai train`")
    return RunRecord(
        folder=folder,
        config=RunConfig.from_file(folder / "run.yaml"),
        curves=read_curves(folder / "metrics.jsonl"),
        data=_data_of(folder / "data_report.json"),
        results=_results_of(folder / "results.json"),
        failure=failure_of(folder),
        origin=origin_of(folder / "origin.json"),
        answers=kept_answers(folder / "answers.json"),
    )


_DATA = TypeAdapter(dict[str, BranchReport])
_RESULTS = TypeAdapter(RunResults)
_UNMEASURED = {field.name: math.nan for field in fields(BranchMetrics)}


def _data_of(path: Path) -> dict[str, BranchReport]:
    return as_record(path, content_of(path), _DATA) if path.exists() else {}


def _results_of(path: Path) -> RunResults | None:
    """The results; NaN stands for metrics that another version did not measure."""
    if not path.exists():
        return None
    content = content_of(path)
    fit = content.get("fit")
    for measured in (content.get("test"), fit.get("validation") if isinstance(fit, dict) else None):
        if isinstance(measured, dict):
            measured.update({name: {**_UNMEASURED, **m} for name, m in measured.items() if isinstance(m, dict)})
    return as_record(path, content, _RESULTS)
