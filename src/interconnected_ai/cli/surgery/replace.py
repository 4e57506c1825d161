"""`iai surgery replace FOLDER --layer 3 --expert 77 --with 3:12`."""

from pathlib import Path

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.outputs import Source
from interconnected_ai.cli.surgery.inputs import editable, output_options
from interconnected_ai.cli.surgery.outcome import Outcome
from interconnected_ai.errors import ConfigError


@click.command("replace")
@click.argument("folder", type=Source())
@click.option("--layer", required=True, type=int)
@click.option("--expert", required=True, type=int)
@click.option(
    "--with", "sources", required=True, multiple=True, help="LAYER:EXPERT; repeat it for the mean of several."
)
@click.option("--from", "other", type=Source(), help="The folder they come from.  [default: FOLDER]")
@output_options
@with_output
def command(
    folder: str,
    layer: int,
    expert: int,
    sources: tuple[str, ...],
    other: str | None,
    target: Path | None,
    output: Output,
) -> None:
    """Put another expert's weights where one stands; works on a checkpoint larger than memory.

    A folder with rules, adapters or closed experts is opened in memory instead. In a quantised checkpoint one expert's bytes
    replace another's; a mean would have to be quantised, and is refused. Without --output it shows what would change.
    """
    from interconnected_ai.surgery import Checkpoint, average

    giver = Checkpoint(other or folder)
    places = [_place(source) for source in sources]
    edited = editable(folder)
    outcome = Outcome(edited, target)
    if len(places) == 1 and isinstance(edited, Checkpoint) and edited.scheme is not None:
        edited.replace(layer, expert, giver.stored(*places[0]))  # quantised: its bytes as they are
    else:
        given = [giver.read(*place) for place in places]
        edited.replace(layer, expert, average(given) if len(given) > 1 else given[0])
    outcome.deliver(
        output,
        f"Expert {expert} of layer {layer} has the weights of {', '.join(sources)}",
        {"layer": layer, "expert": expert, "with": list(sources)},
    )


def _place(text: str) -> tuple[int, int]:
    layer, colon, expert = text.partition(":")
    if not colon or not layer.isdecimal() or not expert.isdecimal():
        raise ConfigError(f"--with {text!r}: needs LAYER:EXPERT, such as 3:12")
    return int(layer), int(expert)
