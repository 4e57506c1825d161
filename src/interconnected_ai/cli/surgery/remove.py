"""`iai surgery remove FOLDER --experts 3,5`."""

from pathlib import Path
from typing import Any

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.outputs import Source
from interconnected_ai.cli.surgery.inputs import numbers, open_model, output_options
from interconnected_ai.storage import version_of


@click.command("remove")
@click.argument("folder", type=Source())
@click.option("--experts", required=True, help="Numbers and ranges, such as 77 or 80-100,3.")
@output_options
@with_output
def command(folder: str, experts: str, target: Path, output: Output) -> None:
    """Take these experts out of every layer (a config knows one number for all); works on a checkpoint larger than memory.

    A folder with rules, adapters or closed experts is opened in memory instead; rules and adapters follow the experts.
    """
    from interconnected_ai.surgery import Checkpoint

    standing = version_of(target)
    checkpoint, gone = Checkpoint(folder), numbers(experts, "--experts")
    first = next(iter(checkpoint.layers))
    if checkpoint.has_side_car:
        moe: Any = open_model(folder)
        for layer in moe.layers:
            moe.remove(layer.number, gone)
        moe.save(target, replaces=standing)
        left = moe.layers[first].num_experts
    else:
        for number in checkpoint.layers:
            checkpoint.remove(number, gone)
        checkpoint.save(target, replaces=standing)
        left = checkpoint.num_experts(first)
    output.say(f"{len(gone)} experts less in each of {len(checkpoint.layers)} layers, {left} are left: {target}")
    output.result({"folder": str(target), "removed": gone, "num_experts": left})
