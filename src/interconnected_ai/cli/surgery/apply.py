"""`iai surgery apply RECIPE MODEL`."""

from pathlib import Path
from typing import Any

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.outputs import Source
from interconnected_ai.cli.surgery.inputs import open_model, output_options
from interconnected_ai.cli.surgery.outcome import Outcome, telling_warnings


@click.command("apply")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.argument("model", type=Source())
@output_options
@click.option("--any-weights", is_flag=True, help="Accept a model of the same shape with other weights.")
@click.option("--without-adapters", is_flag=True, help="Leave out the adapters of the recipe.")
@click.option("--incomplete", is_flag=True, help="Accept a recipe that says what it lacks.")
@click.option(
    "--streaming", is_flag=True, help="Edit the files without loading the model: what a plain checkpoint can hold."
)
@with_output
def command(
    recipe: Path,
    model: str,
    target: Path | None,
    any_weights: bool,
    without_adapters: bool,
    incomplete: bool,
    streaming: bool,
    output: Output,
) -> None:
    """Replay the steps of RECIPE on MODEL and write the result; all of them or none.

    What its steps brought along (experts, adapters) stands beside RECIPE in a file of the same name, .safetensors. Without
    --output it shows what would change.
    """
    from interconnected_ai.surgery import Checkpoint, Recipe

    read = Recipe.load(recipe, adapters=not without_adapters)
    edited: Any = Checkpoint(model) if streaming else open_model(model)
    outcome = Outcome(edited, target)
    with telling_warnings(output):
        edited.apply(read, any_weights=any_weights, incomplete=incomplete)
    told = "; ".join(f"{step.do} {step.arguments}" for step in read.steps) or "No step"
    outcome.deliver(output, told, {"steps": [step.do for step in read.steps]})
