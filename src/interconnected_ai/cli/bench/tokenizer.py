"""`iai bench tokenizer`."""

from pathlib import Path

import click

from interconnected_ai.cli.output import Output, print_measured, with_output


@click.command("tokenizer")
@click.option(
    "--data",
    "folder",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder with koziev/, xquad/, ru_intents/ and rumedbench/.",
)
@click.option("--vocab-size", default=32_000, show_default=True, type=click.IntRange(min=257), help="Tokens at most.")
@with_output
def command(folder: Path, vocab_size: int, output: Output) -> None:
    """Tokens per word of Russian text that the vocabulary was not trained on, by source."""
    from interconnected_ai.bench import bench_tokenizer

    found = bench_tokenizer(folder, vocab_size=vocab_size, say=output.step)
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
    print_measured(
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
