"""`iai compare RUN_A RUN_B`."""

from dataclasses import asdict
from pathlib import Path

import click

from interconnected_ai.cli.alternatives import only_with
from interconnected_ai.cli.completion import RunPath
from interconnected_ai.cli.output import Output, percent, with_output
from interconnected_ai.cli.rows import data_options, model_folder, rows_for, warn_of_rows
from interconnected_ai.cli.settings import seed_option


@click.command("compare")
@click.argument("run_a", type=RunPath())
@click.argument("run_b", type=RunPath())
@data_options
@seed_option("Of the bootstrap.", default=0)
@click.option("--include-learnt", is_flag=True, help="Compare on rows too that one of the models has learnt.")
@only_with("data", "text", "label")
@with_output
def command(
    run_a: Path,
    run_b: Path,
    data: tuple[str, ...],
    text: str,
    label: str,
    seed: int,
    include_learnt: bool,
    output: Output,
) -> None:
    """Is RUN_B better than RUN_A? McNemar's exact test and a 95 % bootstrap interval per branch, on the same rows.

    Rows that either was trained, stopped or calibrated on are left out, and counted.
    """
    from interconnected_ai.branches import InterconnectedAISystem
    from interconnected_ai.training import compare_systems, unseen

    a = InterconnectedAISystem.from_pretrained(model_folder(run_a))
    b = InterconnectedAISystem.from_pretrained(model_folder(run_b))
    rows = rows_for(run_a, a, data, text, label)
    warn_of_rows(output, a, rows)
    warn_of_rows(output, b, rows)
    left_out: dict[str, int] = {}
    if not include_learnt:
        new = unseen(rows, a, b).required()
        rows, left_out = new.rows, dict(new.left_out)
        output.say(*new.told)
    found = compare_systems(a, b, rows, seed=seed, include_learnt=True)
    output.table(
        f"A = {run_a}, B = {run_b}",
        ["branch", "rows", "A %", "B %", "B − A, 95 % interval", "p (McNemar)", "verdict"],
        [
            (
                c.branch,
                c.num_rows,
                percent(c.accuracy_a),
                percent(c.accuracy_b),
                f"{100 * c.difference:+.2f} ({100 * c.interval[0]:+.2f} … {100 * c.interval[1]:+.2f})",
                f"{c.p_value:.4f}",
                c.verdict,
            )
            for c in found
        ],
    )
    output.result({"left_out": left_out, "branches": {c.branch: {**asdict(c), "verdict": c.verdict} for c in found}})
