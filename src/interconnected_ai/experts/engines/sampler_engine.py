"""Engines with a sampler of their own: a setting that one cannot serve is refused by name, with the engines that serve it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch

from interconnected_ai.config import ExpertConfig, GenerationConfig
from interconnected_ai.errors import EngineError
from interconnected_ai.experts.prompts import checked_prompts
from interconnected_ai.experts.text_rules import TextRules
from interconnected_ai.text import Tokenizer
from interconnected_ai.types import Generation, TokenStep

_COMPLETE = "torch and onnx"  # engines that give logits, on which every setting is served

Listener = Callable[[TokenStep], None]


class SamplerEngine(ABC):
    """A `Generate` of `interconnected_ai.types` that hands whole prompts to a library, and has answers back.

    neutral: setting → the value under which it does nothing; any other is refused. end_id: the token that ends an answer;
    None is the tokenizer's. threads: of one step; None is torch's number.
    """

    name: ClassVar[str]
    neutral: ClassVar[Mapping[str, Any]]

    def __init__(
        self, shape: ExpertConfig, tokenizer: Tokenizer | None, *, end_id: int | None, threads: int | None
    ) -> None:
        self._shape, self._tokenizer = shape, tokenizer
        self._end_id = tokenizer.end_id if end_id is None and tokenizer is not None else end_id
        self._threads = threads or torch.get_num_threads()

    def __call__(
        self,
        prompts: Sequence[Sequence[int]],
        config: GenerationConfig,
        *,
        seed: int | None = None,
        on_step: Listener | None = None,
    ) -> list[Generation]:
        """One `Generation` for each prompt, in order; see `interconnected_ai.types.Generate`."""
        window = self._shape.max_seq_len
        read = checked_prompts(prompts, config, vocab_size=self._shape.vocab_size, max_seq_len=window)
        for setting, nothing in self.neutral.items():
            if (value := getattr(config, setting)) not in (nothing, None):
                raise self._refusal(f"{setting}={value!r}")
        if max(map(len, read)) + config.max_new_tokens > window:
            raise self._refusal(f"window={config.window!r}")
        return self._answers(read, config, TextRules.of(config, self._tokenizer), seed, on_step)

    @abstractmethod
    def _answers(
        self,
        prompts: list[list[int]],
        config: GenerationConfig,
        rules: TextRules | None,
        seed: int | None,
        on_step: Listener | None,
    ) -> list[Generation]:
        """The library's answers to prompts that fit the window."""

    def _refusal(self, setting: str) -> EngineError:
        return EngineError(f"the engine {self.name} has no {setting}; the engines {_COMPLETE} have it")
