"""Engines with a sampler of their own: a setting that one cannot serve is refused by name, with the engines that serve it."""

import torch

from interconnected_ai.experts.answers import Ending, as_generation
from interconnected_ai.experts.asked import Asked, EndIds
from interconnected_ai.experts.engine import Engine
from interconnected_ai.experts.engines.lacking import LACKING, refusal
from interconnected_ai.experts.text_rules import Written
from interconnected_ai.text import TextTokenizer
from interconnected_ai.types import Generation, TokenStep


class SamplerEngine(Engine):
    """Hands whole prompts to a library, and has tokens back. Settings of its row in `LACKING` are refused.

    threads: of one step; None is torch's number.
    """

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
        for setting, nothing in LACKING[self.name].items():
            value = getattr(asked.config, setting)
            if value not in (nothing, None) and not (setting == "window" and _fits(asked, self.max_seq_len)):
                raise refusal(self.name, f"{setting}={value!r}", setting)


def _fits(asked: Asked, max_seq_len: int) -> bool:
    return max(map(len, asked.prompts)) + asked.config.max_new_tokens <= max_seq_len


class Heard:
    """One row's answer, as the library tells it."""

    def __init__(self, row: int, asked: Asked) -> None:
        self.row, self._asked = row, asked
        self.token_ids: list[int] = []
        self.num_known_tokens = 0  # of the prompt, where the library tells
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
        return as_generation(
            self.token_ids, ended, self._steps, self._written, self._asked.tokenizer, self._asked.form,
            num_known_tokens=self.num_known_tokens,
        )  # fmt: skip
