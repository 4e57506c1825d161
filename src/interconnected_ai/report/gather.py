"""Gathers what a run left behind for its report: curves, use of the experts, answers to the test rows, cost.

`contents` arranges it, `page` writes it as HTML and PNG. What a run lacks is listed in `missing`, and is no error.
"""

import math
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from interconnected_ai.branches import InterconnectedAISystem
from interconnected_ai.config import RunConfig
from interconnected_ai.doctor import diagnose
from interconnected_ai.errors import ConfigError, InterconnectedAIError
from interconnected_ai.report.answers import BranchAnswers, answer
from interconnected_ai.report.missing import Missing
from interconnected_ai.report.records import Cost, ExpertUse, RunReport
from interconnected_ai.training import (
    BranchMetrics,
    Curve,
    FitResult,
    RunRecord,
    read_run,
    splits_of_finished_run,
    unseen,
)


def gather_report(run: str | Path, *, usd_per_hour: float | None = None) -> RunReport:
    """Read a run's folder and, when its model and test rows are there, answer the test rows again.

    Raises what `read_run` does, and `ConfigError` for a price that is none.
    """
    if usd_per_hour is not None and not (math.isfinite(usd_per_hour) and usd_per_hour >= 0):
        raise ConfigError(f"usd_per_hour={usd_per_hour}: needs a price of 0 or more")
    read = read_run(run)
    curves, results, missing = read.curves, read.results, list[Missing]()
    if not curves:
        missing.append(Missing("no_figures"))
    if read.failure is not None:
        missing.append(Missing("ended", read.failure.message))
    answers, num_params = _answers_of(read.folder, read.config, missing)
    recorded = {} if results is None else results.test
    if results is None and (read.folder / "model").is_dir():
        missing.append(Missing("no_results"))
    if differing := _differing(answers, recorded):
        missing.append(Missing("other_results", ", ".join(differing)))
    fit = None if results is None else results.fit
    cost = _cost_of(fit, curves, usd_per_hour)
    if usd_per_hour is not None and cost.usd is None:
        missing.append(Missing("no_usd"))
    return RunReport(
        folder=read.folder,
        config=read.config,
        curves=curves,
        experts=_expert_use(curves),
        answers=tuple(answers),
        recorded=recorded,
        num_train=_num_train(read, answers),
        num_params=num_params,
        fit=fit,
        cost=cost,
        missing=tuple(missing),
        diagnosis=diagnose(run) if curves or read.failure is not None else None,
        origin=read.origin,
        baseline={} if results is None else results.baseline,
    )


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
        test = unseen(splits_of_finished_run(folder, config).test, system).rows
    except InterconnectedAIError as error:  # the curves are worth showing all the same
        missing.append(Missing("no_answers", str(error)))
        return [], num_params
    if not len(test):
        missing.append(Missing("no_test_rows"))
        return [], num_params
    return answer(system, test, missing), num_params


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


def _num_train(run: RunRecord, answers: list[BranchAnswers]) -> dict[str, int]:
    """Training rows by branch: from the data report, and for branches added later from their cards."""
    added = {found.name: found.card.num_rows for found in answers}
    return {**added, **{name: read.num_train for name, read in run.data.items()}}


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
