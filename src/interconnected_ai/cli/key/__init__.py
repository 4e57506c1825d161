"""`iai key`: API keys of a server."""

import click

from interconnected_ai.cli import Verbs

# file → what the command does
VERBS = {
    "add": "Make an API key, and show it this once.",
    "list": "The keys of a server, what they may do, and how much.",
    "revoke": "Let a key open nothing any more.",
}


@click.group("key", cls=Verbs, room=__name__, verbs=VERBS)
def command() -> None:
    """Who may ask a server that iai serve runs. The file holds no key, only hashes; servers read it again when it changes."""
