"""`iai route evaluate`."""

from pathlib import Path

import click

from interconnected_ai.cli.output import Output, percent, with_output
from interconnected_ai.cli.route.routers import (
    cascade_of,
    examples_in,
    router_options,
    routers_in,
    table_of_requests,
    texts_outside,
)
from interconnected_ai.cli.rows import column_options

_SHOWN = 12  # confusions


@click.command("evaluate")
@click.argument("table", type=click.Path(path_type=Path, dir_okay=False))
@router_options
@column_options
@click.option(
    "--outside", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Texts that are nobody's business, a line each or a table. Rows of TABLE without a label are such too.",
)  # fmt: skip
@click.option("--timed", type=click.IntRange(min=0), default=200, show_default=True, metavar="N",
              help="Requests that are asked again, one by one, by a clock.")  # fmt: skip
@with_output
def command(
    table: Path,
    rules: Path | None,
    routers: tuple[Path, ...],
    fallback: str | None,
    text: str,
    label: str,
    outside: Path | None,
    timed: int,
    output: Output,
) -> None:
    """Measure routers, one after another as they are asked, on TABLE: requests, and in the column --label who should answer."""
    from interconnected_ai.routing import evaluate_router

    asked = routers_in(rules, routers)
    rows = table_of_requests(table, text, label, None)
    output.warn(rows.remarks)
    found = evaluate_router(
        cascade_of(asked, fallback), examples_in(rows, texts_outside(outside, text)), num_timed=timed
    )
    shares = [
        ("right expert first", found.accuracy),
        ("right of those decided", found.answered_accuracy),
        ("coverage: decided", found.coverage),
        ("out of scope, to the fallback", found.oos_recall),
        ("in scope, to the fallback", found.false_oos),
    ]
    output.table(
        f"{found.num_requests:,} requests, {found.num_outside:,} out of scope",
        ["what", "%"],
        [(what, percent(share)) for what, share in shares if share is not None],
    )
    output.table(
        "By expert",
        ["expert", "requests", "found %", "right of its own %"],
        [
            (name, int(of["requests"]), percent(of["recall"]), percent(of["precision"]))
            for name, of in found.by_expert.items()
        ],
    )
    if found.confusion:
        output.table("Confused most often", ["is for", "goes to", "times"], list(found.confusion[:_SHOWN]))
    if found.p50_seconds is not None and found.p99_seconds is not None:
        output.say(
            f"a decision takes {1000 * found.p50_seconds:.2f} ms, 99 of 100 at most {1000 * found.p99_seconds:.2f} ms"
        )
    output.result(found.to_dict())
