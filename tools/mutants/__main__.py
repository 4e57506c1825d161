"""`python -m tools.mutants`: the campaign from the command line, table at the end, figures in files."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from tools.mutants.campaign import Budget, Found, try_room
from tools.mutants.equivalent import read_equivalents
from tools.mutants.nurseries import NurseryError
from tools.mutants.records import Records
from tools.mutants.report import COLUMNS, figures, markdown, rows
from tools.mutants.rooms import ROOMS

ROOT = Path(__file__).resolve().parents[2]
NAMES = [room.name for room in ROOMS]


@click.command()
@click.option(
    "--room", "names", multiple=True, type=click.Choice(NAMES), help="This room; several times; default: all."
)
@click.option("--sample", default=300, show_default=True, type=click.IntRange(1), help="Mutants of a room, at most.")
@click.option("--minutes", default=60.0, show_default=True, type=click.FloatRange(0), help="For all rooms together.")
@click.option("--jobs", default=2, show_default=True, type=click.IntRange(1), help="Mutants tried at once.")
@click.option("--seed", default=0, show_default=True, help="Another seed draws other mutants.")
@click.option("--at-least", type=click.FloatRange(0, 1), help="End with code 1 when a room's share killed is below.")
@click.option(
    "--output", default=Path(".mutants"), show_default=True, type=click.Path(path_type=Path, file_okay=False),
    help="What was found; a second run goes on there.",
)  # fmt: skip
def main(
    names: tuple[str, ...], sample: int, minutes: float, jobs: int, seed: int, at_least: float | None, output: Path
) -> None:
    """Put small faults into the sources, one at a time, and count those that the room's own tests notice."""
    chosen = [room for room in ROOMS if room.name in names or not names]
    output.mkdir(parents=True, exist_ok=True)
    records = Records(output / "mutants.jsonl")
    end = time.monotonic() + 60 * minutes
    found: list[Found] = []
    for number, room in enumerate(chosen):
        left = (end - time.monotonic()) / (len(chosen) - number)  # what a room does not need goes to those after it
        budget = Budget(sample, time.monotonic() + left)
        try:
            found.append(try_room(room, ROOT, records, budget, jobs=jobs, seed=seed, say=_say))
        except NurseryError as error:
            raise click.ClickException(f"{room.name}: {error}") from error
        _write(output, found)
    content = _write(output, found)
    for line in [COLUMNS, *rows(content)]:
        click.echo("  ".join(f"{cell:>14}" for cell in line))
    shares = [room["share_killed"] for room in content["rooms"].values()]
    if at_least is not None and any(share is None or share < at_least for share in shares):
        sys.exit(1)


def _write(output: Path, found: list[Found]) -> dict[str, Any]:
    """The figures so far, as JSON and as a page."""
    from interconnected_ai.bench.timing import machine
    from interconnected_ai.storage import atomic_file

    content = {"machine": machine(), **figures(found, read_equivalents())}
    with atomic_file(output / "mutants.json") as file:
        file.write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding="utf-8")
    with atomic_file(output / "mutants.md") as file:
        file.write_text(markdown(content, "make mutants"), encoding="utf-8")
    return content


def _say(words: str) -> None:
    click.echo(words, err=True)


if __name__ == "__main__":
    main()
