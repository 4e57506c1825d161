"""`iai surgery top-k FOLDER K`."""

from pathlib import Path

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.outputs import Source
from interconnected_ai.cli.surgery.inputs import editable, output_options
from interconnected_ai.cli.surgery.outcome import Outcome


@click.command("top-k")
@click.argument("folder", type=Source())
@click.argument("top_k", type=int, metavar="K")
@output_options
@with_output
def command(folder: str, top_k: int, target: Path | None, output: Output) -> None:
    """Let a token take K experts in every layer; works on a checkpoint larger than memory.

    A folder with rules, adapters or closed experts is opened in memory instead. Without --output it shows what would change.
    """
    edited = editable(folder)
    outcome = Outcome(edited, target)
    before = max(edited.sizes().top_k.values())
    edited.set_top_k(top_k)
    outcome.deliver(output, f"A token takes {top_k} experts instead of {before}", {"top_k": top_k, "before": before})
