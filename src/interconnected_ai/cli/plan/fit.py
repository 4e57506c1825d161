"""`iai plan fit`: the largest system within memory and budget."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from interconnected_ai.cli.alternatives import only_with
from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.plan.comparison import deliver
from interconnected_ai.cli.plan.options import (
    branches_options,
    device_options,
    limit_options,
    source_argument,
    written_options,
)
from interconnected_ai.cli.plan.request import request_of


@click.command("fit")
@source_argument
@branches_options
@device_options()
@limit_options
@written_options
@only_with("write", "data")
@with_output
def command(source: Path | None, devices: Path | None, assignments: Sequence[str], write: Path | None,
            data: Sequence[str], plot: Path | None, output: Output, **options: Any) -> None:  # fmt: skip
    """The largest system that trains within the device's memory (or --memory-gb) and the --budget.

    Numbers of experts and hidden sizes are searched; all else stays as asked for. Size says nothing about accuracy.
    """
    from interconnected_ai.planner import largest_fit

    found = largest_fit(request_of(source, options, assignments), devices=devices).plan
    deliver(found, output, source=source, write=write, data=data, plot=plot)
