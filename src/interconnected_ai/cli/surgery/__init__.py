"""`iai surgery`: see, change, add, train and program the experts of a pretrained mixture of experts. One file a verb."""

from importlib import import_module

import click

from interconnected_ai.cli import Verbs

VERBS = {
    "quickstart": "Train a small MoE on text that is on this machine, then the whole story on it.",
    "inspect": "A checkpoint's layers, experts, router and sizes, from its headers alone.",
    "usage": "Which experts serve which texts; a heat map; the experts worth training.",
    "compare": "What differs between two mixtures, and how far their answers lie apart.",
    "top-k": "Let a token take another number of experts.",
    "replace": "Put another expert, or the mean of several, where one stands.",
    "insert": "Add experts that change nothing until they are let in.",
    "remove": "Take experts out.",
    "prune": "Take out or join the experts worth least on some texts; what that costs, and a short repair.",
    "role": "Train experts on a role's texts and switch them on by its token.",
    "export": "Write a mixture as a GGUF file, which llama.cpp runs.",
    "apply": "Replay a recipe on a model.",
}


class _SurgeryVerbs(Verbs):
    """Commands whose files cannot have a hyphen in their names."""

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        command: click.Command = import_module(f"{__name__}.{name.replace('-', '_')}").command
        return command


@click.group("surgery", cls=_SurgeryVerbs, room=__name__, verbs=VERBS)
def command() -> None:
    """Experts and routers of a pretrained Hugging Face mixture of experts."""
