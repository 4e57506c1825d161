"""`iai bench norm`."""

import click

from interconnected_ai.cli.output import Output, with_output


@click.command("norm")
@click.option("--library", default="numpy", show_default=True, help="Whose documentation is learnt.")
@click.option("--steps", default=200, show_default=True, type=click.IntRange(min=1), help="Steps of each training.")
@click.option("--seeds", default=2, show_default=True, type=click.IntRange(min=1), help="Trainings of each kind.")
@with_output
def command(library: str, steps: int, seeds: int, output: Output) -> None:
    """Post-norm against pre-norm: the same text and steps, each at its best learning rate."""
    from interconnected_ai.bench import bench_norm

    found = bench_norm(library=library, steps=steps, seeds=range(seeds), say=output.step)
    output.table(
        "Bits per byte of held-out documentation, mean over the seeds",
        ["norm", "learning rate", "bits per byte"],
        [(r["norm"], f"{r['lr']:g}", "no number" if r["bits_per_byte"] is None else f"{r['bits_per_byte']:.4f}")
         for r in found["rows"]],
    )  # fmt: skip
    if found["pre_over_post"] is not None:
        output.say(
            f"Pre-norm needs {found['pre_over_post']:.3f} × the bits of post-norm, each at its best learning rate."
        )
    output.result(found)
