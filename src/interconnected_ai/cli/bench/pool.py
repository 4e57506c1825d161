"""`iai bench pool`."""

import click

from interconnected_ai.cli.output import Output, percent, with_output

_SHORT = {"num_experts": 12, "capacity": 4, "num_borrows": 1_000, "num_real_borrows": 40, "d_model": 64, "n_layers": 2}


@click.command("pool")
@click.option(
    "--experts", "num_experts", type=click.IntRange(min=2), default=64, show_default=True, metavar="N", help="How many."
)
@click.option(
    "--fit", "capacity", type=click.IntRange(min=1), default=16, show_default=True, metavar="N",
    help="How many of them the budget holds.",
)  # fmt: skip
@click.option(
    "--borrows", "num_borrows", type=click.IntRange(min=10), default=8_000, show_default=True, metavar="N",
    help="Of each mix, where nothing is loaded.",
)  # fmt: skip
@click.option(
    "--real-borrows", "num_real_borrows", type=click.IntRange(min=0), default=240, show_default=True, metavar="N",
    help="Of each mix, of experts on disk; 0: none.",
)  # fmt: skip
@click.option("--d-model", type=click.IntRange(min=32), default=320, show_default=True, help="Of the experts on disk.")
@click.option("--layers", "n_layers", type=click.IntRange(min=1), default=7, show_default=True, help="Theirs, too.")
@click.option(
    "--engine",
    type=click.Choice(["onnx", "torch", "ctranslate2"]),
    default="onnx",
    show_default=True,
    help="And theirs.",
)
@click.option(
    "--short", is_flag=True, help="Few, tiny experts, for a trial of a minute; sizes that are given are not used."
)
@with_output
def command(
    num_experts: int,
    capacity: int,
    num_borrows: int,
    num_real_borrows: int,
    d_model: int,
    n_layers: int,
    engine: str,
    short: bool,
    output: Output,
) -> None:
    """Experts within a budget of bytes: hits and waits against LRU and Belady, private memory, a cold expert's first token."""
    from interconnected_ai.bench import bench_pool, pool_goal_rows

    sizes = {
        "num_experts": num_experts, "capacity": capacity, "num_borrows": num_borrows,
        "num_real_borrows": num_real_borrows, "d_model": d_model, "n_layers": n_layers,
    }  # fmt: skip
    found = bench_pool(**(_SHORT if short else sizes), engine=engine, say=output.step)
    output.table(
        f"Requests that find their expert in memory, %; {found['num_experts']} experts, {found['capacity']} fit",
        ["mix", "ledger", "LRU", "Belady", "two sizes: ledger", "two sizes: LRU by count"],
        [
            (
                row["mix"], *(percent(row[key]) for key in ("ledger", "lru", "belady", "ledger_two_sizes")),
                percent(row["count_lru_two_sizes"]),
            )
            for row in found["hits"]
        ],
    )  # fmt: skip
    if "lent" in found:
        output.table(
            f"Lent to four chats: experts of {found['expert_bytes'] / 1e6:.1f} MB, budget {found['budget_bytes'] / 1e6:.0f} MB",
            ["mix", "who lends", "hits %", "wait ms", "p95 ms", "first token ms", "seconds", "private peak / budget"],
            [
                (
                    row["mix"], row["who"], percent(row["hit_rate"]), f"{row['mean_wait_ms']:.1f}",
                    f"{row['p95_wait_ms']:.1f}", f"{row['first_token_ms']:.1f}", f"{row['seconds']:.1f}",
                    f"{row['peak_over_budget']:.3f}",
                )
                for row in found["lent"]
            ],
        )  # fmt: skip
    if "mapped_bytes" in found:
        output.say(
            f"mapped: {found['mapped_bytes'] / 1e6:.2f} MB an expert, an answer takes "
            f"{found['mapped_step_over_hot']:.2f} times as long"
        )
    output.table(
        "Goals",
        ["what", "value", "goal"],
        [
            (row["what"], f"{row['value']:.3f}", f"{'≤' if row['at_most'] else '>'} {row['goal']:g}")
            for row in pool_goal_rows(found)
        ],
    )
    output.result(found)
