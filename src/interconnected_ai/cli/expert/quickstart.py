"""`iai expert quickstart`."""

from pathlib import Path

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.outputs import OutputPath
from interconnected_ai.cli.settings import OF_A_TRAINING, seed_option


@click.command("quickstart")
@click.option(
    "--output", "folder", type=OutputPath(may_stand=True), default=Path("experts"), show_default=True,
    help="Folder of the experts.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace experts of the same names that stand there.")
@seed_option(OF_A_TRAINING, default=0)
@with_output
def command(folder: Path, overwrite: bool, seed: int, output: Output) -> None:
    """Train three experts on the documentation of Python, NumPy and PyTorch, and let each read the others' text.

    Needs no network: the texts are the docstrings of the installed packages. Takes about five minutes on two cores. Bits per
    byte: how small the expert could compress the text; lower is better.
    """
    from interconnected_ai.bench import EXPERT_DOMAINS, run_expert_quickstart

    done = run_expert_quickstart(folder, overwrite=overwrite, seed=seed, say=output.step)
    rows: list[tuple[str, ...]] = [
        (f"expert {name}", *(f"{found[domain]:.3f}" for domain in EXPERT_DOMAINS))
        for name, found in done.bits_per_byte.items()
    ]
    rows += [
        (method, *(f"{found[domain]:.3f}" for domain in EXPERT_DOMAINS)) for method, found in done.baselines.items()
    ]
    output.table("Bits per byte of held-out documentation", ["", *EXPERT_DOMAINS], rows)
    output.say(
        "unigrams, trigrams (Kneser-Ney), xz: taught with the training text of the column's domain.",
        *(f"{name}: {' '.join(text.split())}" for name, text in done.samples.items()),
        f"{done.num_params:,} parameters each, {done.seconds:.0f} s in all, of them "
        f"{sum(done.train_seconds.values()):.0f} s training in {done.precision}. "
        + (
            "Every expert knows its own domain best."
            if done.own_is_best
            else "An expert does not know its domain best!"
        ),
        f'The experts are in {folder}. Try: iai generate {folder / "numpy"} "Return the"',
    )
    output.result(done.to_dict())
