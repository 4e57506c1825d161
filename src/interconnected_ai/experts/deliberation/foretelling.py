"""How well experts, and mixtures of them, foretell documents: each expert reads every document once, all else is arithmetic."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from interconnected_ai.errors import DataError
from interconnected_ai.experts.deliberation.mixture import FORGETTING, RunningWeights
from interconnected_ai.experts.language_model import LanguageModel
from interconnected_ai.experts.scoring import HeldOut, token_nats
from interconnected_ai.text import TextTokenizer


@dataclass(frozen=True)
class Foretold:
    """What each token of some documents cost each expert.

    names: of the experts. nats: −ln p, (num_tokens, k) float64 for each document. num_bytes: of each document, in UTF-8,
    beyond its first `num_given` tokens, which are a question: they show who foretells well and cost nothing.
    """

    names: tuple[str, ...]
    nats: tuple[Tensor, ...]
    num_bytes: tuple[int, ...]
    num_given: int = 0

    def costs(self, *, num_given: int | None = None) -> Tensor:
        """(num_documents, k): what each document costs each expert. num_given: None is this record's."""
        first = self.num_given if num_given is None else num_given
        return torch.stack([document[first:].sum(0) for document in self.nats])

    def given_costs(self) -> Tensor:
        """(num_documents, k): what the question that each document begins with costs each expert."""
        return torch.stack([document[: self.num_given].sum(0) for document in self.nats])

    def mixture_costs(
        self,
        priors: Tensor | None = None,
        *,
        width: int | None = None,
        forgetting: float = FORGETTING,
        always: str | None = None,
        num_given: int | None = None,
    ) -> Tensor:
        """(num_documents,): what each document costs the mixture of the experts whose priors are the largest.

        num_given: None is this record's; all else is as `mixture_nats` has it.
        """
        first = self.num_given if num_given is None else num_given
        nats = self.mixture_nats(priors, width=width, forgetting=forgetting, always=always)
        return torch.stack([document[first:].sum() for document in nats])

    def mixture_nats(
        self,
        priors: Tensor | None = None,
        *,
        width: int | None = None,
        forgetting: float = FORGETTING,
        always: str | None = None,
    ) -> tuple[Tensor, ...]:
        """−ln p of every token by the mixture of the experts whose priors are the largest: (num_tokens,) for each document.

        priors: (num_documents, k), None are equal ones. width: how many experts deliberate, None all; with 1 the expert of the
        largest prior answers alone. always: one that is among them whatever its prior. The mean is arithmetic: of another one
        the experts' whole distributions would be needed.
        """
        k, number = len(self.names), len(self.nats)
        told = torch.ones(number, k, dtype=torch.float64) if priors is None else priors.double()
        if told.shape != (number, k):
            raise DataError(f"priors of shape {tuple(told.shape)} for {number} documents and {k} experts")
        order = told.clone()
        if always is not None:
            order[:, self.names.index(always)] = torch.inf
        chosen = order.topk(min(width or k, k), dim=-1).indices
        weights = RunningWeights(told.gather(1, chosen), forgetting)
        # What is past a document's end costs nobody anything, so that all documents go token by token side by side.
        padded = pad_sequence(list(self.nats), batch_first=True)  # (num_documents, num_tokens, k)
        nats = padded.gather(2, chosen[:, None].expand(-1, padded.shape[1], -1))
        told_nats = []
        for log_likelihoods in (-nats).unbind(1):
            told_nats.append(-(weights.log_weights + log_likelihoods).logsumexp(-1))
            weights.observe(log_likelihoods)
        every = torch.stack(told_nats, dim=1)  # (num_documents, num_tokens)
        return tuple(row[: len(document)] for row, document in zip(every, self.nats, strict=True))

    def bits_per_byte(self, costs: Tensor) -> float:
        """Of all documents: (num_documents,) nats → bits a byte."""
        return float(costs.sum()) / math.log(2) / sum(self.num_bytes)


def foretold(
    models: Mapping[str, LanguageModel],
    texts: Sequence[str],
    tokenizer: TextTokenizer,
    *,
    seq_len: int | None = None,
    num_given: int = 0,
    most_tokens: int | None = None,
) -> Foretold:
    """What these texts cost each of the models, all of which read with `tokenizer`.

    seq_len: tokens of a window, as `measure`. num_given: see `Foretold`; texts that are no longer are left out.
    most_tokens: of a text, which is cut there. Raises `DataError` where there is no text. Threads: any number, in evaluation
    mode.
    """
    kept = [text for text in texts if text]
    read = [(text, ids) for text, ids in zip(kept, tokenizer.encode_batch(kept), strict=True) if len(ids) > num_given]
    if not read:
        raise DataError(
            f"there is no text of more than {num_given} tokens to measure on; give some"
            if num_given
            else "there is no text to measure on; give documents with at least one character"
        )
    sizes = tuple(_num_bytes(text, ids, num_given, most_tokens, tokenizer) for text, ids in read)
    documents = [np.array(ids[:most_tokens], dtype=np.uint32) for _, ids in read]
    held = HeldOut(documents, sum(sizes), tokenizer.start_id)
    columns = [token_nats(model, held, seq_len=seq_len) for model in models.values()]
    nats = tuple(torch.stack(list(row), dim=1) for row in zip(*columns, strict=True))
    return Foretold(tuple(models), nats, sizes, num_given)


def _num_bytes(text: str, ids: list[int], first: int, last: int | None, tokenizer: TextTokenizer) -> int:
    """Bytes of the text that its tokens from `first` to `last` stand for."""
    outside = [*ids[:first], *(ids[last:] if last is not None else [])]
    return len(text.encode()) - (len(tokenizer.decode(outside).encode()) if outside else 0)
