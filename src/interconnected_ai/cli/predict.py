"""`iai predict RUN [TEXT…]`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interconnected_ai.cli.alternatives import alternatives, means_standard_input, only_with
from interconnected_ai.cli.completion import BranchName, RunPath
from interconnected_ai.cli.output import Output, percent, with_output
from interconnected_ai.cli.outputs import OutputPath, Source, asked_to_replace, overwrite_option
from interconnected_ai.cli.rows import model_folder, warn_of_rows

if TYPE_CHECKING:
    from interconnected_ai.data import Rows


_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".gz")


@click.command("predict")
@click.argument("run", type=RunPath())
@click.argument("texts", nargs=-1)
@click.option(
    "--file", type=Source(), metavar="FILE", help="A text per line, or a table as for training; `-` is standard input."
)
@click.option("--text", "column", default="text", show_default=True, help="With a table: column of the text.")
@click.option(
    "--branch", "branches", multiple=True, type=BranchName(), help="Ask this branch only; repeat for several."
)
@click.option(
    "--out",
    type=OutputPath(*_SUFFIXES, may_lie_inside=(".csv", ".tsv", ".parquet", ".gz")),
    help="With --file: write its rows with the answers beside them.",
)
@overwrite_option
@click.option("--prefix", default="", help="With --out: begins the names of the added columns.")
@click.option("--top", default=3, show_default=True, type=click.IntRange(min=1), help="How many labels to show.")
@alternatives("texts", "file")
@alternatives("top", "out")
@only_with("file", "column", "out")
@only_with("out", "prefix")
@with_output
def command(
    run: Path,
    texts: tuple[str, ...],
    file: str | None,
    column: str,
    branches: tuple[str, ...],
    out: Path | None,
    prefix: str,
    top: int,
    output: Output,
) -> None:
    """Answer for TEXTS (or the rows of --file, or the lines of standard input, `-`) with every branch of RUN.

    With --file and --out the rows, as many as there are, are written to another file (.csv .tsv .jsonl .json .parquet) with
    all their columns and, for every branch, BRANCH_label, BRANCH_confidence and BRANCH_unknown. A row without a text is
    unknown, without a label.
    """
    if out is None and asked_to_replace():
        raise click.UsageError("--overwrite says something of --out alone; give --out, or leave it out")
    if file is not None and out is not None:
        from interconnected_ai.cli.predict_file import predict_file

        predict_file(run, file, column, branches, out, prefix, output)
        return
    from interconnected_ai.data import Rows

    if means_standard_input(texts):
        texts, file = (), "-"
    asked = Rows(list(texts), {}) if texts else _rows(file, column)
    from interconnected_ai.branches import InterconnectedAISystem

    system = InterconnectedAISystem.from_pretrained(model_folder(run))
    warn_of_rows(output, system, asked)
    answers = system.predict(asked.texts, branches=branches or None, top_n=top)
    for answer in answers:
        rows = [
            (a.branch, a.answer, percent(a.confidence), ", ".join(f"{label} {percent(p)}" for label, p in a.top))
            for a in answer.branches.values()
        ]
        output.table(answer.text[:100], ["branch", "answer", "confidence %", f"top {top}"], rows)
    output.result({"predictions": [answer.to_dict() for answer in answers]})


def _rows(file: str | None, column: str) -> "Rows":
    """The texts of a file or of standard input."""
    from interconnected_ai.data import decoded, read_texts, texts_by_line

    if file is not None and file != "-":
        return read_texts(file, column)
    if file is None and sys.stdin.isatty():
        raise click.UsageError("no text given; write it after RUN, give --file FILE, or send lines to standard input")
    name = "standard input"
    return texts_by_line(decoded(sys.stdin.buffer.read(), name), name)
