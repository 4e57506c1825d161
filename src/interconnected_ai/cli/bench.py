"""`iai bench moe|branches|grow|headline|classify|plan|tokenizer`."""

from pathlib import Path
from typing import Any

import click

from interconnected_ai.cli.output import Output, percent, with_output


@click.group("bench")
def command() -> None:
    """Measure the numbers that the README quotes: ratios, side by side in one run, medians."""


@command.command("moe")
@click.option(
    "--repeats", type=click.IntRange(min=1), help="Runs of each contestant; default: enough for this machine."
)
@with_output
def moe(repeats: int | None, output: Output) -> None:
    """The MoE layer against dense feed-forwards and against transformers' own block."""
    from interconnected_ai.bench.moe import bench_moe

    found = bench_moe(repeats=repeats)
    _print(
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


@command.command("branches")
@click.option("--branches", "num_branches", default=200, show_default=True, type=click.IntRange(min=2))
@with_output
def branches(num_branches: int, output: Output) -> None:
    """One batch through many branches, on our trunk and with PEFT."""
    from interconnected_ai.bench.branches import bench_branches

    found = bench_branches(num_branches=num_branches)
    _print(
        output,
        found,
        [
            (f"one batch through {num_branches} branches over through 1 (goal ≤ 1.5)", "cost_200_over_1"),
            (f"speed over PEFT, a LoRA in the encoder for each of {num_branches} branches (goal ≥ 50)", "speedup_vs_peft_200"),
        ],
    )  # fmt: skip


@command.command("grow")
@click.option(
    "--seeds", default=3, show_default=True, type=click.IntRange(min=1), help="Trainings to take the mean of."
)
@with_output
def grow(seeds: int, output: Output) -> None:
    """A branch added after training against the same branch trained jointly."""
    from interconnected_ai.bench.grow import bench_grow

    found = bench_grow(seeds=seeds)
    _print(
        output,
        found,
        [
            ("time of adding over joint training from scratch (goal ≤ 0.05)", "added_over_joint_time"),
            ("points of accuracy below the jointly trained branch (goal ≤ 1)", "accuracy_gap_points"),
            ("largest change of an old branch's output (goal 0)", "old_outputs_max_abs_diff"),
        ],
    )


@command.command("headline")
@with_output
def headline(output: Output) -> None:
    """The document's table, MoE system and dense twin, measured, beside what the document claims."""
    from interconnected_ai.bench.headline import bench_headline

    found = bench_headline()
    output.table(
        "Measured here, and what the document claims for its own sizes (never measured by us)",
        ["", "dense twin", "MoE", "MoE / dense", "claimed dense", "claimed MoE", "claimed ratio"],
        [(row["what"], row["dense"], row["moe"], f"{row['ratio']:.3f}", *row["claimed"]) for row in found["rows"]],
    )
    output.result(found)


@command.command("classify")
@click.option(
    "--data", "folder", required=True, type=click.Path(path_type=Path), help="Folder with banking77/ and clinc150/."
)
@click.option(
    "--epochs", default=8, show_default=True, type=click.IntRange(min=1), help="Epochs with the encoder LoRA."
)
@click.option(
    "--parts/--no-parts", default=True, show_default=True, help="Also train without encoder LoRA, and without MoE."
)
@with_output
def classify(folder: Path, epochs: int, parts: bool, output: Output) -> None:
    """BANKING77 and CLINC150 as two branches of one system, against TF-IDF and logistic regression."""
    from interconnected_ai.bench.classify import bench_classify

    found = bench_classify(folder, epochs=epochs, parts=parts, say=lambda sentence: click.echo(sentence, err=True))
    output.table(
        "Test accuracy %",
        ["", "BANKING77", "CLINC150 in scope"],
        [(r["method"], percent(r["banking77"]), percent(r["clinc150"])) for r in found["methods"]],
    )
    output.say(
        f"CLINC150 out of scope: recall {percent(found['clinc150_oos_recall'])} % at the branch's threshold "
        f"(in scope answered: {percent(found['clinc150_answered'])} %), AUROC {found['clinc150_oos_auroc']:.4f}"
    )
    output.result(found)


@command.command("plan")
@click.option("--repeats", default=7, show_default=True, type=click.IntRange(min=3), help="Steps timed for each case.")
@click.option("--calibrated", is_flag=True, help="Use the stored calibration instead of measuring the machine again.")
@with_output
def plan(repeats: int, calibrated: bool, output: Output) -> None:
    """The planner against this machine: step time and peak memory, predicted and measured."""
    from interconnected_ai.bench.plan import bench_plan
    from interconnected_ai.planner import load_calibration

    device = load_calibration() if calibrated else None
    if calibrated and device is None:
        raise click.UsageError("--calibrated: no calibration is stored; make one with: iai plan --calibrate")
    found = bench_plan(repeats=repeats, device=device, say=lambda sentence: click.echo(sentence, err=True))
    output.table(
        "Predicted and measured",
        ["case", "step, ms", "predicted", "error %", "peak, MB", "predicted ", "error % "],
        [
            (
                row["case"],
                f"{1000 * row['measured_seconds']:.0f}",
                f"{1000 * row['predicted_seconds']:.0f} ({1000 * row['low_seconds']:.0f}–{1000 * row['high_seconds']:.0f})",
                f"{100 * row['time_error']:+.0f}",
                f"{row['measured_bytes'] / 1e6:.0f}",
                f"{row['predicted_bytes'] / 1e6:.0f}",
                f"{100 * row['memory_error']:+.0f}",
            )
            for row in found["rows"]
        ],
    )
    _print(
        output,
        found,
        [
            ("median error of time (goal ≤ 0.20)", "time_median_abs_error"),
            ("median error of memory (goal ≤ 0.10)", "memory_median_abs_error"),
            ("measured inside the range (goal ≥ 0.90)", "range_coverage"),
        ],
    )


@command.command("tokenizer")
@click.option(
    "--data",
    "folder",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder with koziev/, xquad/, ru_intents/ and rumedbench/.",
)
@click.option("--vocab-size", default=32_000, show_default=True, type=click.IntRange(min=257), help="Tokens at most.")
@with_output
def tokenizer(folder: Path, vocab_size: int, output: Output) -> None:
    """Tokens per word of Russian text that the vocabulary was not trained on, by source."""
    from interconnected_ai.bench.tokenizer import bench_tokenizer

    found = bench_tokenizer(folder, vocab_size=vocab_size, say=lambda sentence: click.echo(sentence, err=True))
    output.table(
        f"Tokens per word on held-out text, {vocab_size:,} tokens at most (goal ≤ {found['goal']})",
        ["source", "words trained on", "words held out", "together", "words alone", "alone", "foreign", "bytes/token"],
        [
            (
                row["source"],
                row["num_train_words"],
                row["num_test_words"],
                row["together"],
                row["words_alone"],
                row["alone"],
                row["foreign"],
                row["bytes_per_token"],
            )
            for row in found["rows"]
        ],
    )
    output.table(
        "A vocabulary of the source's own, by the text it was trained on",
        ["source", "words trained on", "vocabulary", "tokens per word"],
        [(p["source"], p["num_train_words"], p["vocab_size"], p["tokens_per_word"]) for p in found["curve"]],
    )
    _print(
        output,
        found,
        [
            ("one vocabulary for all sources, all held-out text (goal ≤ 1.6)", "together"),
            ("  its worst source", "worst_together"),
            ("  without the tokens of signs and line ends", "words_alone"),
            ("a vocabulary for each source, trained on it alone", "alone"),
            ("a vocabulary that never saw the source", "foreign"),
        ],
    )


def _print(output: Output, found: dict[str, Any], lines: list[tuple[str, str]]) -> None:
    output.table("Measured", ["what", "value"], [(what, found[key]) for what, key in lines])
    output.result(found)
