"""`iai expert quickstart`."""

import shlex
from pathlib import Path

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.outputs import OutputPath, Source
from interconnected_ai.cli.settings import OF_A_TRAINING, seed_option


@click.command("quickstart")
@click.option(
    "--output", "folder", type=OutputPath(may_stand=True), default=Path("experts"), show_default=True,
    help="Folder of the experts.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace experts of the same names that stand there.")
@seed_option(OF_A_TRAINING, default=0)
@click.option(
    "--base",
    type=Source(),
    help="Adapt this pretrained base in place of training from nothing: smollm2, a folder, a hub id.",
)
@click.option("--steps", type=click.IntRange(1), help="Of each adapter, with --base.  [default: some 150]")
@click.option(
    "--scratch/--no-scratch", default=True,
    help="With --base: train experts from nothing for the same minutes, to compare with.  [default: scratch]",
)  # fmt: skip
@with_output
def command(
    folder: Path, overwrite: bool, seed: int, base: str | None, steps: int | None, scratch: bool, output: Output
) -> None:
    """Train three experts on the documentation of Python, NumPy and PyTorch, and let each read the others' text.

    Needs no network: the texts are the docstrings of the installed packages. Takes about five minutes on two cores. Bits per
    byte: how small the expert could compress the text; lower is better.

    With --base three adapters on that base, beside the base alone and experts that learn from nothing for the same minutes;
    about twelve minutes with smollm2 for the adapters and what they are measured against, half of it with --no-scratch.
    """
    if base is not None:
        _adapt(folder, base, overwrite, seed, steps, scratch, output)
        return
    if steps is not None or not scratch:
        named = "--steps" if steps is not None else "--no-scratch"
        raise click.UsageError(f"{named} says something of adapters alone; give --base too, or leave {named} out")
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
        f'The experts are in {folder}. Try: iai generate {shlex.quote(str(folder / "numpy"))} "Return the"',
    )
    output.result(done.to_dict())


def _adapt(
    folder: Path, base: str, overwrite: bool, seed: int, steps: int | None, scratch: bool, output: Output
) -> None:
    from interconnected_ai.bench import ADAPTER_STEPS, EXPERT_DOMAINS, run_adapter_quickstart

    done = run_adapter_quickstart(
        folder, base, overwrite=overwrite, seed=seed, scratch=scratch, say=output.step,
        steps=ADAPTER_STEPS if steps is None else steps,
    )  # fmt: skip
    rows: list[tuple[str, ...]] = [
        (f"adapter {name}", *(f"{found[domain]:.3f}" for domain in EXPERT_DOMAINS))
        for name, found in done.bits_per_byte.items()
    ]
    rows.append((f"{base} alone", *(f"{done.alone[domain]:.3f}" for domain in EXPERT_DOMAINS)))
    if done.scratch:
        rows.append(("from nothing", *(f"{done.scratch[domain]:.3f}" for domain in EXPERT_DOMAINS)))
    output.table("Bits per byte of held-out documentation", ["", *EXPERT_DOMAINS], rows)
    if done.scratch:
        output.say("from nothing: an expert for each domain, trained as long as its adapter.")
    output.say(
        *(f"{name}: {' '.join(text.split())}" for name, text in done.answers.items()),
        f"{done.num_params:,} parameters an adapter; {done.adapter_seconds:.0f} s for the three, {done.seconds:.0f} s in all, "
        f"in {done.precision}. On their own domains they need {done.over_base:.2f} of the base's bits"
        + (f", {done.over_scratch:.2f} of those of an expert from nothing. " if done.scratch else ". ")
        + (
            "Every adapter knows its own domain best."
            if done.own_is_best
            else "An adapter does not know its domain best!"
        ),
        f"The adapters are in {folder}. Try: iai chat {shlex.quote(str(folder / 'numpy'))}",
    )
    output.result(done.to_dict())
