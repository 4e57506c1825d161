"""`iai surgery apply RECIPE MODEL`."""

from pathlib import Path
from typing import Any

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.outputs import Source
from interconnected_ai.cli.surgery.inputs import open_model, output_options
from interconnected_ai.storage import version_of


@click.command("apply")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.argument("model", type=Source())
@output_options
@click.option("--any-weights", is_flag=True, help="Accept a model of the same shape with other weights.")
@click.option(
    "--streaming", is_flag=True, help="Edit the files without loading the model: what a plain checkpoint can hold."
)
@with_output
def command(recipe: Path, model: str, target: Path, any_weights: bool, streaming: bool, output: Output) -> None:
    """Replay the steps of RECIPE on MODEL and write the result; all of them or none."""
    from interconnected_ai.surgery import Checkpoint, Recipe

    standing = version_of(target)
    read = Recipe.load(recipe)
    words = None
    if streaming:
        checkpoint = Checkpoint(model)
        checkpoint.apply(read)
        checkpoint.save(target, replaces=standing)
    else:
        moe: Any = open_model(model)
        moe.apply(read, any_weights=any_weights)
        words = moe.save(target, replaces=standing).words
    output.say(*(f"{step.do} {step.arguments}" for step in read.steps), f"Written to {target}.")
    output.say(*([f"{words}."] if words else []))
    output.result({"folder": str(target), "steps": [step.do for step in read.steps], "vanilla": words is None})
