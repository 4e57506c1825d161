"""`iai bench headline`."""

import click

from interconnected_ai.cli.output import Output, with_output


@click.command("headline")
@with_output
def command(output: Output) -> None:
    """The document's table, MoE system and dense twin, measured, beside what the document claims."""
    from interconnected_ai.bench import bench_headline

    found = bench_headline()
    output.table(
        "Measured here, and what the document claims for its own sizes (never measured by us)",
        ["", "dense twin", "MoE", "MoE / dense", "claimed dense", "claimed MoE", "claimed ratio"],
        [(row["what"], row["dense"], row["moe"], f"{row['ratio']:.3f}", *row["claimed"]) for row in found["rows"]],
    )
    output.result(found)
