"""`iai surgery top-k FOLDER K`."""

from pathlib import Path
from typing import Any

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.outputs import Source
from interconnected_ai.cli.surgery.inputs import open_model, output_options
from interconnected_ai.storage import version_of


@click.command("top-k")
@click.argument("folder", type=Source())
@click.argument("top_k", type=int, metavar="K")
@output_options
@with_output
def command(folder: str, top_k: int, target: Path, output: Output) -> None:
    """Let a token take K experts in every layer; works on a checkpoint larger than memory.

    A folder with rules, adapters or closed experts is opened in memory instead.
    """
    from interconnected_ai.surgery import Checkpoint

    standing = version_of(target)
    checkpoint = Checkpoint(folder)
    before = checkpoint.top_k
    if checkpoint.has_side_car:
        moe: Any = open_model(folder)
        moe.set_top_k(top_k)
        moe.save(target, replaces=standing)
    else:
        checkpoint.set_top_k(top_k)
        checkpoint.save(target, replaces=standing)
    output.say(f"A token takes {top_k} experts instead of {before}: {target}")
    output.result({"folder": str(target), "top_k": top_k, "before": before})
