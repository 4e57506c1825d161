"""`iai bench memory`."""

from pathlib import Path
from typing import Any

import click

from interconnected_ai.cli.output import Output, with_output


@click.command("memory")
@click.option(
    "--data",
    "folder",
    type=click.Path(path_type=Path),
    help="For all but the questions: a folder with locomo/locomo10.json, beam100k/chats.jsonl.gz, xquad/xquad.ru.json and "
    "koziev/ with premise_question_answer4_1s.txt, facts5_1s.txt, facts6_1s.txt, facts7_1s.txt.",
)
@click.option("--vectors", is_flag=True, help="Also with the embedded vector model: about an hour of one core.")
@click.option(
    "--part", type=click.Choice(("all", "questions", "times")), default="all", show_default=True,
    help="Everything; only our own questions over made-up chats, which need no data; or only times and bytes.",
)  # fmt: skip
@click.option("--growth/--no-growth", default=True, show_default=True, help="Also 10 thousand to 3 million tokens.")
@click.option("--peers/--no-peers", default=True, show_default=True, help="Also other rankings in the same run.")
@with_output
def command(folder: Path | None, vectors: bool, part: str, growth: bool, peers: bool, output: Output) -> None:
    """The memory: evidence within budgets, time, bytes, against peers and against its goals."""
    from interconnected_ai.bench import bench_memory, goal_rows, questions_asked, times_and_bytes

    if part == "questions":
        asked = questions_asked(vectors=vectors, say=output.step)
        output.table(
            "Of ten questions, answered by what stands in the context",
            ["chat and budget", "answered"],
            [(key.removeprefix("questions_"), int(value)) for key, value in asked.items()],
        )
        output.result(asked)
        return
    if folder is None:
        raise click.UsageError("--data is needed; without it: --part questions")
    if part == "times":
        found = times_and_bytes(folder, say=output.step)
        _show_goals([row for row in goal_rows(found) if row["value"] is not None], output)
        _say_times(found, output)
        output.result(found)
        return
    found = bench_memory(folder, vectors=vectors, growth=growth, peers=peers, say=output.step)
    rows = goal_rows(found)
    _show_goals(rows, output)
    keys = list(next(iter(found["recall"].values())))
    output.table(
        "Recall, the same questions and budgets",
        ["", *keys],
        [(name, *(values[key] for key in keys)) for name, values in found["recall"].items()],
    )
    _say_times(found, output)
    budgets = ("4k", "8k", "12k")
    output.table(
        "Evidence in whole contexts, with their facts, timeline, last messages and headings",
        ["", *budgets],
        [
            (name, *(found[f"{key}_context_recall_{budget}"] for budget in budgets))
            for name, key in (("LoCoMo", "locomo"), ("BEAM-100K", "beam100k"))
        ],
    )
    if growth:
        output.table(
            "BEAM-100K chats joined: evidence in whole contexts of 12k tokens, and plain BM25 with all of them for messages",
            list(found["joined"][0]),
            [list(row.values()) for row in found["joined"]],
        )
        output.table(
            "Growth",
            list(found["growth"][0]),
            [["–" if value is None else value for value in row.values()] for row in found["growth"]],
        )
    output.result({**found, "goals": rows})


def _show_goals(rows: list[dict[str, Any]], output: Output) -> None:
    output.table(
        "Measured, and the goals",
        ["what", "value", "goal", "met"],
        [(r["what"], "–" if r["value"] is None else r["value"], r["goal"], r["met"]) for r in rows],
    )


def _say_times(found: dict[str, Any], output: Output) -> None:
    output.say(
        f"Flushing 4 KiB to this disk took {found['disk_flush_median_ms']:.2f} ms (p95 {found['disk_flush_p95_ms']:.2f}), "
        f"a durable add {found['add_median_ms']:.2f} ms (p95 {found['add_p95_ms']:.2f}); {found['num_messages']:,} messages, "
        f"{found['file_mb']:.1f} MB on disk.",
        f"Processor time of a context: {found['context_busy_median_ms']:.1f} ms (p95 {found['context_busy_p95_ms']:.1f}), "
        f"in Russian {found['context_busy_median_ms_ru']:.1f} ms (p95 {found['context_busy_p95_ms_ru']:.1f}).",
    )
