"""What a generation hands back: the record of a token and that of an answer, and an answer while it grows."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from interconnected_ai.errors import Blame, EngineError
from interconnected_ai.experts.asked import Asked
from interconnected_ai.experts.constraint import Progress
from interconnected_ai.experts.forms import Form
from interconnected_ai.experts.text_rules import Written
from interconnected_ai.text import TextTokenizer
from interconnected_ai.types import Generation, TokenStep

Ending = Literal["length", "eos", "stop"]

_NONE_LEFT = (
    "no token is left to choose: {what}, and the form that the answer is held to, forbid every token; forbid fewer"
)


def none_left(form: str | None, before: str = "") -> EngineError:
    """That every token is forbidden.

    form: the setting that the answer is held to, if any. before: what else may be the reason.
    """
    blame = Blame(form or "bad_words", _NONE_LEFT.format(what="words that may not come"))
    return EngineError(before + _NONE_LEFT.format(what="bad_words")).blaming(blame)


def token_steps(logits: Tensor, token_ids: Tensor, rows: Sequence[int], logprobs: int | None) -> list[TokenStep]:
    """The records of one token a row, chosen from (rows, vocab) logits as the model gave them.

    logprobs: how many of the likeliest tokens to note; None notes nothing but the tokens.
    """
    chosen = token_ids.tolist()
    if logprobs is None:
        return [TokenStep(row, token) for row, token in zip(rows, chosen, strict=True)]
    shares = logits.log_softmax(dim=-1)
    own = shares.gather(1, token_ids[:, None])[:, 0].tolist()
    best, best_ids = shares.topk(min(logprobs, shares.shape[-1]))
    tops = [tuple(zip(ids, values, strict=True)) for ids, values in zip(best_ids.tolist(), best.tolist(), strict=True)]
    return [TokenStep(row, t, share, top) for row, t, share, top in zip(rows, chosen, own, tops, strict=True)]


def as_generation(
    token_ids: Sequence[int],
    ended: Ending,
    steps: Sequence[TokenStep],
    written: Written | None,
    tokenizer: TextTokenizer | None,
    form: Form | None = None,
    *,
    num_known_tokens: int = 0,
) -> Generation:
    """The record of an answer: what comes from its stop string on is left out. form: what it was held to."""
    num_kept = len(token_ids) if written is None else written.num_kept(token_ids)
    text = None
    if tokenizer is not None:
        text = tokenizer.decode(token_ids) if written is None else written.text()
    satisfied = None if form is None or written is None else form.is_met_by(written.encoded())
    return Generation(tuple(token_ids[:num_kept]), ended, text, tuple(steps[:num_kept]), satisfied, num_known_tokens)


class GrowingAnswer:
    """One row's answer as its tokens come: where it ends, and what may follow."""

    def __init__(self, row: int, asked: Asked) -> None:
        self.row, self._asked, self._config = row, asked, asked.config
        self.ended: Ending | None = None
        self.written: Written | None = None if asked.rules is None else asked.rules.begin(asked.prompts[row])
        self.progress: Progress | None = None if asked.constraint is None else asked.constraint.begin()
        self._steps: list[TokenStep] = []

    def take(self, step: TokenStep) -> bool:
        """Add a token; False for an end token, which is no part of the answer."""
        if step.token_id in self._asked.end_ids:
            self.ended = "eos"
            return False
        self._steps.append(step)
        if self.written is not None:
            self.written = self.written.plus(step.token_id)
        if self.progress is not None:
            self.progress = self.progress.plus(step.token_id)
        if self.written is not None and self.written.stop_at is not None:
            self.ended = "stop"
        elif self.progress is not None and self.progress.is_over:
            self.ended = "eos"
        elif len(self._steps) == self._config.max_new_tokens:
            self.ended = "length"
        return True

    @property
    def token_ids(self) -> list[int]:
        """What has come."""
        return [step.token_id for step in self._steps]

    def banned(self) -> list[int]:
        """Tokens that would complete a bad word."""
        return [] if self.written is None else self.written.banned()

    def allowed(self, vocab_size: int) -> Tensor:
        """(vocab,) bool: the tokens that form and bad words leave. Raises `EngineError` where none is left."""
        allowed = torch.ones(vocab_size, dtype=torch.bool) if self.progress is None else self.progress.allowed()
        allowed[self.banned()] = False
        if not bool(allowed.any()):
            raise none_left(self._config.form)
        return allowed

    def finished(self, *, num_known_tokens: int = 0) -> Generation:
        """What it came to. num_known_tokens: of the prompt."""
        assert self.ended is not None, "an answer is finished when it has ended"
        noted = self._steps if self._config.logprobs is not None else []
        return as_generation(
            self.token_ids, self.ended, noted, self.written, self._asked.tokenizer, self._asked.form,
            num_known_tokens=num_known_tokens,
        )  # fmt: skip
