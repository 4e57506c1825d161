"""How well a model foretells text: perplexity, and bits per byte, which compares experts with different tokenizers."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from interconnected_ai.errors import ConfigError, DataError
from interconnected_ai.experts.language_model import LanguageModel
from interconnected_ai.nn import in_evaluation, linear_cross_entropy
from interconnected_ai.text import TextTokenizer

_BATCH_TOKENS = 8_192
_HEAD_ROWS = 256  # whose logits stand at once where a head is more than a matrix


@dataclass(frozen=True)
class Perplexity:
    """What foretelling documents costs. nats: −Σ ln p over their tokens."""

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
            "nats": self.nats,
            "num_tokens": self.num_tokens,
            "num_bytes": self.num_bytes,
            "num_documents": self.num_documents,
        }


@dataclass(frozen=True)
class HeldOut:
    """Documents to measure on, as token ids. start_id: what each is read after; num_bytes: of all of them in UTF-8."""

    documents: Sequence[np.ndarray]
    num_bytes: int
    start_id: int

    @classmethod
    def of(cls, texts: Iterable[str], tokenizer: TextTokenizer) -> "HeldOut":
        """These texts, each a document. Raises `DataError` when there is nothing to read."""
        kept = [text for text in texts if text]
        if not kept:
            raise DataError("there is no text to measure on; give documents with at least one character")
        documents = [np.array(ids, dtype=np.uint32) for ids in tokenizer.encode_batch(kept)]
        return cls(documents, sum(len(text.encode()) for text in kept), tokenizer.start_id)

    @property
    def num_tokens(self) -> int:
        """Tokens that are foretold: the documents' own."""
        return sum(map(len, self.documents))


def measure(
    model: LanguageModel, held: HeldOut, *, seq_len: int | None = None, stride: int | None = None
) -> Perplexity:
    """Perplexity and bits per byte of documents, each by itself: −Σ ln p(token | start token, the document before it).

    The start token, the tokenizer's end token as in training, is not foretold, and neither is the end. seq_len: tokens of a
    window; None is the model's max_seq_len. stride: a longer document is read in windows that begin this many tokens apart,
    each scoring what the one before has not; None is half a window, so that a token is foretold from at least half of one.
    Raises `ConfigError` for a window or a stride that cannot be.

    Computed in evaluation mode, whatever the mode of the model, which stays as it is.

    Threads: any number of them may measure one model at once.
    """
    window = _between("seq_len", seq_len, model.config.max_seq_len, default=model.config.max_seq_len)
    stride = _between("stride", stride, window, default=max(1, window // 2))
    nats, network = 0.0, _in_evaluation(model)
    with torch.inference_mode():
        for _, inputs, targets in _batches(held, window, stride):
            hidden = network.hidden(inputs.to(model.device))  # (rows, seq, d_model); padding stands right, unseen
            counted = (targets >= 0).to(model.device)
            wanted = targets.to(model.device)[counted]
            nats += float(_nats(network.head, hidden[counted], wanted))
    return Perplexity(nats, held.num_tokens, held.num_bytes, len(held.documents))


def token_nats(
    model: LanguageModel, held: HeldOut, *, seq_len: int | None = None, stride: int | None = None
) -> list[Tensor]:
    """−ln p of every token of every document, float64, as `measure` adds them up; its arguments, errors and threads."""
    window = _between("seq_len", seq_len, model.config.max_seq_len, default=model.config.max_seq_len)
    stride = _between("stride", stride, window, default=max(1, window // 2))
    found = [torch.zeros(len(document), dtype=torch.float64) for document in held.documents]
    network = _in_evaluation(model)
    with torch.inference_mode():
        for windows, inputs, targets in _batches(held, window, stride):
            counted = targets >= 0
            hidden = network.hidden(inputs.to(model.device))[counted.to(model.device)]
            parts = zip(hidden.split(_HEAD_ROWS), targets[counted].to(model.device).split(_HEAD_ROWS), strict=True)
            nats = torch.cat([cross_entropy(network.head(rows).float(), to, reduction="none") for rows, to in parts])
            sizes = [one.last - one.fresh for one in windows]
            for one, some in zip(windows, nats.double().cpu().split(sizes), strict=True):
                found[one.document][one.fresh - 1 : one.last - 1] = some
    return found


def _in_evaluation(model: Any) -> LanguageModel:
    found: Any = in_evaluation(model) if isinstance(model, nn.Module) else model
    return cast(LanguageModel, found)


def _nats(head: nn.Module, hidden: Tensor, targets: Tensor) -> Tensor:
    """Σ −log p(target) over (rows, d_model)."""
    if type(head) is nn.Linear and getattr(head, "bias", None) is None:
        return linear_cross_entropy(hidden, head.weight, targets)
    parts = zip(hidden.split(_HEAD_ROWS), targets.split(_HEAD_ROWS), strict=True)
    return torch.stack([cross_entropy(head(rows).float(), wanted, reduction="sum") for rows, wanted in parts]).sum()


def _between(name: str, given: int | None, most: int, *, default: int) -> int:
    if given is None:
        return default
    if type(given) is not int or not 1 <= given <= most:
        raise ConfigError(f"{name}={given!r}: needed is 1 to {most}, a whole number")
    return given


@dataclass(frozen=True, slots=True)
class _Window:
    """Tokens first … last - 1 of a row are read, those from `fresh` on are foretold; the row begins with the start token."""

    document: int
    first: int
    fresh: int
    last: int

    @property
    def num_inputs(self) -> int:
        return self.last - self.first - 1  # the last token is a target only


def _windows(held: HeldOut, window: int, stride: int) -> Iterator[_Window]:
    for number, document in enumerate(held.documents):
        fresh, end = 1, 1 + len(document)
        while fresh < end:
            first = 0 if fresh == 1 else fresh - 1 - (window - stride)
            last = min(end, first + window + 1)
            yield _Window(number, first, fresh, last)
            fresh = last


def _batches(held: HeldOut, window: int, stride: int) -> Iterator[tuple[list[_Window], Tensor, Tensor]]:
    """(rows, seq) inputs and their targets, −1 where nothing is foretold. Windows of like length share a batch."""
    waiting: list[_Window] = []
    for one in sorted(_windows(held, window, stride), key=lambda one: one.num_inputs):
        if waiting and (len(waiting) + 1) * one.num_inputs > _BATCH_TOKENS:
            yield waiting, *_filled(held, waiting)
            waiting = []
        waiting.append(one)
    if waiting:
        yield waiting, *_filled(held, waiting)


def _filled(held: HeldOut, windows: Sequence[_Window]) -> tuple[Tensor, Tensor]:
    longest = windows[-1].num_inputs
    inputs = np.full((len(windows), longest), held.start_id, dtype=np.int64)
    targets = np.full((len(windows), longest), -1, dtype=np.int64)
    for row, one in enumerate(windows):
        document = held.documents[one.document]  # token i of a row is token i - 1 of its document
        inputs[row, max(0, 1 - one.first) : one.num_inputs] = document[max(0, one.first - 1) : one.last - 2]
        targets[row, one.fresh - one.first - 1 : one.num_inputs] = document[one.fresh - 1 : one.last - 1]
    return torch.from_numpy(inputs), torch.from_numpy(targets)
