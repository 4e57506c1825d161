"""`iai council`: experts, a router and a memory as one. `iai chat council.yaml` talks with it."""

import click

from interconnected_ai.cli import Verbs

# file → what the command does
VERBS = {
    "init": "Write the council.yaml of the experts that are there.",
    "plan": "Whether a council or one dense model serves better, before anything is trained.",
    "quickstart": "A council from what is on this machine: three adapters, a router, a memory; then the chat.",
    "route": "Who of a council would answer a question, and why; nobody is asked.",
}


@click.group("council", cls=Verbs, room=__name__, verbs=VERBS)
def command() -> None:
    """A council.yaml says who sits in it, who is asked when, what it may take and what it remembers."""
