"""Answers of llama.cpp held to a form, or kept from bad words: asked for token by token, each time with what may not come.

The server keeps what a row has read, so a token costs one step of the model, as in a free answer, and a list of tokens.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from interconnected_ai.errors import EngineError
from interconnected_ai.experts.answers import GrowingAnswer
from interconnected_ai.experts.engines.llama_server import LlamaServer, num_known_of, whole_answer
from interconnected_ai.types import TokenStep

_LONG = 1024  # tokens to forbid; beyond, the allowed ones are raised where they are fewer
_RAISED_BY = 64.0  # logits; a number in float32 keeps its first five decimals beside it
_NUM_SEEDS = 2**32 - 1  # the last number would mean "any"

Bias = list[list[int | float | bool]]


class HeldRow:
    """One row. request: the server's settings, without prompt and bias. seed: of its draws, one a token. logprobs: as
    `GenerationConfig` has it.

    A list of all forbidden tokens is exact and mostly long, and the server takes its time over it. Where few may come they are
    raised instead, far above the others; should another be drawn all the same, the draw is made again with the list, which
    leaves every token as likely as the list alone does.
    """

    def __init__(
        self,
        answer: GrowingAnswer,
        prompt: Sequence[int],
        request: Mapping[str, Any],
        *,
        seed: int,
        logprobs: int | None,
        vocab_size: int,
    ) -> None:
        self.answer = answer
        self._prompt, self._num_prompt, self._request = list(prompt), len(prompt), request
        self._logprobs, self._vocab_size = logprobs, vocab_size
        self._seeds = random.Random(seed)
        # A penalty divides what is positive, and would take more of what is raised.
        self._may_raise = request["repeat_penalty"] == 1.0
        self.allowed: Tensor = answer.allowed(vocab_size)
        self._num_known: int | None = None

    @property
    def num_known(self) -> int:
        """Tokens of the prompt that the server had read before."""
        return self._num_known or 0

    def forced(self) -> Iterator[TokenStep]:
        """Take tokens as long as one alone may come, and nothing is to be noted of it."""
        while self.answer.ended is None and self._logprobs is None and int(self.allowed.sum()) == 1:
            step = TokenStep(self.answer.row, int(self.allowed.nonzero()[0]))
            if self.take(step):
                yield step

    def take(self, step: TokenStep) -> bool:
        """One more token, as `GrowingAnswer.take`."""
        is_said = self.answer.take(step)
        self._prompt.append(step.token_id)
        if self.answer.ended is None:
            self.allowed = self.answer.allowed(self._vocab_size)
        return is_said

    def asked(self, *, exactly: bool) -> dict[str, Any]:
        """The request for its next token."""
        bias = _bias(self.allowed, may_raise=self._may_raise and not exactly)
        seed = self._seeds.randrange(_NUM_SEEDS)
        return {**self._request, "prompt": self._prompt, "seed": seed, "logit_bias": bias}

    def told(self, answer: dict[str, Any], server: LlamaServer) -> TokenStep:
        """The token of the server's answer."""
        if self._num_known is None:
            self._num_known = min(num_known_of(answer), self._num_prompt)
        return whole_answer(answer, self.answer.row, self._logprobs or 0, server.pieces)[0]


def next_tokens(server: LlamaServer, rows: Sequence[HeldRow]) -> list[TokenStep]:
    """One token for each row, computed together. Raises `EngineError` where the server takes one that it may not."""
    steps = _told(server, rows, exactly=False)
    again = [place for place, (row, step) in enumerate(zip(rows, steps, strict=True)) if not row.allowed[step.token_id]]
    if again:
        for place, step in zip(again, _told(server, [rows[place] for place in again], exactly=True), strict=True):
            if not rows[place].allowed[step.token_id]:
                raise EngineError(
                    f"llama.cpp took token {step.token_id}, which it was forbidden; are its weights whole?"
                )
            steps[place] = step
    return steps


def _told(server: LlamaServer, rows: Sequence[HeldRow], *, exactly: bool) -> list[TokenStep]:
    answers = server.complete_each([row.asked(exactly=exactly) for row in rows])
    return [row.told(answer, server) for row, answer in zip(rows, answers, strict=True)]


def _bias(allowed: Tensor, *, may_raise: bool) -> Bias:
    """What the server adds to logits; false is minus infinity."""
    num_allowed = int(allowed.sum())
    num_forbidden = len(allowed) - num_allowed
    if may_raise and num_forbidden > _LONG and num_allowed < num_forbidden:
        return [[token, _RAISED_BY] for token in allowed.nonzero()[:, 0].tolist()]
    return [[token, False] for token in (~allowed).nonzero()[:, 0].tolist()]
