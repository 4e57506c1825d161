"""`iai evaluate RUN`."""

from dataclasses import asdict
from pathlib import Path

import click

from interconnected_ai.cli.output import Output, percent, with_output
from interconnected_ai.cli.rows import data_options, model_folder, rows_for, warn_of_rows


@click.command("evaluate")
@click.argument("run", type=click.Path(path_type=Path))
@data_options
@with_output
def command(run: Path, data: tuple[str, ...], text: str, label: str, output: Output) -> None:
    """Measure every branch of RUN on labelled rows: its own test rows, or those of --data BRANCH=FILE."""
    from interconnected_ai.branches import InterconnectedAISystem
    from interconnected_ai.training import evaluate

    system = InterconnectedAISystem.from_pretrained(model_folder(run))
    rows = rows_for(run, system, data, text, label)
    warn_of_rows(output, system, rows)
    metrics = evaluate(system, rows)
    output.table(
        f"{run}",
        ["branch", "rows", "accuracy %", "macro-F1 %", "calibration error %", "answered %"],
        [
            (
                name,
                m.num_rows,
                percent(m.accuracy),
                percent(m.macro_f1),
                percent(m.calibration_error),
                percent(m.answered),
            )
            for name, m in metrics.items()
        ],
    )
    output.result({"run": str(run), "branches": {name: asdict(m) for name, m in metrics.items()}})
