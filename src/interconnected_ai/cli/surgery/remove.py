"""`iai surgery remove FOLDER --experts 3,5`."""

from pathlib import Path

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.outputs import Source
from interconnected_ai.cli.surgery.inputs import editable, numbers, output_options
from interconnected_ai.cli.surgery.outcome import Outcome


@click.command("remove")
@click.argument("folder", type=Source())
@click.option("--experts", required=True, help="Numbers and ranges, such as 77 or 80-100,3.")
@output_options
@with_output
def command(folder: str, experts: str, target: Path | None, output: Output) -> None:
    """Take these experts out of every layer (a config knows one number for all); works on a checkpoint larger than memory.

    A folder with rules, adapters or closed experts is opened in memory instead; rules and adapters follow the experts. Without
    --output it shows what would change.
    """
    gone = numbers(experts, "--experts")
    edited = editable(folder)
    outcome = Outcome(edited, target)
    layers = list(edited.sizes().num_experts)
    for layer in layers:
        edited.remove(layer, gone)
    left = edited.sizes().num_experts[layers[0]]
    outcome.deliver(
        output,
        f"{len(gone)} experts less in each of {len(layers)} layers, {left} are left",
        {"removed": gone, "num_experts": left},
    )
