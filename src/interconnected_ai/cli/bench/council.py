"""`iai bench council`, part by part."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from interconnected_ai.cli.output import Output, print_measured, with_output
from interconnected_ai.cli.outputs import Source

PARTS = ("seed", "adapters", "turn")
# Words of a figure, and where it stands.
_TURN = (
    ("memory, routing and pool, share of a turn (goal ≤ 0.15)", "overhead_share"),
    ("  questions answered", "num_turns"),
)
_ADAPTERS = (
    (
        "council of adapters over one adapter on all text, bits per byte (goal ≤ 0.97)",
        "adapters_council_over_single_bpb",
    ),
    (
        "  over one adapter on all text that read as much as each of them (goal ≤ 0.97)",
        "adapters_council_over_single_bpb_equal_expert_tokens",
    ),
    ("  the router's expert alone", "adapters_routed_over_single_bpb"),
    ("  two deliberate", "adapters_width_2_over_single_bpb"),
    ("  three deliberate", "adapters_width_3_over_single_bpb"),
    ("  all, the router unheard", "adapters_council_equal_priors_over_single_bpb"),
    ("  all, equal weights", "adapters_uniform_over_single_bpb"),
    ("  the domain's own adapter", "adapters_own_adapter_over_single_bpb"),
    ("  each document's best", "adapters_oracle_over_single_bpb"),
    ("  the one that is best over all", "adapters_best_single_expert_over_single_bpb"),
    ("  the base", "adapters_base_over_single_bpb"),
    ("  the council, with a recollection of the training texts", "adapters_council_recollecting_over_single_bpb"),
    ("  one adapter on all text, with it", "adapters_single_recollecting_over_single_bpb"),
    ("the router's expert over the domain's own (goal ≤ 1.01)", "adapters_routed_over_own"),
    ("  questions to the domain's own adapter, share", "adapters_router_accuracy"),
)


@click.command("council")
@click.option("--part", required=True, type=click.Choice(PARTS), help="What is measured.")
@click.option("--short", is_flag=True, help="Four domains, a quarter of the steps, and no curve.")
@click.option(
    "--domain", "domains", multiple=True, help="seed: learn this domain; repeat for several.  [default: all six]"
)
@click.option(
    "--steps", type=click.IntRange(1),
    help="seed: steps of the dense model, which the council shares. adapters: of each that is trained.",
)  # fmt: skip
@click.option("--d-model", type=click.IntRange(8), help="seed: width of an expert.")
@click.option("--layers", type=click.IntRange(1), help="seed: blocks of an expert.")
@click.option("--vocab-size", type=click.IntRange(257), help="seed: words of the tokenizer that all share.")
@click.option("--seq-len", type=click.IntRange(64), help="seed: tokens of a window.")
@click.option("--seed-share", type=click.FloatRange(0, 0.95), help="seed: of all tokens, those that the seed reads.")
@click.option("--curve/--no-curve", default=None, help="seed: other tokens, seeds, domains and widths too.")
@click.option(
    "--largest/--no-largest", default=True, help="seed: the dense model of as many parameters as the council."
)
@click.option(
    "--dir", "folder", type=click.Path(path_type=Path, file_okay=False), default=Path("council"), show_default=True,
    help="adapters, turn: folder of iai council quickstart; what is missing in it is made.",
)  # fmt: skip
@click.option("--base", type=Source(), default="smollm2", show_default=True, help="adapters, turn: what they stand on.")
@click.option(
    "--adapters", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
    help="adapters, turn: those that iai expert quickstart --base wrote there.",
)  # fmt: skip
@click.option("--bytes", "measured_bytes", type=click.IntRange(500), help="adapters: measured on, of each domain.")
@click.option(
    "--validation", "on_validation", is_flag=True, help="adapters: validation documents; test documents stay unread."
)
@click.option(
    "--repeats", type=click.IntRange(1), default=3, show_default=True, help="turn: how often a question is asked."
)
@with_output
def command(
    part: str, short: bool, domains: tuple[str, ...], steps: int | None, curve: bool | None, largest: bool, folder: Path,
    base: str, adapters: Path | None, measured_bytes: int | None, on_validation: bool, repeats: int, output: Output,
    **sizes: float | None,
) -> None:  # fmt: skip
    """A council against what it is to replace.

    seed: experts that branched from one seed against dense models, in bits per byte of held-out text of all domains; some 25
    minutes on two cores. adapters: adapters of one base, alone and deliberating, against one adapter on all text with as many
    steps as they have together. turn: what memory, routing and pool take of a turn with the expert in memory.
    """
    if part == "seed":
        _seed(short, domains, {"steps": steps, **sizes}, curve, largest, output)
        return
    from interconnected_ai.bench import (
        ADAPTER_STEPS,
        bench_council_adapters,
        bench_council_turn,
        run_council_quickstart,
    )

    trained_for = ADAPTER_STEPS if steps is None else steps
    run_council_quickstart(folder, base, adapters=adapters, steps=trained_for, say=output.step)
    if part == "turn":
        print_measured(output, bench_council_turn(folder, repeats=repeats, say=output.step), _TURN)
        return
    given: dict[str, Any] = {} if measured_bytes is None else {"measured_bytes": measured_bytes}
    print_measured(
        output,
        bench_council_adapters(
            folder, base, adapters=adapters, steps=trained_for, on_validation=on_validation, say=output.step, **given
        ),
        _ADAPTERS,
    )


def _seed(
    short: bool,
    domains: tuple[str, ...],
    sizes: dict[str, float | None],
    curve: bool | None,
    largest: bool,
    output: Output,
) -> None:
    if (steps := sizes["steps"]) is not None and steps < 16:
        raise click.UsageError(f"--steps {steps:g}: a dense model takes 16 at least")
    from interconnected_ai.bench import CouncilSizes, bench_council_seed, council_goal_rows, short_council

    keys = {"layers": "n_layers"}
    given: dict[str, Any] = {keys.get(name, name): value for name, value in sizes.items() if value is not None}
    asked = CouncilSizes()
    if short:
        asked = short_council(asked)
    if domains:
        given["domains"] = domains
    asked = replace(asked, **given)
    found = bench_council_seed(asked, curve=not short if curve is None else curve, largest=largest, say=output.step)
    output.table(
        "Bits per byte of held-out text of all domains",
        ["", "bits per byte", "active parameters", "all parameters", "tokens read", "training FLOPs"],
        [
            (row["what"], f"{row['bpb']:.4f}", f"{row['active_params']:,}", f"{row['total_params']:,}",
             f"{row['train_tokens']:,}", f"{row['train_flops']:.3g}")
            for row in found["rows"]
        ],
    )  # fmt: skip
    output.table(
        "Goals", ["what", "value", "goal"],
        [(row["what"], f"{row['value']:.4f}", f"≤ {row['goal']}") for row in council_goal_rows(found)],
    )  # fmt: skip
    output.table(
        "The curve",
        ["", "domains", "parameters", "tokens read", "seed", "council over dense", "router's expert over the domain's own"],
        [
            (point["what"], point["num_domains"], f"{point['num_params']:,}", f"{point['dense_tokens']:,}",
             f"{point['seed_share']:.0%}", f"{point['council_over_dense_bpb']:.4f}",
             f"{point['over_oracle']:.4f}")
            for point in found["curve"]
        ],
    )  # fmt: skip
    settings = found["settings"]
    output.say(
        f"Chosen on validation documents: {settings['width']} deliberate, forgetting {settings['forgetting']}, the seed's "
        f"prior {settings['seed_prior']}. The router asks the document's own expert for "
        f"{found['router_accuracy']:.1%} of them.",
        "Power means on validation documents: "
        + ", ".join(f"{each['power']:g} → {each['bpb']:.4f}" for each in found["power"]),
        f"{found['seconds'] / 60:.1f} minutes",
    )
    output.result(found)
