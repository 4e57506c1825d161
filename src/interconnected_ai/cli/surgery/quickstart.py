"""`iai surgery quickstart`."""

from pathlib import Path

import click

from interconnected_ai.cli.output import Output, percent, with_output
from interconnected_ai.cli.outputs import OutputPath, asked_to_replace, overwrite_option


@click.command("quickstart")
@click.option(
    "--output", "folder", type=OutputPath(may_stand=True), default=Path("runs/surgery"), show_default=True,
    help="Folder for the models.",
)  # fmt: skip
@click.option(
    "--steps", type=click.IntRange(min=1), help="Of the first training.  [default: as many as eight minutes allow]"
)
@click.option("--seed", default=0, show_default=True)
@overwrite_option
@with_output
def command(folder: Path, steps: int | None, seed: int, output: Output) -> None:
    """Train a small Qwen3-MoE on documentation that is on this machine, then operate on it.

    Which experts serve which library, LoRA on two of them, a role token, and a new expert that changes nothing until it is let
    in. Needs no network; some minutes on two cores.
    """
    from interconnected_ai.bench import SURGERY_ROLE, SURGERY_STEPS, SURGERY_UNSEEN, run_surgery_quickstart

    done = run_surgery_quickstart(
        folder, steps=steps or SURGERY_STEPS, seed=seed, overwrite=asked_to_replace(), say=output.step
    )
    output.say(
        f"{done.num_params:,} parameters, {done.train_seconds:.0f} s of training at {done.tokens_per_second:,.0f} "
        f"tokens/s, loss "
        f"{done.loss_first:.2f} → {done.loss_last:.2f}"
    )
    output.table(
        "Held-out documents: perplexity",
        [
            "library",
            "trained model",
            f"LoRA on 2 of 16 experts for {SURGERY_ROLE}",
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
