"""`iai surgery role MODEL --name code --texts DIR`."""

from pathlib import Path
from typing import Any, Literal

import click

from interconnected_ai.cli.alternatives import is_given
from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.outputs import Source
from interconnected_ai.cli.surgery.inputs import numbers, open_model, output_options, texts_in
from interconnected_ai.cli.surgery.outcome import Outcome, telling_warnings

PART = click.FloatRange(0, 1, min_open=True)


@click.command("role")
@click.argument("model", type=Source())
@click.option("--name", required=True, help="The role: letters, digits, _ and -; its token is <|role=NAME|>.")
@click.option("--texts", required=True, type=click.Path(path_type=Path), help="The role's texts: a file or folder.")
@click.option(
    "--others", type=click.Path(path_type=Path), help="Texts that should stay as they are: measured, not learnt."
)
@click.option("--experts", default="auto", show_default=True, help="auto, or numbers and ranges such as 80-100.")
@click.option("--method", type=click.Choice(["lora", "full", "router"]), default="lora", show_default=True)
@click.option(
    "--share",
    default=0.25,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True),
    help="Part of the experts that auto takes.",
)
@click.option("--rank", default=16, show_default=True, type=click.IntRange(min=1), help="Of the adapters.")
@click.option("--steps", default=100, show_default=True, type=click.IntRange(min=1))
@click.option("--batch-size", default=8, show_default=True, type=click.IntRange(min=1))
@click.option("--seq-tokens", default=128, show_default=True, type=click.IntRange(min=8))
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, min_open=True),
    help="[default: 2e-3 for lora, 3e-4 for full and router]",
)
@click.option("--seed", default=0, show_default=True)
@output_options
@with_output
def command(
    model: str, name: str, texts: Path, others: Path | None, experts: str, method: Literal["lora", "full", "router"],
    share: float, rank: int, steps: int, batch_size: int, seq_tokens: int, learning_rate: float | None, seed: int,
    target: Path | None, output: Output,
) -> None:  # fmt: skip
    """Pick experts of MODEL, train them on the role's texts, let a token switch them on, and say what it did.

    Without --output it picks the experts and shows what would train, and trains nothing.
    """
    _refuse_what_would_be_ignored(click.get_current_context(), experts, method)
    from interconnected_ai.surgery import make_role, prepare_role

    learnt, kept = texts_in(texts), texts_in(others) if others else []
    moe: Any = open_model(model)
    outcome = Outcome(moe, target)
    chosen: Any = "auto" if experts == "auto" else {layer.number: numbers(experts, "--experts") for layer in moe.layers}
    asked: dict[str, Any] = {"experts": chosen, "method": method, "share": share, "rank": rank, "seed": seed}
    if target is None:
        with telling_warnings(output):
            picked, num_params = prepare_role(moe, name, learnt, **asked)
        words = f"{num_params:,} parameters would train in {sum(map(len, picked.values()))} experts ({method})"
        outcome.deliver(output, words, {"role": name, "experts": picked, "num_params": num_params})
        return
    with telling_warnings(output):
        role = make_role(
            moe, name, learnt, kept, steps=steps, batch_size=batch_size, seq_tokens=seq_tokens, learning_rate=learning_rate,
            **asked,
        )  # fmt: skip
    rows: list[tuple[str, Any, Any]] = [
        (f"{name}'s held-out texts, with its token after", role.role_before, role.role_after)
    ]
    if role.others_before is not None:
        rows.append(("other texts", role.others_before, role.others_after))
    output.table("Perplexity", ["", "before", "after"], rows)
    outcome.deliver(
        output,
        f"{role.num_params:,} parameters trained in {sum(map(len, role.experts.values()))} experts ({method}); "
        f"<|role={name}|> (id {role.token_id}) switches the role on",
        {"role": name, "token_id": role.token_id, "experts": role.experts, "num_params": role.num_params,
         "perplexity": {"role_before": role.role_before, "role_after": role.role_after, "others_before": role.others_before,
                        "others_after": role.others_after}},
    )  # fmt: skip


def _refuse_what_would_be_ignored(context: click.Context, experts: str, method: str) -> None:
    if experts != "auto" and is_given(context, "share"):
        raise click.UsageError("--share says how many experts `auto` takes; leave it out, or --experts")
    if method != "lora" and is_given(context, "rank"):
        raise click.UsageError(f"--rank is that of adapters, which --method {method} has not; leave one of them out")
