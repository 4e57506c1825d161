"""`iai surgery quickstart`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from interconnected_ai.cli.alternatives import is_given
from interconnected_ai.cli.output import Output, percent, with_output
from interconnected_ai.cli.outputs import OutputPath, asked_to_replace, overwrite_option

if TYPE_CHECKING:
    from interconnected_ai.bench import SurgeryQuickstart


@click.command("quickstart")
@click.option(
    "--output", "folder", type=OutputPath(may_stand=True), default=Path("runs/surgery"), show_default=True,
    help="Folder for the models.",
)  # fmt: skip
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    help="Of the first training, or of the routers with --base.  [default: as many as some minutes allow]",
)
@click.option(
    "--base", metavar="MODEL",
    help="Mix this base with its adapters instead: smollm2, a folder, a GGUF file, a hub id.  [default: a model of its own]",
)  # fmt: skip
@click.option(
    "--experts", type=click.Path(path_type=Path), default=Path("experts"), show_default=True,
    help="With --base: the folder of its adapters stdlib, numpy and torch.",
)  # fmt: skip
@click.option("--seed", default=0, show_default=True)
@overwrite_option
@with_output
def command(folder: Path, steps: int | None, base: str | None, experts: Path, seed: int, output: Output) -> None:
    """Train a small Qwen3-MoE on documentation that is on this machine, then operate on it.

    Which experts serve which library, LoRA on two of them, a role token, and a new expert that changes nothing until it is let
    in. Needs no network; some minutes on two cores. With --base the model is a mixture of a pretrained base and of the adapters
    that `iai expert quickstart --base MODEL` made, its routers trained: about twenty minutes.
    """
    from interconnected_ai.bench import (
        SURGERY_ROLE,
        SURGERY_STEPS,
        SURGERY_UNSEEN,
        run_base_surgery_quickstart,
        run_surgery_quickstart,
    )

    if base is None:
        if is_given(click.get_current_context(), "experts"):
            raise click.UsageError(
                "--experts says where the adapters of --base are; give --base, or leave --experts out"
            )
        done = run_surgery_quickstart(
            folder, steps=steps or SURGERY_STEPS, seed=seed, overwrite=asked_to_replace(), say=output.step
        )
    else:
        done = run_base_surgery_quickstart(
            folder, base, experts, router_steps=steps, seed=seed, overwrite=asked_to_replace(), say=output.step
        )
    output.say(
        f"{done.num_params:,} parameters, {done.train_seconds:.0f} s of training {'its routers ' if base else ''}at "
        f"{done.tokens_per_second:,.0f} tokens/s, loss {done.loss_first:.2f} → {done.loss_last:.2f}"
    )
    if done.of_base is not None:
        output.table(
            "Held-out documents: perplexity of the dense models, and of their mixture",
            ["model", *done.perplexity],
            [(name, *found.values()) for name, found in done.of_base.items()],
        )
    output.table(
        "Held-out documents: perplexity",
        [
            "library",
            "trained model",
            f"LoRA on {_share_of(done)} experts for {SURGERY_ROLE}",
            f"a new expert for {SURGERY_UNSEEN}",
            "evenness of use %",
        ],
        [
            (
                library,
                before,
                done.adapter_after[library],
                done.insertion.after[library],
                percent(done.entropy[library]),
            )
            for library, before in done.perplexity.items()
        ],
    )
    role = done.role
    output.table(
        f"The role: <|role={role.name}|> switches the adapters on (id {role.token_id})",
        ["", "before", "after"],
        [
            (f"{role.name}, with its token after", role.role_before, role.role_after),
            ("the other libraries, without it", role.others_before, role.others_after),
        ],
    )
    output.say(
        f"The new experts while closed: outputs {'equal to the last bit' if done.insertion.same_bits else 'DIFFER'}. "
        f"Saved with them, "
        f"transformers' from_pretrained gives "
        f"{'the same logits to the last bit' if done.insertion.vanilla_equal else 'OTHER logits'}.",
        *([f"Heat map of use: {done.heat_map}"] if done.heat_map else []),
        f"Models: {folder / 'base'}, {folder / 'role'} (with a side-car), {folder / 'grown'}. {done.seconds:.0f} s in all.",
    )
    output.result(done.to_dict())


def _share_of(done: "SurgeryQuickstart") -> str:
    """How many experts of a layer got adapters, of how many."""
    return f"{len(next(iter(done.adapter_experts.values())))} of {done.num_experts}"
