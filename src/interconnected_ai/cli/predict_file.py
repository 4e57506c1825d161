"""`iai predict RUN --file IN --out OUT`: the rows of a table with the answers beside them, however many there are."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interconnected_ai.cli.output import Output
from interconnected_ai.cli.rows import model_folder, warn_of_rows
from interconnected_ai.progress import Progress

if TYPE_CHECKING:
    from interconnected_ai.branches import BranchPrediction, InterconnectedAISystem
    from interconnected_ai.data import RowPiece

_COLUMNS = {"label": "text", "confidence": "number", "unknown": "flag"}  # of each branch, and their kinds
_DIGITS = 6  # of a confidence
_OF_NONE: tuple[str | None, float | None, bool] = (None, None, True)  # a row without a text


@dataclass
class Counts:
    """What was written so far. unknown: of each branch the rows that it does not know, those without a text among them."""

    rows: int = 0
    empty: int = 0
    unknown: dict[str, int] = field(default_factory=dict)


def predict_file(
    run: Path, file: str, text: str, branches: Sequence[str], out: Path, prefix: str, output: Output
) -> None:
    """Answer the rows of a file into another, a piece at a time, and tell what was written."""
    from interconnected_ai.branches import InterconnectedAISystem
    from interconnected_ai.data import open_rows, write_stream

    with _named_file(file) as path:
        stream = open_rows(path, text)
        system = InterconnectedAISystem.from_pretrained(model_folder(run))
        names = [system.branch_name(name) for name in branches] or system.branch_names
        added = {f"{prefix}{name}_{column}": kind for name in names for column, kind in _COLUMNS.items()}
        counts = Counts(unknown=dict.fromkeys(names, 0))
        title = f"answering {Path(file).name}"
        with write_stream(out, stream, added) as write, Progress(stream.num_rows or 0, 0, title) as progress:
            for piece in stream.pieces():
                if not counts.rows:
                    _warn_of(piece, system, output)
                write(piece, _answers(system, piece, names, counts))
                progress.advance(counts.rows)
    _tell(counts, out, list(added), output)


@contextmanager
def _named_file(file: str) -> Iterator[str]:
    """The file, or one with the lines of standard input: they are gone through twice."""
    if file != "-":
        yield file
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "standard input"
        with copy.open("wb") as lines:
            shutil.copyfileobj(sys.stdin.buffer, lines)
        yield os.fspath(copy)


def _answers(system: "InterconnectedAISystem", piece: "RowPiece", names: list[str], counts: Counts) -> list[list[Any]]:
    """The added cells of every row, in the order of the added columns."""
    asked = [row for row, text in enumerate(piece.texts) if text]
    predictions = system.predict([piece.texts[row] for row in asked], branches=names, top_n=1)
    found = dict(zip(asked, predictions, strict=True))
    cells = []
    for row in range(len(piece)):
        answers = dict(found[row].branches.items()) if row in found else {}
        of_row = [_cells(answers.get(name)) for name in names]
        for name, (_, _, unknown) in zip(names, of_row, strict=True):
            counts.unknown[name] += unknown
        cells.append([cell for of_branch in of_row for cell in of_branch])
    counts.rows += len(piece)
    counts.empty += len(piece) - len(asked)
    return cells


def _cells(answer: "BranchPrediction | None") -> tuple[str | None, float | None, bool]:
    return _OF_NONE if answer is None else (answer.label, round(answer.confidence, _DIGITS), answer.unknown)


def _warn_of(piece: "RowPiece", system: "InterconnectedAISystem", output: Output) -> None:
    from interconnected_ai.data import Rows

    warn_of_rows(output, system, Rows([text for text in piece.texts if text], {}))


def _tell(counts: Counts, out: Path, columns: list[str], output: Output) -> None:
    output.table(
        f"{counts.rows:,} rows, {counts.empty:,} of them without a text",
        ["branch", "answered", "unknown"],
        [(name, counts.rows - unknown, unknown) for name, unknown in counts.unknown.items()],
    )
    output.say(f"Written: {out}, with the columns {', '.join(columns)}")
    output.result(
        {
            "out": str(out),
            "rows": counts.rows,
            "empty": counts.empty,
            "columns": columns,
            "branches": {name: {"unknown": unknown} for name, unknown in counts.unknown.items()},
        }
    )
