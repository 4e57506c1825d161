"""What learning from preferences minimises (DPO; Rafailov et al. 2023, arXiv:2305.18290)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interconnected_ai.nn import linear_cross_entropy
from interconnected_ai.training.adapter.network import AdaptedNetwork
from interconnected_ai.training.preference.pairs import CHOSEN, REJECTED


class PreferenceObjective(nn.Module):
    """Pairs → Σ ln p(token | those before it) over each answer, as one module, so that several processes see all of it."""

    def __init__(self, model: AdaptedNetwork) -> None:
        super().__init__()
        self.model = model
        self._no_split_modules = model._no_split_modules  # what FSDP gathers at a time

    def forward(self, inputs: Tensor, targets: Tensor, documents: Tensor) -> Tensor:
        """Each (pairs, seq), as `PairBatch` has them → (pairs, 2) log-probabilities: of the better and of the worse answer."""
        hidden = self.model.hidden(inputs, documents)
        likelihoods = [
            -linear_cross_entropy(hidden[row, counted], self.model.head.weight, targets[row, counted])
            for row in range(len(inputs))
            for counted in ((targets[row] >= 0) & (documents[row] == document) for document in (CHOSEN, REJECTED))
        ]
        return torch.stack(likelihoods).view(-1, 2)


def dpo_loss(policy: Tensor, reference: Tensor, beta: float) -> Tensor:
    """−ln σ(β · ((ln π(c) − ln π₀(c)) − (ln π(r) − ln π₀(r)))) of each pair.

    policy, reference: (pairs, 2) log-probabilities of the better answer c and the worse answer r under what learns, π, and
    under what it began as, π₀. → (pairs,). β: how dear it is to leave the reference.
    """
    rewards = rewards_of(policy, reference, beta)
    return -F.logsigmoid(rewards[:, 0] - rewards[:, 1])


def rewards_of(policy: Tensor, reference: Tensor, beta: float) -> Tensor:
    """(pairs, 2): β · (ln π − ln π₀), the reward that the policy would be the best for."""
    return beta * (policy - reference)
