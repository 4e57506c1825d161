"""`iai bench NAME`: a subcommand for each measurement."""

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
    "--part",
    "parts",
    multiple=True,
    type=click.Choice(["whole", "no-moe", "no-lora", "heads"]),
    help="Train this one alone: the whole system, or without MoE layers, encoder LoRA, or both; repeat for several. "
    "Default: all.",
)
@with_output
def classify(folder: Path, epochs: int, parts: tuple[str, ...], output: Output) -> None:
    """BANKING77 and CLINC150 as two branches of one system, against TF-IDF and logistic regression."""
    from interconnected_ai.bench.classify import PARTS, bench_classify

    found = bench_classify(
        folder, epochs=epochs, parts=parts or tuple(PARTS), say=lambda sentence: click.echo(sentence, err=True)
    )
    output.table(
        "Test accuracy %",
        ["", "BANKING77", "CLINC150 in scope"],
        [(r["method"], percent(r["banking77"]), percent(r["clinc150"])) for r in found["methods"]],
    )
    if "clinc150_oos_recall" in found:
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


@command.command("memory")
@click.option(
    "--data",
    "folder",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder with locomo/locomo10.json, beam100k/chats.jsonl.gz, koziev/premise_question_answer4_1s.txt, xquad/xquad.ru.json.",
)
@click.option("--vectors", is_flag=True, help="Also with the embedded vector model: about an hour of one core.")
@click.option("--growth/--no-growth", default=True, show_default=True, help="Also 10 thousand to 3 million tokens.")
@click.option("--peers/--no-peers", default=True, show_default=True, help="Also other rankings in the same run.")
@with_output
def memory(folder: Path, vectors: bool, growth: bool, peers: bool, output: Output) -> None:
    """The memory: evidence within budgets, time, bytes, against peers and against its goals."""
    from interconnected_ai.bench.memory import bench_memory, goal_rows

    found = bench_memory(
        folder, vectors=vectors, growth=growth, peers=peers, say=lambda sentence: click.echo(sentence, err=True)
    )
    rows = goal_rows(found)
    output.table(
        "Measured, and the goals",
        ["what", "value", "goal", "met"],
        [(r["what"], "–" if r["value"] is None else r["value"], r["goal"], r["met"]) for r in rows],
    )
    keys = list(next(iter(found["recall"].values())))
    output.table(
        "Recall, the same questions and budgets",
        ["", *keys],
        [(name, *(values[key] for key in keys)) for name, values in found["recall"].items()],
    )
    output.say(
        f"Flushing 4 KiB to this disk took {found['disk_flush_median_ms']:.2f} ms (p95 {found['disk_flush_p95_ms']:.2f}), "
        f"a durable add {found['add_median_ms']:.2f} ms (p95 {found['add_p95_ms']:.2f}); {found['num_messages']:,} messages, "
        f"{found['file_mb']:.1f} MB on disk.",
        f"BEAM evidence in the whole context of 13k tokens: {found['beam100k_recall_whole_context_13k']:.3f}",
    )
    if growth:
        output.table(
            "Growth",
            list(found["growth"][0]),
            [["–" if value is None else value for value in row.values()] for row in found["growth"]],
        )
    output.result({**found, "goals": rows})


@command.command("generate")
@click.option("--repeats", default=5, show_default=True, type=click.IntRange(min=1), help="Runs of each contestant.")
@click.option("--engine", "engines", multiple=True, help="Measure this engine only; repeat for several.")
@with_output
def generate(repeats: int, engines: tuple[str, ...], output: Output) -> None:
    """Every engine that is installed against transformers' generate, 29M parameters, 64 + 128 tokens."""
    from interconnected_ai.bench.generate import bench_generate

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
        ("loading the expert, first time in a process, ms (goal ≤ 50)", "load_ms"),
        ("  again, ms", "load_again_ms"),
    ]
    _print(output, found, [line for line in asked if line[1] in found])


@command.command("train")
@click.option("--batch", default=8, show_default=True, type=click.IntRange(min=1), help="Rows of a step.")
@click.option("--seq-len", default=256, show_default=True, type=click.IntRange(min=2), help="Tokens of a row.")
@click.option(
    "--repeats", default=5, show_default=True, type=click.IntRange(min=1), help="Steps timed of each contestant."
)
@with_output
def train(batch: int, seq_len: int, repeats: int, output: Output) -> None:
    """A training step of the 29M expert against transformers' GPT-2 of the same shape."""
    from interconnected_ai.bench.train import bench_train

    found = bench_train(batch=batch, seq_len=seq_len, repeats=repeats)
    _print(
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


@command.command("norm")
@click.option("--library", default="numpy", show_default=True, help="Whose documentation is learnt.")
@click.option("--steps", default=200, show_default=True, type=click.IntRange(min=1), help="Steps of each training.")
@click.option("--seeds", default=2, show_default=True, type=click.IntRange(min=1), help="Trainings of each kind.")
@with_output
def norm(library: str, steps: int, seeds: int, output: Output) -> None:
    """Post-norm against pre-norm: the same text and steps, each at its best learning rate."""
    from interconnected_ai.bench.norm import bench_norm

    found = bench_norm(library=library, steps=steps, seeds=range(seeds), say=lambda line: click.echo(line, err=True))
    output.table(
        "Bits per byte of held-out documentation, mean over the seeds",
        ["norm", "learning rate", "bits per byte"],
        [(r["norm"], f"{r['lr']:g}", "no number" if r["bits_per_byte"] is None else f"{r['bits_per_byte']:.4f}")
         for r in found["rows"]],
    )  # fmt: skip
    if found["pre_over_post"] is not None:
        output.say(
            f"Pre-norm needs {found['pre_over_post']:.3f} × the bits of post-norm, each at its best learning rate."
        )
    output.result(found)


def _print(output: Output, found: dict[str, Any], lines: list[tuple[str, str]]) -> None:
    output.table("Measured", ["what", "value"], [(what, found[key]) for what, key in lines])
    output.result(found)
