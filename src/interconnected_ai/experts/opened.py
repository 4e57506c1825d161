"""`Opening` and `Opened`: how an expert is to be opened, and what its kind's row hands back. No torch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from interconnected_ai.arguments import shown
from interconnected_ai.errors import ConfigError, EngineError, UnknownNameError
from interconnected_ai.experts.card import ExpertCard

if TYPE_CHECKING:
    from interconnected_ai.experts.chat import ChatTemplate
    from interconnected_ai.experts.language_model import LanguageModel, LanguageShape
    from interconnected_ai.text import TextTokenizer
    from interconnected_ai.types import Generate

ENGINES = ("torch", "onnx", "ctranslate2", "llamacpp", "torch-int4")


@dataclass(frozen=True)
class Opening:
    """How an expert is to be opened.

    engine: None is the kind's own. device: of the engine torch, such as "cuda". mapped: the engine onnx leaves the weights in
    their file, which takes few bytes and is there at once, but computes slower.
    """

    engine: str | None = None
    device: str | None = None
    mapped: bool = False

    def __post_init__(self) -> None:
        for name in ("engine", "device"):
            if not isinstance(value := getattr(self, name), str | None):
                raise ConfigError(f"{name}={shown(value)}: needed is a name, or None")

    def engine_of(self, engines: tuple[str, ...], what: str) -> str:
        """The engine of a kind that has these, its own first.

        Raises `UnknownNameError` for a name that nobody knows, `EngineError` for an engine that the kind lacks, `ConfigError`
        for a device on another engine than torch.
        """
        name = self.engine or ("torch" if self.device is not None else engines[0])
        if name != "auto" and name not in ENGINES:
            raise UnknownNameError("engine", name, [*engines, "auto"])
        if name != "auto" and name not in engines:
            raise EngineError(f"the engine {name} cannot run {what}; {' and '.join(engines)} can")
        if self.device is not None and name != "torch":
            raise ConfigError(f"device={self.device!r} is for the engine torch; the engine {name} computes on the CPU")
        if self.mapped and name != "onnx":
            raise ConfigError(f"mapped=True is for the engine onnx; the engine {name} keeps its weights as it does")
        return name


@dataclass(frozen=True)
class Opened:
    """What an `Expert` is made of. model: None where the engine alone computes. load: the model, when it is asked for.

    template: of chats, made when one begins; None is the default. config: the model's shape, None where the model tells it.
    """

    engine: "Generate"
    tokenizer: "TextTokenizer"
    card: ExpertCard
    model: "LanguageModel | None"
    load: "Callable[[], LanguageModel]"
    source: Path
    template: "Callable[[], ChatTemplate] | None" = None
    config: "LanguageShape | None" = None
