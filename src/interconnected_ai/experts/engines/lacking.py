"""Which settings the engines with samplers of their own lack, and who has them. Engines that give logits have every one."""

from collections.abc import Mapping
from typing import Any

from interconnected_ai.errors import Blame, EngineError

_COMPLETE = ("torch", "onnx")
LACKING: dict[str, Mapping[str, Any]] = {
    "llamacpp": {
        "num_beams": 1,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "logit_bias": (),
        "window": "error",
    },
    "ctranslate2": {
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "bad_words": (),
        "logit_bias": (),
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
    blame = Blame(setting, f"the engine of this expert, {engine}, does not do it; leave it out, or ask another expert")
    return EngineError(f"the engine {engine} has no {said}; the engines {listed} have it").blaming(blame)
