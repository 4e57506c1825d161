"""Settings that an engine with a sampler of its own cannot serve: refused by name, with an engine that serves them."""

from collections.abc import Mapping
from typing import Any

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import EngineError

_COMPLETE = "torch and onnx"  # engines that give logits, on which every setting is served


def refuse_settings(engine: str, config: GenerationConfig, neutral: Mapping[str, Any]) -> None:
    """Raise `EngineError` for the first setting that is not at the one value this engine serves.

    neutral: setting → the value under which it does nothing.
    """
    for name, nothing in neutral.items():
        if (value := getattr(config, name)) not in (nothing, None):
            raise refusal(engine, f"{name}={value!r}")


def refusal(engine: str, setting: str) -> EngineError:
    """The error that names engine, setting and the engines that have it."""
    return EngineError(f"the engine {engine} has no {setting}; the engines {_COMPLETE} have it")
