"""`iai plan document`: the source document's table, claimed and computed."""

from dataclasses import asdict

import click

from interconnected_ai.cli.output import Output, with_output


@click.command("document")
@with_output
def command(output: Output) -> None:
    """The source document's figures: claimed there, and computed from its own sizes."""
    from interconnected_ai.planner import document_table

    claims = document_table()
    output.table(
        "The document's table: claimed there, computed from its own sizes (nothing here was measured)",
        ["what", "claimed", "computed", "why they differ"],
        [(claim.what, claim.claimed, claim.computed, claim.why) for claim in claims],
    )
    output.result({"claims": [asdict(claim) for claim in claims]})
