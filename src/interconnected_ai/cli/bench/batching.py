"""`iai bench batching`."""

import click

from interconnected_ai.cli.output import Output, print_measured, with_output
from interconnected_ai.cli.outputs import Source


@click.command("batching")
@click.option(
    "--base",
    type=Source(),
    metavar="BASE",
    help="What generates, such as smollm2; an expert of 29M parameters if not given.",
)
@click.option(
    "--engine", default="torch", show_default=True, type=click.Choice(["torch", "torch-int4"]),
    help="What computes; torch-int4 needs a GGUF base.",
)  # fmt: skip
@click.option("--streams", default=16, show_default=True, type=click.IntRange(min=2), help="Answers at a time.")
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(min=1), help="Runs of each contestant.")
@with_output
def command(base: str | None, engine: str, streams: int, repeats: int, output: Output) -> None:
    """16 streams made together beside one, and 32 callers of a classifier beside one list of texts."""
    from interconnected_ai.bench import bench_batching

    found = bench_batching(base, engine=engine, num_streams=streams, repeats=repeats)
    asked = [
        (f"{streams} streams together over one stream, tokens/s (goal ≥ 3)", "batching_gain"),
        ("  sampled", "sampled_gain"),
        ("  over threads that generate by themselves", "over_turns"),
        ("  over one call with as many prompts", "over_one_call"),
        ("  share of tokens that are those said alone", "same_tokens"),
        ("  streams that share a pass", "rows_per_pass"),
        ("32 callers of one text at a time over predict of all, texts/s (goal ≥ 0.85)", "classify_batch_share"),
        ("  texts that share a pass", "texts_per_pass"),
    ]
    print_measured(output, found, asked)
