"""`iai memory fact set|correct|retract`: facts by hand."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.stores import StoreCommand, newest_session, open_memory, store_argument, user_of

if TYPE_CHECKING:
    from interconnected_ai.memory import Fact

DEFAULT_SESSION = "default"  # in a memory without a session
user_option = click.option("--user", help="Whose memory; default: `default`, or the only user there is.")
until_option = click.option("--until", metavar="TIME", help="ISO 8601 time after which it holds no more.")


@click.group("fact")
def fact() -> None:
    """Facts by hand, which nothing that is said later overwrites; `iai memory facts` lists them all with their numbers."""


@fact.command("set", cls=StoreCommand)
@store_argument
@click.argument("relation")
@click.argument("value")
@click.option("--subject", default="user", show_default=True, help="Whom it is of.")
@click.option("--session", help="The session that it belongs to; default: the one with the newest message.")
@user_option
@until_option
@with_output
def set_(
    store: str,
    relation: str,
    value: str,
    subject: str,
    session: str | None,
    user: str | None,
    until: str | None,
    output: Output,
) -> None:
    """Set a fact, such as: "lives in" Riga. It takes the place of what is known otherwise."""
    with open_memory(store) as memory:
        user = user_of(memory, user, None)
        where = session or newest_session(memory, user) or DEFAULT_SESSION
        _tell(output, memory.set_fact(relation, value, subject=subject, session=where, user=user, valid_until=until))


@fact.command("correct", cls=StoreCommand)
@store_argument
@click.argument("number", type=int)
@click.argument("value")
@user_option
@until_option
@with_output
def correct(store: str, number: int, value: str, user: str | None, until: str | None, output: Output) -> None:
    """Put VALUE in the place of what the fact of NUMBER says, which is not learnt again."""
    with open_memory(store) as memory:
        _tell(output, memory.correct(number, value, user=user_of(memory, user, None), valid_until=until))


@fact.command("retract", cls=StoreCommand)
@store_argument
@click.argument("number", type=int)
@user_option
@with_output
def retract(store: str, number: int, user: str | None, output: Output) -> None:
    """Say that the fact of NUMBER does not hold; it is not learnt again."""
    with open_memory(store) as memory:
        _tell(output, memory.retract(number, user=user_of(memory, user, None)))


def _tell(output: Output, made: "Fact") -> None:
    said = f"{made.subject} {made.relation}: {made.value}"
    output.say(f"{said} holds no more." if made.kind == "end" else f"{said} (no. {made.number}).")
    output.result(asdict(made))
