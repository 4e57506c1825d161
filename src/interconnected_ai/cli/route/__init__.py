"""`iai route`: who answers a request. One file a verb, imported when it is called; rules alone load no model."""

import click

from interconnected_ai.cli import Verbs

# file → what the command does
VERBS = {
    "explain": "Who would answer a request, and why: what fired, what every router said.",
    "train": "Learn a router from a table of requests and who should answer them.",
    "evaluate": "Measure routers on a table: accuracy, coverage, out of scope, latency, confusion.",
}


@click.group("route", cls=Verbs, room=__name__, verbs=VERBS)
def command() -> None:
    """Rules in YAML, learned routers and nearest examples, one after another: whoever is sure decides."""
