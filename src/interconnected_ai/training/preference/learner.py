"""What an adapter learns from pairs of answers, step by step, and how well it does: the `Trainer`'s learner.

The reference is the base with the adapter off: there is one model in memory.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from interconnected_ai.config import AdapterTrainingConfig
from interconnected_ai.nn import in_evaluation
from interconnected_ai.training.adapter.low_rank_learner import (
    EVALUATED_AT_ONCE,
    BatchLoss,
    LowRankLearner,
    require_one_for_each,
)
from interconnected_ai.training.adapter.network import AdaptedNetwork
from interconnected_ai.training.adapter.preferred import Preferred
from interconnected_ai.training.chats import TokenizedPair
from interconnected_ai.training.learner import DataRecord, TrainingState
from interconnected_ai.training.preference.objective import PreferenceObjective, dpo_loss, rewards_of
from interconnected_ai.training.preference.pairs import PairBatch, PairPlan, facts_of, in_order, places_of
from interconnected_ai.training.processes import Processes


class PreferenceLearner(LowRankLearner):
    """An adapter and the pairs that it learns from, as the `Trainer`'s learner."""

    learns_from, kept_by = "preferences", "files, base and beta"

    def __init__(
        self,
        model: AdaptedNetwork,
        pairs: Sequence[TokenizedPair],
        validation: Sequence[TokenizedPair],
        config: AdapterTrainingConfig,
        beta: float,
        processes: Processes,
    ) -> None:
        """config.batch_size: pairs in one optimiser step. Raises `ConfigError` for a batch too small for all processes."""
        require_one_for_each(config, processes, "pairs")
        self.pairs, self.validation, self.beta = pairs, validation, beta
        self.plan, self._judges = PairPlan(len(pairs), config.batch_size, config.seed), PreferenceObjective(model)
        super().__init__(model, self._judges, self.plan, config, processes)
        self._held_reference: list[Tensor] = []  # of the validation batches, once they were read

    def data_record(self) -> DataRecord:
        """The pairs to learn from and the held-out ones: how many, and their hash; and β."""
        return DataRecord(
            {}, {"train": facts_of(self.pairs), "validation": facts_of(self.validation), "beta": self.beta}
        )

    def loss(self, state: TrainingState, rows: np.ndarray, batch: np.ndarray) -> BatchLoss:
        """DPO's loss, the mean over the whole batch, this part's share."""
        tensors = tensors_of([self.pairs[row] for row in rows], self.processes.device)
        self.num_tokens += sum(places_of(self.pairs[row]) for row in rows) * self.processes.count
        bare = state.bare
        assert isinstance(bare, PreferenceObjective)
        with torch.no_grad(), bare.model.without_adapter():
            reference: Tensor = bare(*tensors)
        policy: Tensor = state.model(*tensors)
        task = dpo_loss(policy, reference, self.beta).sum() / len(batch)
        return BatchLoss(task * self.processes.count, task.detach())

    def figures(self, batch: np.ndarray, seconds: float) -> dict[str, float]:
        """Speed: of tokens of both answers, their prompts included."""
        return {"tokens_per_second": sum(places_of(self.pairs[row]) for row in batch) / seconds}

    def measured(self) -> Preferred | None:
        """How the model as it is tells the held-out pairs; None where there are none."""
        if not self.validation:
            return None
        with self.processes.accelerator.autocast():
            batches = list(in_order(self.validation, EVALUATED_AT_ONCE))
            if not self._held_reference:
                with self.adapted.without_adapter():
                    self._held_reference = likelihoods(self._judges, batches, self.processes.device)
            policy = likelihoods(self._judges, batches, self.processes.device)
        return _judged(torch.cat(policy), torch.cat(self._held_reference), self.beta)

    @property
    def filled(self) -> float:
        """Share of the places in the first epoch's batches that hold a token."""
        return self.plan.filled(self.pairs)

    def held_out(self) -> tuple[float, dict[str, float], str] | None:
        """The loss, which is ln 2 of the reference itself, with how often and by how much better answers are preferred."""
        found = self.measured()
        if found is None:
            return None
        figures = {
            "preference_accuracy": found.accuracy,
            "reward_margin": found.margin,
            "chosen_reward": found.chosen_reward,
        }
        told = f"loss {found.loss:.3f}, {100 * found.accuracy:.0f} % of held-out pairs the right way round"
        return found.loss, figures, told


def preferred(model: AdaptedNetwork, pairs: Sequence[TokenizedPair], beta: float) -> Preferred:
    """How a model with its adapter tells better answers from worse ones, the base being the reference; in evaluation mode."""
    objective, batches = PreferenceObjective(model), list(in_order(pairs, EVALUATED_AT_ONCE))
    with model.without_adapter():
        reference = likelihoods(objective, batches, model.device)
    return _judged(torch.cat(likelihoods(objective, batches, model.device)), torch.cat(reference), beta)


def likelihoods(
    objective: PreferenceObjective, batches: Sequence[Sequence[TokenizedPair]], device: torch.device
) -> list[Tensor]:
    """(pairs, 2) log-probabilities of every batch, computed in evaluation mode."""
    still = in_evaluation(objective)
    with torch.inference_mode():
        return [still(*tensors_of(batch, device)) for batch in batches]


def tensors_of(pairs: Sequence[TokenizedPair], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """A batch on a device, as `PreferenceObjective` takes it."""
    batch = PairBatch.of(pairs)
    first, second, third = (
        torch.from_numpy(array).to(device) for array in (batch.inputs, batch.targets, batch.documents)
    )
    return first, second, third


def _judged(policy: Tensor, reference: Tensor, beta: float) -> Preferred:
    rewards = rewards_of(policy, reference, beta)
    margins = rewards[:, 0] - rewards[:, 1]
    return Preferred(
        loss=float(dpo_loss(policy, reference, beta).mean()),
        accuracy=float((margins > 0).float().mean()),
        margin=float(margins.mean()),
        chosen_reward=float(rewards[:, 0].mean()),
        num_pairs=len(policy),
    )
