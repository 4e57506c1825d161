"""`iai evaluate RUN`."""

from dataclasses import asdict
from pathlib import Path

import click

from interconnected_ai.cli.alternatives import only_with
from interconnected_ai.cli.completion import RunPath
from interconnected_ai.cli.output import Output, percent, with_output
from interconnected_ai.cli.rows import data_options, model_folder, rows_for, warn_of_rows


@click.command("evaluate")
@click.argument("run", type=RunPath())
@data_options
@click.option("--include-learnt", is_flag=True, help="Measure on rows too that the model has learnt.")
@only_with("data", "text", "label")
@with_output
def command(run: Path, data: tuple[str, ...], text: str, label: str, include_learnt: bool, output: Output) -> None:
    """Measure every branch of RUN on labelled rows: its own test rows, or those of --data BRANCH=FILE.

    Rows that a branch was trained, stopped or calibrated on are left out, and counted.
    """
    from interconnected_ai.branches import InterconnectedAISystem
    from interconnected_ai.training import evaluate, unseen

    system = InterconnectedAISystem.from_pretrained(model_folder(run))
    rows = rows_for(run, system, data, text, label)
    warn_of_rows(output, system, rows)
    left_out: dict[str, int] = {}
    if not include_learnt:
        found = unseen(rows, system).required()
        rows, left_out = found.rows, dict(found.left_out)
        output.say(*found.told)
    metrics = evaluate(system, rows, include_learnt=True)
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
    output.result({"run": str(run), "left_out": left_out, "branches": {name: asdict(m) for name, m in metrics.items()}})
