"""`iai surgery prune MODEL --keep 0.75 --texts DIR`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from interconnected_ai.cli.alternatives import is_given
from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.outputs import Source
from interconnected_ai.cli.surgery.inputs import open_model, output_options, texts_in
from interconnected_ai.cli.surgery.outcome import Outcome, telling_warnings
from interconnected_ai.errors import DataError

PART = click.FloatRange(0, 1, min_open=True)
METHODS = ["reap", "output", "merge", "gradient", "gate", "use", "random"]  # surgery.PRUNING_METHODS, which loads torch
_OF_REPAIR = ("steps", "learning_rate", "rank")


@click.command("prune")
@click.argument("model", type=Source())
@click.option(
    "--texts", "place", required=True, type=click.Path(path_type=Path),
    help="What the model is for: a file or folder. A part ranks the experts and repairs, the rest measures.",
)  # fmt: skip
@click.option("--keep", "shares", multiple=True, type=PART, help="Share of the experts to keep.  [default: 0.75]")
@click.option(
    "--method", "methods", multiple=True, type=click.Choice(METHODS),
    help="What an expert is worth.  [default: reap; with --table all]",
)  # fmt: skip
@click.option(
    "--budget", type=click.Choice(["layer", "global"]), default="layer", show_default=True,
    help="The share in every layer; or in the model, which only surgery.open reads.",
)  # fmt: skip
@click.option("--top-k", type=click.IntRange(min=1), help="Let a token take so many experts, before all else.")
@click.option(
    "--repair", type=click.Choice(["router", "lora", "experts"]), help="What a short training may change afterwards."
)
@click.option("--steps", default=100, show_default=True, type=click.IntRange(min=1), help="Of the repair.")
@click.option(
    "--learning-rate", type=click.FloatRange(0, min_open=True),
    help="Of the repair.  [default: 3e-3 for router, 2e-3 for lora, 1e-4 for experts]",
)  # fmt: skip
@click.option("--rank", default=16, show_default=True, type=click.IntRange(min=1), help="Of --repair lora.")
@click.option("--batch-size", default=8, show_default=True, type=click.IntRange(min=1))
@click.option("--seq-tokens", default=128, show_default=True, type=click.IntRange(min=8), help="Read of each text.")
@click.option("--held-out", default=0.2, show_default=True, type=PART, help="Part of the texts that measures.")
@click.option(
    "--table", "as_table", is_flag=True, help="Perplexity by method and share, beside random; writes no model."
)
@click.option("--random-seeds", default=3, show_default=True, type=click.IntRange(min=1), help="Of --table.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@output_options
@with_output
def command(
    model: str, place: Path, shares: tuple[float, ...], methods: tuple[Any, ...], budget: Any, top_k: int | None,
    repair: Any, steps: int, learning_rate: float | None, rank: int, batch_size: int, seq_tokens: int, held_out: float,
    as_table: bool, random_seeds: int, seed: int, target: Path | None, output: Output,
) -> None:  # fmt: skip
    """Keep the experts of MODEL that are worth most on these texts, and say what that does to its perplexity.

    Without --output it shows what would change and repairs nothing.
    """
    _refuse_what_would_be_ignored(click.get_current_context(), as_table, shares, methods, repair)
    learnt, held = _split(texts_in(place), held_out, seed)
    reading: dict[str, Any] = {"max_tokens": seq_tokens, "batch_size": batch_size}
    course: dict[str, Any] = {
        "what": repair, "steps": steps, "learning_rate": learning_rate, "rank": rank, "batch_size": batch_size,
        "seq_tokens": seq_tokens,
    }  # fmt: skip
    if as_table:
        _table(
            output, model, learnt, held, course if repair else None,
            methods=methods or tuple(METHODS), shares=shares or (0.75, 0.5), budget=budget, top_k=top_k,
            random_seeds=random_seeds, seed=seed, **reading,
        )  # fmt: skip
        return
    from interconnected_ai import surgery

    moe = open_model(model)
    outcome = Outcome(moe, target)
    measured = {"before": surgery.perplexity(moe, held, **reading)}
    with telling_warnings(output):
        if top_k is not None:
            moe.set_top_k(top_k)
        done = surgery.prune(
            moe, learnt, keep=shares[0] if shares else 0.75, method=methods[0] if methods else "reap", budget=budget,
            seed=seed, **reading,
        )  # fmt: skip
        measured["pruned"] = surgery.perplexity(moe, held, **reading)
        if repair and target is not None:
            surgery.repair(moe, learnt, seed=seed, **course)
            measured["repaired"] = surgery.perplexity(moe, held, **reading)
    output.table("Perplexity of held-out texts", list(measured), [list(measured.values())])
    words = f"{done.after} of {done.before} experts are left ({done.method})"
    outcome.deliver(
        output,
        words if "repaired" in measured or not repair else f"{words}; {steps} steps of repair ({repair}) would follow",
        {"method": done.method, "keep": done.keep, "budget": budget, "removed": done.removed, "merged": done.merged,
         "perplexity": measured},
    )  # fmt: skip


def _table(
    output: Output,
    model: str,
    learnt: Sequence[str],
    held: Sequence[str],
    course: Mapping[str, Any] | None,
    **asked: Any,
) -> None:
    from interconnected_ai import surgery

    training = None if course is None else surgery.Training(**course)
    rows = surgery.pruning_table(lambda: open_model(model), learnt, held, training=training, say=output.step, **asked)
    after = ["after repair"] if course else []
    output.table(
        "Perplexity of held-out texts",
        ["method", "kept", "seed", "parameters", "perplexity", *after],
        [
            (
                row.method,
                f"{row.keep:.0%}",
                row.seed,
                row.num_params,
                row.perplexity,
                *([row.repaired] if course else []),
            )
            for row in rows
        ],
    )
    output.result({"rows": [vars(row) for row in rows], "tried_on": len(held)})


def _split(texts: Sequence[str], held_out: float, seed: int) -> tuple[list[str], list[str]]:
    """Texts to rank and repair by, and texts to measure on."""
    import torch

    if len(texts) < 2:
        raise DataError("--texts holds one text; needs two or more, some to rank the experts by and some to measure on")
    order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(seed)).tolist()
    number = min(max(1, round(held_out * len(texts))), len(texts) - 1)
    return [texts[i] for i in order[number:]], [texts[i] for i in order[:number]]


def _refuse_what_would_be_ignored(
    context: click.Context, as_table: bool, shares: Sequence[float], methods: Sequence[str], repair: str | None
) -> None:
    if as_table and is_given(context, "target"):
        raise click.UsageError("--table writes no model; leave it out, or --output")
    if not as_table and (len(shares) > 1 or len(methods) > 1):
        raise click.UsageError("several --keep or --method are compared with --table; give one of each, or --table")
    if not as_table and is_given(context, "random_seeds"):
        raise click.UsageError("--random-seeds are those of --table; add it, or leave them out")
    given = [name for name in _OF_REPAIR if is_given(context, name)]
    if given and repair is None:
        raise click.UsageError(
            f"--{given[0].replace('_', '-')} is of a repair; say what may change: --repair router|lora|experts"
        )
    if repair != "lora" and "rank" in given:
        raise click.UsageError(f"--rank is that of adapters, which --repair {repair} has not; leave one of them out")
