"""Engines: what computes an expert's answers, by name."""

from pathlib import Path
from typing import Any

from interconnected_ai.errors import UnknownNameError
from interconnected_ai.experts.folder import load_model
from interconnected_ai.experts.model import ExpertModel
from interconnected_ai.experts.torch_engine import TorchEngine
from interconnected_ai.text import Tokenizer
from interconnected_ai.types import Generate

ENGINES = ("torch",)


def open_engine(
    name: str, expert: str | Path | ExpertModel, tokenizer: Tokenizer | None = None, **options: Any
) -> Generate:
    """The engine of this name for an expert's folder or a model; raises `UnknownNameError` for a name that nobody knows."""
    if name != "torch":
        raise UnknownNameError("engine", name, ENGINES)
    return TorchEngine(expert if isinstance(expert, ExpertModel) else load_model(expert), tokenizer, **options)
