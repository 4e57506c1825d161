"""What an adapter's folder says of itself, without its weights. Imports no torch."""

from dataclasses import fields
from pathlib import Path

from interconnected_ai.errors import IntegrityError
from interconnected_ai.experts.adapters.settings import SETTINGS
from interconnected_ai.experts.card import ExpertCard
from interconnected_ai.storage import read_json

CARD = "expert.json"


def is_adapter(folder: Path) -> bool:
    """Whether an adapter stands in this folder, ours or PEFT's own."""
    return (folder / SETTINGS).is_file()


def read_card(folder: Path) -> ExpertCard:
    """The card; of a folder that PEFT wrote what its config says. Raises `IntegrityError` for a card that is none."""
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    if not (folder / CARD).is_file():
        base = read_json(folder / SETTINGS).get("base_model_name_or_path") or None
        return ExpertCard(name=folder.name, kind="adapter", base=base, num_bytes=size)
    content = read_json(folder / CARD)
    known = {field.name for field in fields(ExpertCard)}
    lists = {name: tuple(content.get(name) or ()) for name in ("languages", "examples")}
    try:
        return ExpertCard(
            **{k: v for k, v in content.items() if k in known} | lists | {"kind": "adapter", "num_bytes": size}
        )
    except TypeError as error:
        raise IntegrityError(f"{folder / CARD} is no card of an adapter: {error}; restore it from a copy") from error
