"""`iai expert list [FOLDER]`."""

from pathlib import Path

import click

from interconnected_ai.cli.output import Output, with_output


@click.command("list")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("experts"))
@with_output
def command(folder: Path, output: Output) -> None:
    """The experts in FOLDER (default: experts), with their sizes and how well they do on their own held-out text."""
    from interconnected_ai.training.expert import list_experts

    found = list_experts(folder)
    rows = [
        (e.name, e.num_params, e.vocab_size, e.max_seq_len, "?" if e.bits_per_byte is None else f"{e.bits_per_byte:.3f}")
        for e in found
    ]
    if rows:
        output.table(str(folder), ["expert", "parameters", "vocabulary", "window", "bits per byte"], rows)
    else:
        output.say(f"No experts in {folder}. Train one: iai expert train --text FILES --out {folder}/NAME")
    output.result({"folder": str(folder), "experts": [e.to_dict() for e in found]})
