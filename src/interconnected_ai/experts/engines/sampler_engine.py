"""Engines with a sampler of their own: a setting that one cannot serve is refused by name, with the engines that serve it."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from interconnected_ai.errors import EngineError
from interconnected_ai.experts.answers import Ending, as_generation
from interconnected_ai.experts.asked import Asked, EndIds
from interconnected_ai.experts.engine import Engine
from interconnected_ai.experts.text_rules import Written
from interconnected_ai.text import TextTokenizer
from interconnected_ai.types import Generation, TokenStep

_COMPLETE = "torch and onnx"  # engines that give logits, on which every setting is served


class SamplerEngine(Engine):
    """Hands whole prompts to a library, and has tokens back.

    neutral: setting → the value under which it does nothing; any other is refused. threads: of one step; None is torch's
    number.
    """

    neutral: ClassVar[Mapping[str, Any]]

    def __init__(
        self,
        vocab_size: int,
        max_seq_len: int,
        tokenizer: TextTokenizer | None,
        *,
        end_ids: EndIds,
        threads: int | None,
    ) -> None:
        super().__init__(vocab_size, max_seq_len, tokenizer, end_ids=end_ids)
        self._threads = threads or torch.get_num_threads()

    def _refuse(self, asked: Asked) -> None:
        for setting, nothing in self.neutral.items():
            if (value := getattr(asked.config, setting)) not in (nothing, None):
                raise self._refusal(f"{setting}={value!r}")
        if max(map(len, asked.prompts)) + asked.config.max_new_tokens > self.max_seq_len:
            raise self._refusal(f"window={asked.config.window!r}")

    def _refusal(self, setting: str) -> EngineError:
        return EngineError(f"the engine {self.name} has no {setting}; the engines {_COMPLETE} have it")


class Heard:
    """One row's answer, as the library tells it."""

    def __init__(self, row: int, asked: Asked) -> None:
        self.row, self._asked = row, asked
        self.token_ids: list[int] = []
        self._steps: list[TokenStep] = []
        self.end_ids = asked.end_ids
        self._written: Written | None = None if asked.rules is None else asked.rules.begin(asked.prompts[row])

    @property
    def has_stopped(self) -> bool:
        """Whether a stop string has come."""
        return self._written is not None and self._written.stop_at is not None

    def take(self, token_id: int, noted: TokenStep | None = None) -> None:
        """One more token, not an end token; noted: with what was asked to be noted of it."""
        self.token_ids.append(token_id)
        if noted is not None:
            self._steps.append(noted)
        if self._written is not None:
            self._written = self._written.plus(token_id)

    def finished(self) -> Generation:
        """What it came to."""
        is_whole = len(self.token_ids) == self._asked.config.max_new_tokens
        ended: Ending = "stop" if self.has_stopped else "length" if is_whole else "eos"
        return as_generation(self.token_ids, ended, self._steps, self._written, self._asked.tokenizer, self._asked.form)
