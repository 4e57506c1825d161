"""How well a model foretells a text: nats, perplexity, bits per byte."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from interconnected_ai.errors import DataError
from interconnected_ai.experts.model import ExpertModel
from interconnected_ai.text import Tokenizer


@dataclass(frozen=True)
class Score:
    """What texts cost a model: `nats`, minus the sum of the natural logarithms of their tokens' probabilities."""

    nats: float
    num_tokens: int
    num_bytes: int

    @property
    def perplexity(self) -> float:
        """e to the nats of a token; tokenizers cut differently, so compare models of one tokenizer only."""
        return math.exp(self.nats / self.num_tokens)

    @property
    def bits_per_byte(self) -> float:
        """Bits for a byte of UTF-8: comparable across tokenizers and models."""
        return self.nats / math.log(2) / self.num_bytes


@torch.inference_mode()
def score_texts(model: ExpertModel, tokenizer: Tokenizer, texts: Sequence[str], *, stride: int | None = None) -> Score:
    """The score of all texts together; each begins after an end token, as in training, so that its first token counts.

    stride: a text beyond max_seq_len is read in windows that begin this many tokens apart, each scoring what the one
    before has not; None is half of max_seq_len, so that a token is foretold from at least half a window. Raises
    `DataError` where there is no text.
    """
    nats, num_tokens = 0.0, 0
    for text in texts:
        token_ids = tokenizer.encode(text)
        num_tokens += len(token_ids)
        nats += _nats(model, [tokenizer.end_id, *token_ids], stride or max(1, model.config.max_seq_len // 2))
    if not num_tokens:
        raise DataError("no text to score: all texts are empty")
    return Score(nats, num_tokens, sum(len(text.encode()) for text in texts))


def _nats(model: ExpertModel, token_ids: Sequence[int], stride: int) -> float:
    """Minus the log probability of every token but the first."""
    was_training = model.training
    model.eval()
    try:
        return sum(_window_nats(model, token_ids, *window) for window in _windows(len(token_ids), model, stride))
    finally:
        model.train(was_training)


def _windows(num_tokens: int, model: ExpertModel, stride: int) -> Iterator[tuple[int, int, int]]:
    """(first, fresh, last): tokens first … last - 1 are read, the predictions of tokens fresh … last - 1 are scored."""
    window, fresh = model.config.max_seq_len, 1
    while fresh < num_tokens:
        # The last token of a window is a target only, so a window of n inputs scores n tokens and spans n + 1.
        first = 0 if fresh == 1 else fresh - 1 - max(0, window - stride)
        last = min(num_tokens, first + window + 1)
        yield first, fresh, last
        fresh = last


def _window_nats(model: ExpertModel, token_ids: Sequence[int], first: int, fresh: int, last: int) -> float:
    inputs = torch.tensor([token_ids[first : last - 1]], device=model.device)
    targets = torch.tensor(token_ids[fresh:last], device=model.device)
    logits = model(inputs)[0, fresh - first - 1 :]
    return F.cross_entropy(logits.float(), targets, reduction="sum").item()
