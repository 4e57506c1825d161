"""Labelled rows on the command line: `--data NAME=FILE`, or the test rows of the run itself."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from interconnected_ai.cli.output import Output
from interconnected_ai.config import RunConfig
from interconnected_ai.errors import DataError, StorageError

if TYPE_CHECKING:
    from interconnected_ai.branches import InterconnectedAISystem
    from interconnected_ai.data import Rows

F = TypeVar("F", bound=Callable[..., Any])


def column_options(function: F) -> F:
    """The columns of a data file."""
    text = click.option("--text", default="text", show_default=True, help="Column of the text.")
    label = click.option("--label", default="label", show_default=True, help="Column of the label.")
    return text(label(function))


def data_options(function: F) -> F:
    """--data NAME=FILE (repeatable), --text, --label."""
    data = click.option(
        "--data",
        multiple=True,
        metavar="[BRANCH=]FILE",
        help="Labelled rows of a branch (.csv .tsv .json .jsonl .xlsx .parquet …); repeat for several. Default: the run's test "
        "rows.",
    )
    return data(column_options(function))


def rows_for(run: Path, system: "InterconnectedAISystem", data: Sequence[str], text: str, label: str) -> "Rows":
    """The rows that --data names, or those the run held out for testing."""
    from interconnected_ai.data import Rows, read_rows

    if data:
        parts = []
        for item in data:
            name, path = _branch_and_path(item, system.branch_names)
            parts.append(read_rows(path, text, {system.branch_name(name): label}))
        return Rows.joined(parts)
    return held_out_rows(run)


def warn_of_rows(output: Output, system: "InterconnectedAISystem", rows: "Rows") -> None:
    """Tell what is odd about rows that a command was given, and where the encoder does not read their language."""
    from interconnected_ai.branches import EMBEDDED_ENCODER
    from interconnected_ai.data import remarks_on
    from interconnected_ai.training import language_remark

    found = language_remark(system.encoder.name or EMBEDDED_ENCODER, rows.texts)
    output.warn([*remarks_on(rows), *([found] if found else [])])


def held_out_rows(run: Path) -> "Rows":
    """The test rows of a run, read again: those that it held out, whatever rows have come since."""
    from interconnected_ai.training import splits_of_finished_run

    kept = run / "run.yaml"
    if not kept.is_file():
        raise DataError(f"{run} is no run with data of its own; give rows with --data BRANCH=FILE")
    test = splits_of_finished_run(run, RunConfig.from_file(kept)).test
    if not len(test):
        raise DataError(f"the run {run} held out no test rows; give rows with --data BRANCH=FILE")
    return test


def model_folder(run: Path) -> Path:
    """The model inside a run folder, or the folder itself when it is a model."""
    inside = run / "model"
    if inside.is_dir():
        return inside
    if (run / "run.yaml").is_file():
        raise StorageError(
            f"{run} is an unfinished run without a model; finish it with: iai train "
            f"{shlex.quote(str(run / 'run.yaml'))} --resume"
        )
    return run


def _branch_and_path(item: str, names: Sequence[str]) -> tuple[str, str]:
    name, separator, path = item.partition("=")
    if separator:
        if not name or not path:
            raise click.UsageError(f"--data {item}: write --data BRANCH=FILE; branches: {', '.join(names)}")
        return name, path
    if len(names) == 1:
        return names[0], item
    raise click.UsageError(
        f"--data {item}: say which branch the rows belong to, --data BRANCH={item}; branches: {', '.join(names)}"
    )
