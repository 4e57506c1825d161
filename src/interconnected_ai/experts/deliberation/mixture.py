"""Mixing distributions of the next token. An expert's word weighs its prior times how well it foretold the text so far.

An expert that foretold badly may be the right one further on, so at every token a share of all weight goes back to the prior
(fixed share, Herbster and Warmuth 1998). With arithmetic means and no forgetting the mixture foretells any text at worst ln(k)
nats worse than the best of k experts does with equal priors.
"""

import torch
from torch import Tensor

from interconnected_ai.errors import ConfigError

# Of one that deliberates, however little a router thought of it: validation documents of adapters choose .2 to .3.
LEAST_PRIOR = 0.25
FORGETTING = 0.1  # what validation documents choose, of councils of adapters and of experts from one seed


class RunningWeights:
    """What the experts' words weigh in every row.

    prior: (rows, k), positive, any sum. forgetting: 0 to 1, the share of weight that goes back to the prior at each token.
    Threads: one at a time.
    """

    def __init__(self, prior: Tensor, forgetting: float = FORGETTING) -> None:
        if prior.ndim != 2 or not torch.isfinite(prior).all() or (prior < 0).any() or (prior.sum(-1) <= 0).any():
            raise ConfigError(
                f"the prior of the experts is {prior.tolist()}; needed are rows of numbers from 0 on, not all of them 0"
            )
        if not isinstance(forgetting, int | float) or not 0 <= forgetting <= 1:
            raise ConfigError(
                f"forgetting={forgetting!r}: needed is a number from 0 (never) to 1 (the prior alone counts)"
            )
        self._log_prior = (prior / prior.sum(-1, keepdim=True)).double().log()
        self._forgetting = float(forgetting)
        self.log_weights = self._log_prior.clone()

    def observe(self, log_likelihoods: Tensor) -> None:
        """A token came: (rows, k) ln p of it by each expert."""
        told = self.log_weights + log_likelihoods.double()
        total = told.logsumexp(-1, keepdim=True)
        # a token that nobody thought possible says nothing of the experts
        told = torch.where(total.isfinite(), told - total, self.log_weights)
        if self._forgetting:
            share = torch.tensor(self._forgetting, dtype=torch.float64)
            told = torch.logaddexp(told + torch.log1p(-share), self._log_prior + share.log())
        self.log_weights = told

    def select(self, rows: Tensor) -> None:
        """Keep these rows, in this order."""
        self._log_prior, self.log_weights = self._log_prior[rows], self.log_weights[rows]


def mixed(log_weights: Tensor, log_probs: Tensor, power: float = 1.0) -> Tensor:
    """The power mean of distributions, normalised: ln of (Σ wᵢ pᵢʳ)^(1/r) / Z; r = 1 is the mixture, r = 0 the geometric mean.

    log_weights: (rows, k). log_probs: (rows, k, vocab_size). → (rows, vocab_size). Raises `ConfigError` for a power that is not
    between 0 and 1.
    """
    if not 0 <= power <= 1:
        raise ConfigError(f"power={power!r}: needed is a number from 0 (geometric mean) to 1 (arithmetic mean)")
    weights = log_weights.to(log_probs.dtype).unsqueeze(-1)
    if power == 1:
        return (weights + log_probs).logsumexp(1)
    if power == 0:
        unlike = weights.exp() * log_probs
        return torch.where(weights.exp() > 0, unlike, 0.0).sum(1).log_softmax(-1)
    return ((weights + power * log_probs).logsumexp(1) / power).log_softmax(-1)
