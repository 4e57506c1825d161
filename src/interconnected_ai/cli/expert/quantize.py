"""`iai expert quantize EXPERT --to int8|int4 --out PATH`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interconnected_ai.cli.completion import ExpertPath
from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.outputs import OutputPath, Source, asked_to_replace, overwrite_option
from interconnected_ai.errors import DataError

if TYPE_CHECKING:
    from interconnected_ai.experts import QuantizedSize

_MEGABYTE = 2**20  # as the tables of sizes count


@click.command("quantize")
@click.argument("expert", type=ExpertPath())
@click.option("--to", "precision", required=True, type=click.Choice(["int8", "int4"]), help="Bits of a weight.")
@click.option("--out", required=True, type=OutputPath(), help="The folder to write.")
@overwrite_option
@click.option(
    "--text",
    "text",
    multiple=True,
    type=Source(),
    metavar="FILE",
    help="Text to measure perplexity on.  [default: its test documents]",
)
@with_output
def command(expert: Path, precision: str, out: Path, text: tuple[str, ...], output: Output) -> None:
    """Write EXPERT with its weights in 8 or 4 bits, and measure what that costs in perplexity."""
    from interconnected_ai.experts import quantize_expert, require_quantizable

    require_quantizable(expert)  # before perplexity is measured for minutes
    before = _perplexity(expert, expert, text, output)
    size = quantize_expert(expert, out, precision, overwrite=asked_to_replace())
    output.table(f"{out}: {size.num_params:,} parameters in {precision}", ["weights", "MB (2²⁰ bytes)"], _rows(size))
    perplexities = _perplexities(before, None if before is None else _perplexity(out, expert, text, output), output)
    output.result(
        {"expert": str(expert), "out": str(out), **asdict(size), "total_bytes": size.total_bytes, **perplexities}
    )


def _rows(size: "QuantizedSize") -> list[tuple[str, str]]:
    parts = {
        "values": size.value_bytes,
        "scales": size.scale_bytes,
        "biases and norms, float32": size.kept_bytes,
        "together": size.total_bytes,
        "in float32": size.float_bytes,
    }
    return [(name, f"{count / _MEGABYTE:.2f}") for name, count in parts.items()]


def _perplexity(measured: Path, expert: Path, text: tuple[str, ...], output: Output) -> float | None:
    """Of one expert on the text, or on the test documents of `expert`; None where there are none."""
    from interconnected_ai.training import evaluate_expert

    try:
        return evaluate_expert(measured, text, documents_of=expert).perplexity
    except DataError as error:
        if text:
            raise
        output.say(f"Perplexity was not measured ({error}); give text with --text FILE")
        return None


def _perplexities(before: float | None, after: float | None, output: Output) -> dict[str, float | None]:
    change = None if before is None or after is None else after / before - 1
    if change is not None:
        output.say(f"Perplexity {before:.3f} in float32, {after:.3f} in quantised weights: {100 * change:+.2f} %")
    return {"perplexity_before": before, "perplexity_after": after, "perplexity_change": change}
