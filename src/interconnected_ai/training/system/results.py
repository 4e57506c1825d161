"""results.json of a run: how its training went and what was measured at its end, written last of all and read with care."""

import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from pydantic import TypeAdapter

from interconnected_ai.training.run_folder import as_record, content_of, write_json_safely
from interconnected_ai.training.system.baseline import Baseline
from interconnected_ai.training.system.fit import FitResult
from interconnected_ai.training.system.metrics import BranchMetrics

RESULTS = "results.json"


@dataclass(frozen=True)
class RunResults:
    """results.json: how the training went, and the metrics of every branch on the test rows.

    baseline: of each branch that it was measured for; empty with `--no-baseline` and in runs of older versions.
    """

    fit: FitResult
    test: dict[str, BranchMetrics]
    baseline: dict[str, Baseline] = field(default_factory=dict)


_KIND = TypeAdapter(RunResults)
_UNMEASURED = {field.name: math.nan for field in fields(BranchMetrics)}


def write_results(folder: Path, results: RunResults) -> None:
    """Write them into a run's folder, which is a finished run from then on."""
    content = {"fit": asdict(results.fit), "test": {name: asdict(m) for name, m in results.test.items()}}
    if results.baseline:
        content["baseline"] = {name: asdict(found) for name, found in results.baseline.items()}
    write_json_safely(folder / RESULTS, content)


def read_results(folder: Path) -> RunResults | None:
    """What stands in a run's folder, None where nothing does; NaN stands for metrics that another version did not measure.

    Raises `IntegrityError` for a damaged file.
    """
    path = folder / RESULTS
    if not path.exists():
        return None
    content = content_of(path)
    fit = content.get("fit")
    for measured in (content.get("test"), fit.get("validation") if isinstance(fit, dict) else None):
        if isinstance(measured, dict):
            measured.update({name: {**_UNMEASURED, **m} for name, m in measured.items() if isinstance(m, dict)})
    return as_record(path, content, _KIND)
