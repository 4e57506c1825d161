"""`ExpertKind`: a row of the table of kinds. Nothing outside the table asks of which kind an expert is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from interconnected_ai.experts.card import ExpertCard
from interconnected_ai.experts.opened import Opened, Opening
from interconnected_ai.experts.text_expert import TextExpert

Exporter = Callable[[Path, Path, str], None]
"""(the expert, where to write, the precision of the weights): writes another program's format."""


@dataclass(frozen=True)
class ExpertKind:
    """What can be done with the experts of a kind. None of it imports torch before it computes.

    title: what such an expert is, in a few words. recognises: whether a file or folder is one, from names and small files.
    card: what it says of itself, without its weights. open: for an `Expert`, what it is made of; else the expert itself.
    engines: its own first; empty where it computes elsewhere. formats: of other programs → what writes them. mapped_bytes: what
    it takes on an engine with its weights mapped from their file, None where that cannot be.
    why_not_evaluate, why_not_quantize, why_not_export: "" where it can be done, else the reason and a way around.
    """

    name: str
    title: str
    recognises: Callable[[Path], bool]
    card: Callable[[Path], ExpertCard]
    open: Callable[[Path, Opening], Opened | TextExpert]
    engines: tuple[str, ...]
    formats: Mapping[str, Exporter] = field(default_factory=dict)
    mapped_bytes: Callable[[Path, str | None], int | None] = lambda place, engine: None
    why_not_evaluate: str = ""
    why_not_quantize: str = ""
    why_not_export: str = ""
