"""Which settings the engines with samplers of their own lack, and who has them. Engines that give logits have every one."""

from collections.abc import Mapping
from typing import Any

from interconnected_ai.errors import EngineError

_COMPLETE = ("torch", "onnx")
LACKING: dict[str, Mapping[str, Any]] = {
    "llamacpp": {"num_beams": 1, "presence_penalty": 0.0, "frequency_penalty": 0.0, "window": "error"},
    "ctranslate2": {
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "bad_words": (),
        "logprobs": None,
        "json_schema": None,
        "regex": None,
        "choices": (),
        "window": "error",
    },
}
"""Engine → setting → the value under which it does nothing; any other is refused."""


def refusal(engine: str, said: str, setting: str) -> EngineError:
    """That an engine has not what was said of this setting, and which ones have it."""
    able = [*_COMPLETE, *(name for name, lacks in LACKING.items() if name != engine and setting not in lacks)]
    listed = f"{', '.join(able[:-1])} and {able[-1]}"
    return EngineError(f"the engine {engine} has no {said}; the engines {listed} have it")
