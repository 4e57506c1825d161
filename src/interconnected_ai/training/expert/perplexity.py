"""How well an expert knows a text: perplexity, and bits per byte, which compares experts with different tokenizers."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from interconnected_ai.errors import DataError
from interconnected_ai.experts import ExpertModel
from interconnected_ai.nn import linear_cross_entropy
from interconnected_ai.text import Tokenizer
from interconnected_ai.training.corpus import TokenSide

_BATCH_TOKENS = 8_192


@dataclass(frozen=True)
class HeldOut:
    """Text to measure on. tokens: an end token, then documents with one after each; num_bytes: of the documents in UTF-8."""

    tokens: np.ndarray
    num_bytes: int
    num_documents: int

    @classmethod
    def of(cls, texts: Iterable[str], tokenizer: Tokenizer) -> "HeldOut":
        """These texts. Raises `DataError` when there is nothing to read."""
        kept = [text for text in texts if text]
        if not kept:
            raise DataError("there is no text to measure on; give documents with at least one character")
        ids = [tokenizer.end_id, *(one for text in tokenizer.encode_batch(kept, end=True) for one in text)]
        return cls(np.array(ids, dtype=np.uint32), sum(len(text.encode()) for text in kept), len(kept))

    @classmethod
    def side(cls, side: TokenSide, *, most_tokens: int | None = None, seed: int = 0) -> "HeldOut | None":
        """A side of a corpus; None when it is empty.

        most_tokens: random documents that make up about as many; their bytes are then counted by their share of the tokens.
        """
        if not side.num_documents:
            return None
        whole = cls(side.tokens, side.num_bytes, side.num_documents)
        if most_tokens is None or whole.num_tokens <= most_tokens:
            return whole
        ends = np.append(side.offsets[1:], len(side.tokens))  # of each document, with the token before the next one
        order = np.random.default_rng(seed).permutation(side.num_documents)
        sizes = (ends - side.offsets)[order]
        picked = order[: max(1, int(np.searchsorted(np.cumsum(sizes), most_tokens, side="right")))]
        parts = [side.tokens[side.offsets[number] : ends[number]] for number in picked]
        tokens = np.concatenate([side.tokens[:1], *parts])
        return cls(tokens, max(1, round(side.num_bytes * (len(tokens) - 1) / whole.num_tokens)), len(picked))

    @property
    def num_tokens(self) -> int:
        """Tokens that are predicted: all but the first."""
        return len(self.tokens) - 1


@dataclass(frozen=True)
class Perplexity:
    """What predicting a text costs. nats: −Σ ln p over its tokens, the documents' ends included."""

    nats: float
    num_tokens: int
    num_bytes: int
    num_documents: int

    @property
    def loss(self) -> float:
        """Mean nats per token."""
        return self.nats / self.num_tokens

    @property
    def perplexity(self) -> float:
        """exp(loss): among how many tokens the expert hesitates, on average. Depends on the tokenizer."""
        return math.exp(min(self.loss, 700.0))

    @property
    def bits_per_byte(self) -> float:
        """nats / ln 2 / bytes: the size that the text would have if the expert compressed it. Any tokenizer compares."""
        return self.nats / math.log(2) / self.num_bytes

    def to_dict(self) -> dict[str, float]:
        """Plain values, ready for JSON."""
        return {
            "bits_per_byte": self.bits_per_byte,
            "perplexity": self.perplexity,
            "loss": self.loss,
            "num_tokens": self.num_tokens,
            "num_bytes": self.num_bytes,
            "num_documents": self.num_documents,
        }


def measure(model: ExpertModel, text: HeldOut, *, seq_len: int | None = None) -> Perplexity:
    """Perplexity of a text, every token predicted once, from what stands before it in its window.

    seq_len: tokens of a window; None is the model's max_seq_len. Windows follow one another without overlap.
    """
    was_training = model.training
    model.eval()
    nats = 0.0
    try:
        with torch.inference_mode():
            for inputs, targets in _windows(text.tokens, seq_len or model.config.max_seq_len):
                hidden = model.hidden(inputs.to(model.device)).flatten(0, 1)
                nats += float(linear_cross_entropy(hidden, model.head.weight, targets.flatten().to(model.device)))
    finally:
        model.train(was_training)
    return Perplexity(nats, text.num_tokens, text.num_bytes, text.num_documents)


def _windows(tokens: np.ndarray, seq_len: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(batch, seq) inputs and their targets: batches of whole windows, then the shorter last one."""
    stream = torch.from_numpy(tokens.astype(np.int64))
    inputs, targets = stream[:-1], stream[1:]
    whole = len(inputs) // seq_len * seq_len
    step = max(1, _BATCH_TOKENS // seq_len) * seq_len
    for start in range(0, whole, step):
        end = min(start + step, whole)
        yield inputs[start:end].view(-1, seq_len), targets[start:end].view(-1, seq_len)
    if whole < len(inputs):
        yield inputs[None, whole:], targets[None, whole:]
