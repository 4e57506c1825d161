"""`iai surgery insert MODEL --like 77`."""

from pathlib import Path
from typing import Any

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.outputs import Source
from interconnected_ai.cli.surgery.inputs import numbers, open_model, output_options
from interconnected_ai.cli.surgery.outcome import Outcome


@click.command("insert")
@click.argument("model", type=Source())
@click.option("--like", help="Copy this expert of each layer.  [default: the mean of the layer's experts]", type=int)
@click.option("--layers", help="Numbers and ranges.  [default: all]")
@click.option("--let-in", is_flag=True, help="Open the new experts at once: outputs change.")
@output_options
@with_output
def command(
    model: str, like: int | None, layers: str | None, let_in: bool, target: Path | None, output: Output
) -> None:
    """Add an expert to every layer, or some: out of reach at first, so that outputs stay the same to the last bit.

    Without --output it shows what would change.
    """
    moe: Any = open_model(model)
    outcome = Outcome(moe, target)
    chosen = [moe.layers[n] for n in numbers(layers, "--layers")] if layers else list(moe.layers)
    made = {}
    for layer in chosen:
        source = None if like is None else layer.experts[like]
        made[layer.number] = moe.insert(layer.number, [source] * layer.groups[0])
        if let_in:
            moe.let_in(layer.number, made[layer.number])
    outcome.deliver(
        output,
        f"New experts: {', '.join(f'layer {n}: {list(e)}' for n, e in made.items())}",
        {"experts": {n: list(e) for n, e in made.items()}},
    )
