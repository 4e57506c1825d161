"""`iai key revoke`."""

from pathlib import Path

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.serve import DEFAULT_KEYS


@click.command("revoke")
@click.argument("name")
@click.option(
    "--keys", type=click.Path(path_type=Path, dir_okay=False), default=DEFAULT_KEYS, show_default=True, metavar="FILE",
    help="Where the keys are.",
)  # fmt: skip
@with_output
def command(name: str, keys: Path, output: Output) -> None:
    """Let the key NAME, or with this id, open nothing any more; servers that run heed it at their next request."""
    from interconnected_ai.serving import KeyFile

    key = KeyFile(keys).revoke(name)
    output.note(f"{key.name} ({key.id}) opens nothing any more")
    output.result(key.shown())
