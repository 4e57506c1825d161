"""`iai key add`."""

from pathlib import Path

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.serve import DEFAULT_KEYS

_SCOPES = ("chat", "classify", "memory", "admin")
_USUAL = ("chat", "classify", "memory")


@click.command("add")
@click.argument("name")
@click.option(
    "--keys", type=click.Path(path_type=Path, dir_okay=False), default=DEFAULT_KEYS, show_default=True, metavar="FILE",
    help="Where the keys are; made when it is absent.",
)  # fmt: skip
@click.option(
    "--scope", "scopes", type=click.Choice(_SCOPES), multiple=True, default=_USUAL, show_default=True,
    help="What the key may do, several times; admin is everything.",
)  # fmt: skip
@click.option("--user", metavar="NAME", help="Whose memory the key opens.  [default: a user called as the key]")
@click.option("--requests", type=click.IntRange(1), metavar="N", help="At most so many a minute.")
@click.option("--tokens", type=click.IntRange(1), metavar="N", help="At most so many a minute, read and written.")
@click.option("--at-once", type=click.IntRange(1), metavar="N", help="At most so many answers at the same time.")
@with_output
def command(
    name: str,
    keys: Path,
    scopes: tuple[str, ...],
    user: str | None,
    requests: int | None,
    tokens: int | None,
    at_once: int | None,
    output: Output,
) -> None:
    """Make a key called NAME. It is shown now and never again."""
    from interconnected_ai.serving import KeyFile

    key, secret = KeyFile(keys).add(
        name, scopes=scopes, user=user, requests_per_minute=requests, tokens_per_minute=tokens, at_once=at_once
    )
    output.result({**key.shown(), "key": secret})
    if not output.as_json:
        click.echo(secret)
    output.step(
        f"The key {name!r} may {', '.join(key.scopes)}; its hash is in {keys}, the key itself nowhere: keep it."
    )
