"""The table of kinds, and which row an expert belongs to. No torch."""

from collections.abc import Iterator
from pathlib import Path

from interconnected_ai.errors import MissingExtraError, NotAModelError
from interconnected_ai.experts.bases import SMOLLM2, embedded_base
from interconnected_ai.experts.card import ExpertCard
from interconnected_ai.experts.kinds.adapter import ADAPTER
from interconnected_ai.experts.kinds.causal import CAUSAL_MODEL
from interconnected_ai.experts.kinds.gguf import GGUF
from interconnected_ai.experts.kinds.kind import ExpertKind
from interconnected_ai.experts.kinds.own import OWN
from interconnected_ai.experts.kinds.remote import REMOTE
from interconnected_ai.hub import local_folder
from interconnected_ai.storage import MANIFEST

KINDS: tuple[ExpertKind, ...] = (OWN, ADAPTER, REMOTE, GGUF, CAUSAL_MODEL)  # the first that recognises a place has it


def kind_of(place: str | Path) -> tuple[ExpertKind, Path]:
    """The kind of an expert, and where it is on this machine: a folder, a file, "smollm2", or a hub repository as owner/name.

    What stands in a folder of ours, or nowhere, is for the kind "expert" to refuse. Raises `NotAModelError` for what is no
    expert.
    """
    if isinstance(place, str | Path) and str(place) == SMOLLM2 and not Path(place).exists():
        return GGUF, embedded_base().path
    folder = local_folder(place)
    for kind in KINDS:
        if kind.recognises(folder):
            return kind, folder
    if not folder.exists() or (folder / MANIFEST).exists():
        return OWN, folder
    files = sorted(folder.glob("*.gguf")) if folder.is_dir() else []
    if len(files) == 1:
        return GGUF, files[0]
    known = "; ".join(f"{kind.name}: {kind.title}" for kind in KINDS)
    more = f". Of the {len(files)} GGUF files in it name one" if files else ""
    raise NotAModelError(f"{folder} holds no expert; known are {known}{more}")


def expert_card(place: str | Path) -> ExpertCard:
    """What an expert says of itself, whatever kind it is; its weights are not read."""
    kind, folder = kind_of(place)
    return kind.card(folder)


def mapped_num_bytes(place: str | Path, engine: str | None) -> int | None:
    """What an expert takes on this engine with its weights mapped from their file; None where it has no such form."""
    kind, folder = kind_of(place)
    return kind.mapped_bytes(folder, engine)


def experts_in(folder: Path) -> Iterator[tuple[ExpertKind, Path]]:
    """The experts in a folder, in the order of their names; or the folder itself, where it is one."""
    own = _recognised(folder)
    if own is not None:
        yield own, folder
        return
    for place in sorted(folder.iterdir()):
        kind = None if place.name.startswith(".") else _recognised(place)
        if kind is not None:
            yield kind, place


def embedded_card() -> ExpertCard | None:
    """The card of the embedded base; None where it is not installed."""
    try:
        return expert_card(SMOLLM2)
    except MissingExtraError:
        return None


def all_formats() -> tuple[str, ...]:
    """Formats that some kind can be exported to."""
    return tuple(dict.fromkeys(name for kind in KINDS for name in kind.formats))


def _recognised(place: Path) -> ExpertKind | None:
    return next((kind for kind in KINDS if kind.recognises(place)), None)
