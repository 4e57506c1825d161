"""What the folder of a system's training says of it, for those who judge or show the run: the one reader of its files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
from interconnected_ai.training.system.results import RunResults, read_results


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
        results=read_results(folder),
        failure=failure_of(folder),
        origin=origin_of(folder / "origin.json"),
        answers=kept_answers(folder / "answers.json"),
    )


_DATA = TypeAdapter(dict[str, BranchReport])


def _data_of(path: Path) -> dict[str, BranchReport]:
    return as_record(path, content_of(path), _DATA) if path.exists() else {}
