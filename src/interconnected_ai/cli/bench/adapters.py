"""`iai bench adapters`."""

import click

from interconnected_ai.cli.output import Output, print_measured, with_output


@click.command("adapters")
@click.option(
    "--base", default="smollm2", show_default=True, help="The base: smollm2, a GGUF file, a folder or a hub id."
)
@click.option("--part", "parts", multiple=True, help="Measure this part only; repeat for several.")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(min=1), help="Runs of each contestant.")
@with_output
def command(base: str, parts: tuple[str, ...], repeats: int, output: Output) -> None:
    """A pretrained base and adapters over it: bytes, switching, mixed batches, generation, chat, training, quality.

    Parts are serving, generation, chat, training and quality, which takes 12 minutes.
    """
    from interconnected_ai.bench import adapter_goals, bench_adapters

    found = bench_adapters(base, repeats=repeats, parts=parts, say=output.say)
    print_measured(output, found, adapter_goals(found))
