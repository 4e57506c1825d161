"""`iai bench generate`."""

import click

from interconnected_ai.cli.alternatives import alternatives
from interconnected_ai.cli.output import Output, percent, print_measured, with_output
from interconnected_ai.cli.outputs import Source


@click.command("generate")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(min=1), help="Runs of each contestant.")
@click.option("--engine", "engines", multiple=True, help="Measure this engine only; repeat for several.")
@click.option(
    "--lookup", type=Source(), metavar="BASE", help="Measure prompt look-up alone, on this base, such as smollm2."
)
@click.option(
    "--lengths", type=click.IntRange(min=1), metavar="N",
    help="Measure memory alone, over prompts of 1 to N tokens (the goal is that of 2000).",
)  # fmt: skip
@alternatives("engines", "lookup", "lengths")
@alternatives("repeats", "lengths")
@with_output
def command(repeats: int, engines: tuple[str, ...], lookup: str | None, lengths: int | None, output: Output) -> None:
    """Every engine that is installed against transformers' generate, 29M parameters, 64 + 128 tokens."""
    from interconnected_ai.bench import bench_generate

    if lookup is not None:
        _print_lookup(lookup, repeats, output)
        return
    if lengths is not None:
        _print_lengths(lengths, output)
        return

    found = bench_generate(repeats=repeats, only=engines)
    output.table(
        f"Tokens per second, {found['num_params']:,} parameters, {found['num_prompt']} + {found['num_new']} tokens, greedy",
        ["engine", "rows", "tokens/s", "over transformers", "same tokens %"],
        [
            (r["engine"], r["batch"], r["tokens_per_second"], r["over_transformers"], percent(r["same_tokens"]))
            for r in found["rows"]
        ],
    )
    for name, reason in found["passed_over"].items():
        output.say(f"{name}: {reason}")
    asked = [
        ("best engine over transformers, 1 row (goal ≥ 4)", "best_over_hf_b1"),
        ("best engine over transformers, 8 rows (goal ≥ 2.8)", "best_over_hf_b8"),
        ("torch engine over transformers, 1 row (goal ≥ 1.5)", "torch_over_hf_b1"),
        ("torch engine, share of what memory allows, 1 row (goal ≥ 0.75)", "torch_of_roofline_b1"),
        ("  PyTorch's calls, without the compiled step", "torch_calls_of_roofline_b1"),
        ("  the step that it takes", "torch_step"),
        ("loading the expert, first time in a process, ms (goal ≤ 50)", "load_ms"),
        ("  again, ms", "load_again_ms"),
    ]
    print_measured(output, found, [line for line in asked if line[1] in found])


def _print_lookup(base: str, repeats: int, output: Output) -> None:
    from interconnected_ai.bench import bench_lookup

    found = bench_lookup(base, repeats=repeats)
    output.table(
        f"Tokens per second, {found['num_params']:,} parameters, greedy, one row, {found['lookup_tokens']} tokens ahead",
        ["answer", "prompt", "plain", "look-up", "same tokens %"],
        [
            (
                r["task"],
                r["num_prompt"],
                r["tokens_per_second"],
                r["tokens_per_second_ahead"],
                percent(r["same_tokens"]),
            )
            for r in found["lookup_rows"]
        ],
    )
    asked = [
        ("with look-up over without, the prompt's text", "lookup_quote"),
        ("  alike", "lookup_code"),
        ("  new", "lookup_open"),
    ]
    print_measured(output, found, asked)


def _print_lengths(num_lengths: int, output: Output) -> None:
    from interconnected_ai.bench import bench_lengths

    found = bench_lengths(num_lengths)
    output.table(
        f"Resident memory over prompts of 1 to {num_lengths} tokens, torch, float32, one thread",
        ["model", "MB before", "after", "growth %"],
        [(r["model"], r["before_mb"], r["after_mb"], percent(r["growth"])) for r in found["length_rows"]],
    )
    print_measured(output, found, [("worst growth (goal ≤ 0.05 over 2000 lengths)", "rss_growth_lengths")])
