"""Engines by name: each row of the table says what an engine can run and how it is opened."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from interconnected_ai.config import ExpertConfig
from interconnected_ai.errors import EngineError, UnknownNameError
from interconnected_ai.experts.engines.conversion import conversion
from interconnected_ai.experts.folder import checked_folder, load_model, load_tokenizer
from interconnected_ai.experts.quantization import load_quantized
from interconnected_ai.text import Tokenizer
from interconnected_ai.types import Generate


@dataclass(frozen=True)
class Source:
    """An expert's folder, checked, and what opening an engine on it takes."""

    folder: Path
    shape: ExpertConfig
    tokenizer: Tokenizer | None
    threads: int | None
    cache: Path | None

    def converted(self, form: str, write: Callable[[Path], None]) -> Path:
        """The folder of a converted form."""
        return conversion(self.folder, form, write, self.cache)


@dataclass(frozen=True)
class EngineKind:
    """What there is to know of an engine before it is opened.

    package: what has to be importable, with the extra that brings it. precisions: of the weights. refuses: why it cannot
    run an expert of this shape, "" if it can.
    """

    package: str
    extra: str
    precisions: tuple[str, ...]
    refuses: Callable[[ExpertConfig], str]
    open: Callable[[Source, str], Generate]
