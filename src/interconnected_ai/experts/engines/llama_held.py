"""Answers of llama.cpp held to a form, or kept from bad words: asked for token by token, each time with what may not come.

The server keeps what a row has read, so a token costs one step of the model, as in a free answer, and a list of tokens.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from interconnected_ai.errors import EngineError
from interconnected_ai.experts.answers import GrowingAnswer
from interconnected_ai.experts.engines.llama_server import LlamaServer, num_known_of, whole_answer
from interconnected_ai.types import TokenStep

_LONG = 1024  # tokens in a list; a longer one is sent where nothing else will do
_MOST_WAYS = 3
_RAISED_BY = 64.0  # logits; a number in float32 keeps its first five decimals beside it
_NUM_SEEDS = 2**32 - 1  # the last number would mean "any"

Bias = list[list[int | float | bool]]


class HeldRow:
    """One row. request: the server's settings, without prompt and bias. seed: of its draws, one a token. logprobs: as
    `GenerationConfig` has it.

    A list of all forbidden tokens is exact and mostly long, and the server takes its time over it. Where few may come they are
    raised instead, far above the others; where many may, the first draw is free. Should another token be drawn, the draw is
    made again with a list, which leaves every token as likely as the list alone does: p + (1 - Σp) · p / Σp = p / Σp. Where a
    cut (top_k, top_p, min_p) would count the forbidden ones in, nothing is drawn freely.
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
        is_cut = request["top_k"] or request["top_p"] < 1.0 or request["min_p"]
        self._may_draw_freely = request["temperature"] == 0.0 or not is_cut
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

    def asked(self, attempt: int) -> dict[str, Any]:
        """The request for its next token, after so many that were drawn and may not come."""
        ways = _ways(self.allowed, may_draw_freely=self._may_draw_freely, may_raise=self._may_raise)
        bias = ways[min(attempt, len(ways) - 1)]()
        return {**self._request, "prompt": self._prompt, "seed": self._seeds.randrange(_NUM_SEEDS), "logit_bias": bias}

    def told(self, answer: dict[str, Any], server: LlamaServer) -> TokenStep:
        """The token of the server's answer."""
        if self._num_known is None:
            self._num_known = min(num_known_of(answer), self._num_prompt)
        return whole_answer(answer, self.answer.row, self._logprobs or 0, server.pieces)[0]


def next_tokens(server: LlamaServer, rows: Sequence[HeldRow]) -> list[TokenStep]:
    """One token for each row, computed together. Raises `EngineError` where the server takes one that it may not."""
    steps: dict[HeldRow, TokenStep] = {}
    waiting = list(rows)
    for attempt in range(_MOST_WAYS):
        answers = server.complete_each([row.asked(attempt) for row in waiting])
        told = {row: row.told(answer, server) for row, answer in zip(waiting, answers, strict=True)}
        steps |= told
        waiting = [row for row, step in told.items() if not row.allowed[step.token_id]]
        if not waiting:
            return [steps[row] for row in rows]
    token_id = steps[waiting[0]].token_id
    raise EngineError(f"llama.cpp took token {token_id}, which it was forbidden; are its weights whole?")


def _ways(allowed: Tensor, *, may_draw_freely: bool, may_raise: bool) -> list[Callable[[], Bias]]:
    """What the server may be told to add to logits, the cheapest first; false is minus infinity. The last one is exact."""
    num_allowed = int(allowed.sum())
    num_forbidden = len(allowed) - num_allowed
    ways: list[Callable[[], Bias]] = [lambda: [[token, False] for token in (~allowed).nonzero()[:, 0].tolist()]]
    if num_forbidden <= _LONG:
        return ways
    if may_raise and num_allowed < num_forbidden:
        ways.insert(0, lambda: [[token, _RAISED_BY] for token in allowed.nonzero()[:, 0].tolist()])
    if may_draw_freely and num_allowed > _LONG:
        ways.insert(0, list)
    return ways
