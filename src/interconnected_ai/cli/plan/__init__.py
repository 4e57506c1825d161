"""`iai plan`: what something takes before it is built. One file a verb, imported when it is called; none needs torch
but `calibrate`."""

import click

from interconnected_ai.cli import Verbs

# file → what the command does
VERBS = {
    "system": "A branches system: dense, MoE and adding one branch, side by side, and which to choose.",
    "fit": "The largest branches system that a device, a memory or a budget allows.",
    "expert": "A small language model: parameters, bytes, KV cache, tokens per second.",
    "pool": "Many experts within a RAM budget: how many stay in memory, what loading another takes.",
    "surgery": "A pretrained mixture of experts: the memory of every way to run or train it.",
    "explain": "What a setting does, its default, and what happens at both ends.",
    "document": "The source document's table: claimed there, computed from its own sizes.",
    "calibrate": "Measure this machine (under a minute), for better times in plans.",
}


@click.group("plan", cls=Verbs, room=__name__, verbs=VERBS)
def command() -> None:
    """Size, price and compare before anything is built.

    `iai plan system` plans the document's system on this machine; options and files describe another.
    """
