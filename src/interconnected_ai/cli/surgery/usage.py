"""`iai surgery usage MODEL --texts DIR`."""

from pathlib import Path
from typing import Any

import click

from interconnected_ai.cli.output import Output, percent, with_output
from interconnected_ai.cli.outputs import OutputPath, Source, overwrite_option
from interconnected_ai.cli.surgery.inputs import domains_in, open_model

PART = click.FloatRange(0, 1, min_open=True)


@click.command("usage")
@click.argument("model", type=Source())
@click.option(
    "--texts", "places", required=True, multiple=True, type=click.Path(path_type=Path),
    help="A file or folder of texts, one domain; repeat it for several.",
)  # fmt: skip
@click.option(
    "--generate", "generate_tokens", default=0, show_default=True, type=click.IntRange(min=0),
    help="Tokens to write after each text.",
)  # fmt: skip
@click.option("--max-tokens", default=256, show_default=True, type=click.IntRange(min=2), help="Of each text.")
@click.option("--share", default=0.25, show_default=True, type=PART, help="Part of the experts to suggest.")
@click.option(
    "--plot",
    type=OutputPath(".png", ".svg", may_lie_inside=(".png", ".svg")),
    help="Draw the heat map to this PNG or SVG.",
)
@overwrite_option
@with_output
def command(
    model: str,
    places: tuple[Path, ...],
    generate_tokens: int,
    max_tokens: int,
    share: float,
    plot: Path | None,
    output: Output,
) -> None:
    """Which experts the routers of MODEL choose for the texts of each domain, counted without padding."""
    domains = domains_in(places)
    moe: Any = open_model(model)
    found = moe.usage(domains, max_tokens=max_tokens, generate_tokens=generate_tokens)
    suggested = {domain: found.suggest(domain, share) for domain in domains}
    dead = found.dead()
    for domain in domains:
        rows = [
            (layer, percent(entropy), f"{load:.2f}", ", ".join(map(str, suggested[domain][layer])), len(dead[layer]))
            for layer, entropy, load in zip(found.layers, found.entropy(domain), found.imbalance(domain), strict=True)
        ]
        output.table(domain, ["layer", "evenness %", "busiest over mean", "most used", "dead in all domains"], rows)
    if plot is not None:
        output.say(f"Heat map: {found.heat_map(plot)}")
    output.result({**found.to_dict(), "suggested": suggested})
