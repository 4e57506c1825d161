"""`iai predict RUN [TEXT…]`."""

import sys
from pathlib import Path

import click

from interconnected_ai.cli.output import Output, percent, with_output
from interconnected_ai.cli.rows import model_folder
from interconnected_ai.errors import DataError


@click.command("predict")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("texts", nargs=-1)
@click.option("--file", type=click.Path(path_type=Path), help="A text per line, UTF-8; `-` is standard input.")
@click.option("--branch", "branches", multiple=True, help="Ask this branch only; repeat for several.")
@click.option("--top", default=3, show_default=True, type=click.IntRange(min=1), help="How many labels to show.")
@with_output
def command(
    run: Path, texts: tuple[str, ...], file: Path | None, branches: tuple[str, ...], top: int, output: Output
) -> None:
    """Answer for TEXTS (or the lines of --file, or of standard input) with every branch of RUN."""
    asked = list(texts) or _lines(file)
    from interconnected_ai.branches import InterconnectedAISystem

    system = InterconnectedAISystem.from_pretrained(model_folder(run))
    answers = system.predict(asked, branches=branches or None, top_n=top)
    for answer in answers:
        rows = [
            (a.branch, a.answer, percent(a.confidence), ", ".join(f"{label} {percent(p)}" for label, p in a.top))
            for a in answer.branches.values()
        ]
        output.table(answer.text[:100], ["branch", "answer", "confidence %", f"top {top}"], rows)
    output.result({"predictions": [answer.to_dict() for answer in answers]})


def _lines(file: Path | None) -> list[str]:
    """The texts of a file or of standard input, blank lines left out."""
    if file is None and sys.stdin.isatty():
        raise click.UsageError("no text given; write it after RUN, or give --file FILE")
    name = "standard input" if file is None or str(file) == "-" else str(file)
    try:
        raw = sys.stdin.buffer.read() if name == "standard input" else Path(name).read_bytes()
        lines = [line for line in raw.decode("utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise DataError(f"cannot read {name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is not UTF-8 (byte {error.start}); convert it first") from error
    if not lines:
        raise DataError(f"{name} holds no text")
    return lines
