"""`iai plan system`: dense, MoE and one more branch side by side."""

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
    moe_options,
    source_argument,
    written_options,
)
from interconnected_ai.cli.plan.request import request_of


@click.command("system")
@source_argument
@branches_options
@moe_options
@device_options()
@limit_options
@written_options
@only_with("write", "data")
@with_output
def command(source: Path | None, devices: Path | None, assignments: Sequence[str], write: Path | None,
            data: Sequence[str], plot: Path | None, output: Output, **options: Any) -> None:  # fmt: skip
    """What a branches system takes: dense, MoE and adding one branch, side by side.

    From options, from a CONFIG (a plan's or a run's, YAML or JSON), or from the folder of a RUN; options win.
    """
    from interconnected_ai.planner import plan

    found = plan(request_of(source, options, assignments), devices=devices)
    deliver(found, output, source=source, write=write, data=data, plot=plot)
