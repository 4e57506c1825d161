"""`iai bench train`."""

import click

from interconnected_ai.cli.output import Output, print_measured, with_output


@click.command("train")
@click.option("--batch", default=8, show_default=True, type=click.IntRange(min=1), help="Rows of a step.")
@click.option("--seq-len", default=256, show_default=True, type=click.IntRange(min=2), help="Tokens of a row.")
@click.option(
    "--repeats", default=5, show_default=True, type=click.IntRange(min=1), help="Steps timed of each contestant."
)
@with_output
def command(batch: int, seq_len: int, repeats: int, output: Output) -> None:
    """A training step of the 29M expert against transformers' GPT-2 of the same shape."""
    from interconnected_ai.bench import bench_train

    found = bench_train(batch=batch, seq_len=seq_len, repeats=repeats)
    print_measured(
        output,
        found,
        [
            ("speed over transformers' GPT-2, its faster attention, dropout 0.1 (goal ≥ 1.1)", "train_over_hf"),
            ("  the same without dropout", "train_over_hf_without_dropout"),
            ("speed in bfloat16 over float32", "bfloat16_over_float32"),
            ("peak memory over transformers' best", "memory_over_hf"),
            ("gradient checkpointing: memory over without", "checkpointing_memory_ratio"),
            ("gradient checkpointing: time over without", "checkpointing_time_ratio"),
        ],
    )
