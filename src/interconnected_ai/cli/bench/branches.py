"""`iai bench branches`."""

import click

from interconnected_ai.cli.output import Output, print_measured, with_output


@click.command("branches")
@click.option("--branches", "num_branches", default=200, show_default=True, type=click.IntRange(min=2))
@with_output
def command(num_branches: int, output: Output) -> None:
    """One batch through many branches, on our trunk and with PEFT."""
    from interconnected_ai.bench import bench_branches

    found = bench_branches(num_branches=num_branches)
    print_measured(
        output,
        found,
        [
            (f"one batch through {num_branches} branches over through 1 (goal ≤ 1.5)", "cost_200_over_1"),
            (f"`predict`, from texts to labels, with {num_branches} branches over with 1 (goal ≤ 1.5)", "predict_200_over_1"),
            ("the same, every answer written as JSON", "read_200_over_1"),
            ("`predict` over the same without oneDNN's products (1 where MKL is as fast)", "predict_speedup_by_onednn"),
            (f"speed over PEFT, a LoRA in the encoder for each of {num_branches} branches (goal ≥ 50)", "speedup_vs_peft_200"),
        ],
    )  # fmt: skip
