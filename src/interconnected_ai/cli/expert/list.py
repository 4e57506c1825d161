"""`iai expert list [FOLDER]`. Reads configs and headers alone, and no torch."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from interconnected_ai.cli.output import Output, with_output
from interconnected_ai.cli.units import spoken_bytes
from interconnected_ai.errors import InterconnectedAIError, NotAModelError
from interconnected_ai.experts import ExpertCard, embedded_card, experts_in


@click.command("list")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("experts"))
@with_output
def command(folder: Path, output: Output) -> None:
    """The experts in FOLDER (default: experts), of every kind: what they are, and how well they do on held-out text."""
    if not folder.exists():
        raise NotAModelError(
            f"no folder at {folder}; train an expert: iai expert train --text FILES --out {folder}/NAME"
        )
    cards: list[tuple[str, ExpertCard]] = []
    unreadable: list[dict[str, str]] = []
    for kind, place in experts_in(folder):
        try:
            cards.append((place.name, kind.card(place)))
        except InterconnectedAIError as error:
            unreadable.append({"name": place.name, "error": str(error)})
            output.note(f"{place.name} cannot be read: {error}")
    if cards:
        output.table(str(folder), list(_COLUMNS), [_row(name, card) for name, card in cards])
    else:
        output.say(f"No experts in {folder}. Train one: iai expert train --text FILES --out {folder}/NAME")
    base = embedded_card()
    if base is not None:
        size = "" if base.num_bytes is None else f", {spoken_bytes(base.num_bytes)}"
        output.say(f"Embedded: smollm2 ({base.name}{size}, English only), wherever an EXPERT is asked for.")
    output.result(
        {
            "folder": str(folder),
            "experts": [_described(name, card) for name, card in cards],
            "unreadable": unreadable,
            "embedded": None if base is None else _described("smollm2", base),
        }
    )


_COLUMNS = ("expert", "kind", "base", "size", "parameters", "window", "languages", "licence", "bits per byte")


def _row(name: str, card: ExpertCard) -> tuple[Any, ...]:
    size = None if card.num_bytes is None else spoken_bytes(card.num_bytes)
    figures = (card.base, size, card.num_params, card.context, " ".join(card.languages) or None, card.licence)
    measured = "?" if card.bits_per_byte is None else f"{card.bits_per_byte:.3f}"
    return (name, card.kind, *("" if one is None else one for one in figures), measured)


def _described(name: str, card: ExpertCard) -> dict[str, Any]:
    """The card, with the names that figures have elsewhere."""
    content = {key: value for key, value in asdict(card).items() if key != "training"}
    return {
        **content,
        "title": card.name,
        "name": name,
        "max_seq_len": card.context,
        "bits_per_byte": card.bits_per_byte,
    }
