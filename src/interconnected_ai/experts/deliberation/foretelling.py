"""How well experts, and mixtures of them, foretell documents: each expert reads every document once, all else is arithmetic."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interconnected_ai.errors import DataError
from interconnected_ai.experts.deliberation.mixture import FORGETTING, RunningWeights
from interconnected_ai.experts.language_model import LanguageModel
from interconnected_ai.experts.scoring import HeldOut, token_nats
from interconnected_ai.text import TextTokenizer


@dataclass(frozen=True)
class Foretold:
    """What each token of some documents cost each expert.

    names: of the experts. nats: −ln p, (num_tokens, k) float64 for each document. num_bytes: of each document, in UTF-8.
    """

    names: tuple[str, ...]
    nats: tuple[Tensor, ...]
    num_bytes: tuple[int, ...]

    def costs(self) -> Tensor:
        """(num_documents, k): what each document costs each expert."""
        return torch.stack([document.sum(0) for document in self.nats])

    def mixture_costs(
        self, priors: Tensor | None = None, *, width: int | None = None, forgetting: float = FORGETTING
    ) -> Tensor:
        """(num_documents,): what each document costs the mixture of the experts whose priors are the largest.

        priors: (num_documents, k), None are equal ones. width: how many experts deliberate, None all; with 1 the expert of the
        largest prior answers alone. The mean is arithmetic: of another one the experts' whole distributions would be needed.
        """
        k = len(self.names)
        told = torch.ones(len(self.nats), k, dtype=torch.float64) if priors is None else priors.double()
        if told.shape != (len(self.nats), k):
            raise DataError(f"priors of shape {tuple(told.shape)} for {len(self.nats)} documents and {k} experts")
        chosen = told.topk(min(width or k, k), dim=-1).indices
        return torch.stack(
            [
                _mixture_cost(nats[:, members], prior[members], forgetting)
                for nats, members, prior in zip(self.nats, chosen, told, strict=True)
            ]
        )

    def bits_per_byte(self, costs: Tensor) -> float:
        """Of all documents: (num_documents,) nats → bits a byte."""
        return float(costs.sum()) / float(torch.tensor(2.0).log()) / sum(self.num_bytes)


def foretold(
    models: Mapping[str, LanguageModel], texts: Sequence[str], tokenizer: TextTokenizer, *, seq_len: int | None = None
) -> Foretold:
    """What these texts cost each of the models, all of which read with `tokenizer`. seq_len: tokens of a window, as `measure`.

    Raises `DataError` where there is no text. Threads: any number, in evaluation mode.
    """
    kept = [text for text in texts if text]
    held = HeldOut.of(kept, tokenizer)
    columns = [token_nats(model, held, seq_len=seq_len) for model in models.values()]
    documents = tuple(torch.stack(list(row), dim=1) for row in zip(*columns, strict=True))
    return Foretold(tuple(models), documents, tuple(len(text.encode()) for text in kept))


def _mixture_cost(nats: Tensor, prior: Tensor, forgetting: float) -> Tensor:
    """(num_tokens, k) and (k,) → the mixture's nats."""
    weights, total = RunningWeights(prior[None], forgetting), torch.zeros((), dtype=torch.float64)
    for token in -nats[:, None]:
        total = total - (weights.log_weights + token).logsumexp(-1)[0]
        weights.observe(token)
    return total
