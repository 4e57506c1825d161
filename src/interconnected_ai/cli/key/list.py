"""`iai key list`."""

from pathlib import Path

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.serve import DEFAULT_KEYS


@click.command("list")
@click.option(
    "--keys", type=click.Path(path_type=Path, dir_okay=False), default=DEFAULT_KEYS, show_default=True, metavar="FILE",
    help="Where the keys are.",
)  # fmt: skip
@with_output
def command(keys: Path, output: Output) -> None:
    """The keys in a file, those that were revoked too."""
    from interconnected_ai.serving import KeyFile

    found = [key.shown() for key in KeyFile(keys).all()]
    output.table(
        f"{len(found)} keys in {keys}", ["name", "id", "user", "may", "requests/min", "tokens/min", "at once", "made",
         "revoked"],
        [
            (
                each["name"], each["id"], each["user"], " ".join(each["scopes"]), each["requests_per_minute"] or "—",
                each["tokens_per_minute"] or "—", each["at_once"] or "—", each["created"], each["revoked"] or "—",
            )
            for each in found
        ],
    )  # fmt: skip
    output.result({"keys": found})
