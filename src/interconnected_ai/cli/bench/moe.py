"""`iai bench moe`."""

import click

from interconnected_ai.cli.output import Output, print_measured, with_output


@click.command("moe")
@click.option(
    "--repeats", type=click.IntRange(min=1), help="Runs of each contestant; default: enough for this machine."
)
@with_output
def command(repeats: int | None, output: Output) -> None:
    """The MoE layer against dense feed-forwards and against transformers' own block."""
    from interconnected_ai.bench import bench_moe

    found = bench_moe(repeats=repeats)
    print_measured(
        output,
        found,
        [
            ("4,096 tokens: speed over a dense FFN of the same total parameters (goal 3.7, limit 4)",
             "speedup_vs_dense_total"),
            ("  the same, dense FFN in chunks of 512 rows if that is faster", "speedup_vs_dense_total_chunked"),
            ("4,096 tokens: speed over a dense FFN of the same active parameters (goal 0.92)",
             "efficiency_vs_dense_active"),
            ("  the same, dense FFN in chunks if that is faster", "efficiency_vs_dense_active_chunked"),
            ("512 tokens: over dense total (goal 3.0)", "speedup_vs_dense_total_512"),
            ("512 tokens: over dense active (goal 0.7)", "efficiency_vs_dense_active_512"),
            ("512 tokens: limit of the latter, since all experts are read from memory", "limit_512"),
            ("64 experts, top-8, forward + backward: over transformers eager (goal 3)", "train_speedup_vs_hf_eager"),
            ("  over transformers grouped_mm (goal 1)", "train_speedup_vs_hf_grouped"),
        ],
    )  # fmt: skip
    output.say(f"Grouped products: {found['backend']} ({found['backend_reason']})")
