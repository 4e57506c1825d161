"""What a generation hands back: the record of a token and that of an answer."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from interconnected_ai.experts.forms import Form
from interconnected_ai.experts.text_rules import Written
from interconnected_ai.text import TextTokenizer
from interconnected_ai.types import Generation, TokenStep

Ending = Literal["length", "eos", "stop"]

NONE_LEFT = (
    "no token is left to choose: bad_words, and the form that the answer is held to, forbid every token; forbid fewer"
)


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
) -> Generation:
    """The record of an answer: what comes from its stop string on is left out. form: what it was held to."""
    num_kept = len(token_ids) if written is None else written.num_kept(token_ids)
    text = None
    if tokenizer is not None:
        text = tokenizer.decode(token_ids) if written is None else written.text()
    satisfied = None if form is None or written is None else form.is_met_by(written.encoded())
    return Generation(tuple(token_ids[:num_kept]), ended, text, tuple(steps[:num_kept]), satisfied)
