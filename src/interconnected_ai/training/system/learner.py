"""What a system of branches learns, step by step, and how well it does: the `Trainer`'s learner.

Every process knows the whole batch and computes its share of it.
"""

import logging
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from interconnected_ai.branches import (
    ClassNames,
    InterconnectedAISystem,
    SystemOutput,
    TextFeatures,
    Trunk,
    class_weights,
    scale_beside_learnt_vectors,
    solve_on_pooled,
    train_on_pooled,
)
from interconnected_ai.config import TrainingConfig
from interconnected_ai.data import BatchPlan, RowChanges, RowRecord, Rows, Splits
from interconnected_ai.errors import ConfigError, DataError
from interconnected_ai.nn import Bags, Routing, choose_backend
from interconnected_ai.training.learner import DataRecord, TrainingState, Validation
from interconnected_ai.training.processes import Processes
from interconnected_ai.training.system.features import FeatureCache
from interconnected_ai.training.system.figures import Drift, learning_figures, routing_figures, validation_figures
from interconnected_ai.training.system.loss import GlobalBatch, LossParts, system_loss
from interconnected_ai.training.system.metrics import branch_metrics
from interconnected_ai.training.system.run_rows import refuse_other_rows

logger = logging.getLogger(__name__)

_EVALUATION_BATCH = 256


class SystemLearner:
    """A system and the rows that it learns from and is measured on, as the `Trainer`'s learner."""

    def __init__(
        self,
        system: InterconnectedAISystem,
        train: Rows,
        validation: Rows,
        config: TrainingConfig,
        processes: Processes,
        plan: BatchPlan,
        cache: FeatureCache | None,
        *,
        begun_with: int,
        new_rows: bool = False,
    ) -> None:
        """system: on the processes' device. plan: of the rows to train on, see `plan_of`. cache: of all texts, where the
        encoder's outputs are kept. begun_with: how many of the rows to train on, the first ones, the training began with.
        new_rows: a resumed training may find more of them.
        """
        self.begun_with, self.new_rows = begun_with, new_rows
        self.system, self.train_rows, self.validation, self.config = system, train, validation, config
        self.processes, self.plan, self.cache = processes, plan, cache
        specs = [card.spec for card in system.cards.values()]
        self.targets = {name: torch.from_numpy(t) for name, t in train.targets(specs).items()}
        self.weights = self._class_weights()
        self.token_ids = [] if cache is not None else system.encoder.tokenize(train.texts)
        self.drift = Drift(self._groups(system))
        self.answered: tuple[SystemOutput, np.ndarray] | None = None  # the last part's, and its rows
        self.balances: list[Tensor] = []  # of the parts of the step

    def data_record(self) -> DataRecord:
        """The rows' hashes and the branches' classes."""
        record = self._record()
        return DataRecord(record.arrays, {**record.facts, "begun_with": self.begun_with})

    def recognise(self, kept: DataRecord) -> bool:
        """Whether the rows are those of the checkpoint, False when new ones were taken; raises `DataError` for others."""
        before = RowRecord.from_parts(kept.arrays, kept.facts, source="the checkpoint")
        changes = RowChanges.between(before, self._record())
        refuse_other_rows(changes, "the training", new_rows=self.new_rows)
        return changes.none

    def _record(self) -> RowRecord:
        nothing = self.train_rows.select([])
        specs = [card.spec for card in self.system.cards.values()]
        return RowRecord.of(Splits(self.train_rows, self.validation, nothing), specs)

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """AdamW over the parts that learn, each at its rate."""
        assert isinstance(model, InterconnectedAISystem)
        first = model.encoder.model.get_input_embeddings() if self._learns_encoder else model.trunk  # type: ignore[operator]
        self.processes.parallelism.see(outputs=(SystemOutput, Routing), first=first)
        return torch.optim.AdamW(self._groups(model), weight_decay=self.config.weight_decay)

    def _groups(self, system: InterconnectedAISystem) -> list[dict[str, Any]]:
        rates = self.config
        groups = system.get_trainable_params(
            lr_moe=rates.lr_moe,
            lr_adapter=rates.lr_adapter,
            lr_head=rates.lr_head,
            lr_wide=rates.lr_wide,
            lr_encoder_lora=rates.lr_encoder_lora,
        )
        return [{**group, "weight_decay": self._decay(group["name"])} for group in groups]

    def _decay(self, part: str) -> float:
        return self.config.wide_decay if part == "wide" else self.config.weight_decay

    def batches(self, epoch: int, start: int) -> list[np.ndarray]:
        """Rows of every branch in each."""
        return self.plan.epoch(epoch)[start:]

    @contextmanager
    def learning(self, model: nn.Module) -> Iterator[None]:
        """With the attention that trains fast, and after a word on which products were chosen by measuring."""
        if self.processes.is_main and self.system.config.ffn == "moe" and self.system.config.num_moe_layers:
            backend = choose_backend(self.processes.device, self.processes.choice.dtype)
            logger.info("experts' products by %s: %s", backend.name, backend.reason)
        assert isinstance(model, InterconnectedAISystem)
        with model.encoder.attention_that_trains_fast():
            model.encoder.computes_in_parts = not self.processes.parallelism.shards
            yield

    def loss(self, state: TrainingState, rows: np.ndarray, batch: np.ndarray) -> LossParts:
        """Task, balance and z loss of this process's rows."""
        whole = GlobalBatch(
            num_labels=sum(int((t[batch] >= 0).sum()) for t in self.targets.values()),
            num_processes=self.processes.count,
            total=self.processes.total,
        )
        output = self._forward(state, rows, batch)
        targets = {name: t[rows].to(self.processes.device) for name, t in self.targets.items()}
        loss = system_loss(
            output,
            targets,
            whole,
            class_weights=self.weights,
            label_smoothing=self.config.label_smoothing,
            balance_loss_weight=self.config.balance_loss_weight / self.config.accumulation_steps,
            z_loss_weight=self.config.z_loss_weight / self.config.accumulation_steps,
        )
        self.answered = output, rows
        self.balances = [*self.balances, loss.balance][-self.config.accumulation_steps :]
        return loss

    def _forward(self, state: TrainingState, rows: np.ndarray, batch: np.ndarray) -> SystemOutput:
        """This process's rows of a batch through the system."""
        texts, without = [self.train_rows.texts[row] for row in rows], self._without_words(state.step, batch)
        words = self._words(texts, silent={number for number, row in enumerate(rows.tolist()) if row in without})
        if self.cache is None:
            return self._answer(state, [self.token_ids[row] for row in rows], words)
        return self._answer_cached(state, texts, words)

    def _without_words(self, step: int, batch: np.ndarray) -> set[int]:
        """Rows of a batch whose words are left out: words alone would soon explain the training rows, and the trunk would have
        nothing left to learn. The same ones however the batch is dealt out.
        """
        luck = np.random.default_rng((self.config.seed, step)).random(len(batch))
        return set(batch[luck < self.config.words_dropout].tolist())

    def _words(self, texts: Sequence[str], *, silent: Container[int] = ()) -> dict[str, Bags]:
        """The texts' terms, on the processes' device: the given system may wait in ordinary memory."""
        words = self.system.words_of(texts, silent=silent)
        return {name: bags.to(self.processes.device) for name, bags in words.items()}

    def _answer(self, state: TrainingState, token_ids: Sequence[list[int]], words: Mapping[str, Bags]) -> SystemOutput:
        """By the model as Accelerate prepared it, encoder and all."""
        input_ids, mask = (each.to(self.processes.device) for each in self.system.encoder.pad(token_ids))
        output: SystemOutput = state.model(input_ids, mask, words=words)
        return output

    def _answer_cached(self, state: TrainingState, texts: Sequence[str], words: Mapping[str, Bags]) -> SystemOutput:
        """By the encoder's stored outputs, in the precision of the weights: DeepSpeed casts them."""
        assert self.cache is not None
        assert isinstance(state.bare, InterconnectedAISystem)
        tokens, mask = self.cache.read(texts)
        dtype, device = state.bare.trunk.norm.weight.dtype, self.processes.device
        output: SystemOutput = state.model(None, mask.to(device), tokens=tokens.to(device, dtype), words=words)
        return output

    def figures(self, batch: np.ndarray, seconds: float) -> dict[str, float]:
        """Balance, speed, the branches' rows, routing and how the last part was answered."""
        assert self.answered is not None, "figures are asked for after a step"
        output, rows = self.answered
        answers = {name: t[rows] for name, t in self.targets.items()}
        return {
            "loss/balance": self.processes.total(torch.stack(self.balances).mean()).item(),
            "rows_per_second": len(batch) / seconds,
            **{f"batch_rows/{name}": float((t[batch] >= 0).sum()) for name, t in self.targets.items()},
            **routing_figures(output.routings),
            **learning_figures(output.logits, answers),
        }

    def validate(self, state: TrainingState) -> Validation:
        """What `config.watch` names, as a mean over the branches, after an epoch."""
        assert isinstance(state.bare, InterconnectedAISystem)
        drift = self.drift.figures(self._groups(state.bare))
        epoch = {"epoch": float(state.step // self.plan.steps_per_epoch)}
        if not len(self.validation):
            return Validation(None, {**drift, **epoch})
        return self._validated(state, {**drift, **epoch})

    def _validated(self, state: TrainingState, more: Mapping[str, float]) -> Validation:
        """What validation rows say of the weights as they are. Where the regression of the beginning would be solved again on
        these rows too, it is left only for what is ahead of it for sure.
        """
        answers = self._validation_answers(state)
        metrics = {name: branch_metrics(table, targets) for name, (table, targets) in answers.items()}
        figures = validation_figures(metrics, self.config.watch)
        right = None
        if self._solves_again and self.config.watch == "accuracy":
            right = {name: table.argmax(dim=-1) == targets for name, (table, targets) in answers.items()}
        return Validation(figures["watched"], {**figures, **more}, right)

    def _validation_answers(self, state: TrainingState) -> dict[str, tuple[Tensor, Tensor]]:
        """Of each branch with validation rows: (num_rows, num_classes) probabilities and (num_rows,) classes."""
        targets = self.validation.targets([card.spec for card in self.system.cards.values()])
        logits: dict[str, list[Tensor]] = {name: [] for name in self.system.cards}
        state.model.eval()
        # not inference_mode: what processes gather of spread weights is used again in training
        with torch.no_grad(), self.processes.accelerator.autocast():
            for texts in _in_batches(self.validation.texts):
                for name, part in self._evaluate_batch(state, texts).logits.items():
                    logits[name].append(part.float().cpu())
        out = {}
        for name, parts in logits.items():
            labelled = targets[name] >= 0
            if labelled.any():
                table = torch.cat(parts)[labelled].softmax(dim=-1)
                out[name] = table, torch.from_numpy(targets[name][labelled])
        return out

    def _evaluate_batch(self, state: TrainingState, texts: Sequence[str]) -> SystemOutput:
        words = self._words(texts)
        if self.cache is not None:
            return self._answer_cached(state, texts, words)
        return self._answer(state, self.system.encoder.tokenize(texts), words)

    # Before the first step

    def begin(self, model: nn.Module) -> Validation:
        """Give the trunk the statistics of what the encoder makes of the training rows. Then let heads and wide parts learn
        first, on what the untrained trunk gives: the encoder's own knowledge, and words.

        Returns what validation rows say of that: epoch 0, which the joint training has to better.
        """
        trunk, config, texts = self.system.trunk, self.config, self.train_rows.texts
        trunk.standardization.take(self._through(trunk.pooling, texts))
        if config.ridge is None and not config.head_start_epochs:
            return Validation(None, {})
        features = TextFeatures(self.encode(texts), texts)
        for name in self.system.branch_names:
            labelled = self.targets[name] >= 0
            targets = self.targets[name][labelled].to(features.pooled.device)
            train_on_pooled(
                self.system.branch(name),
                features[labelled],
                targets,
                None,
                self._with_length_of_words(len(targets)),
                epochs=config.head_start_epochs,
                names=self._class_names(name),
            )
        if not len(self.validation):
            return Validation(None, {})
        state = TrainingState(0, 0, model, model, lambda: model)
        return self._validated(state, {"epoch": 0.0})

    def _with_length_of_words(self, num_rows: int) -> TrainingConfig:
        """The config, with a length of words where cross-validation cannot choose it: the encoder has learnt these rows."""
        config = self.config
        if config.wide_scale is not None or not (config.encoder_steps and self.system.encoder.has_lora):
            return config
        return config.with_changes(wide_scale=scale_beside_learnt_vectors(num_rows))

    # After the last step

    def solve_again(self) -> bool:
        """Where the system stands at its beginning, give every branch with validation rows the regression on these and on its
        training rows together, if `config.refit` says so. A head start has left the regression behind: nothing is solved.
        Returns whether something was.
        """
        if not self._solves_again:
            return False
        specs = [card.spec for card in self.system.cards.values()]
        answers = {name: torch.from_numpy(t) for name, t in self.validation.targets(specs).items()}
        texts = [*self.train_rows.texts, *self.validation.texts]
        features = TextFeatures(self.encode(texts), texts)
        for name in self.system.branch_names:
            if not (answers[name] >= 0).any():
                continue
            targets = torch.cat([self.targets[name], answers[name]])
            labelled = targets >= 0
            known = targets[labelled].to(features.pooled.device)
            solve_on_pooled(
                self.system.branch(name), features[labelled], known, self.config, names=self._class_names(name)
            )
        return True

    @property
    def _solves_again(self) -> bool:
        config = self.config
        return config.refit and config.ridge is not None and not config.head_start_epochs and len(self.validation) > 0

    def _class_names(self, name: str) -> ClassNames | None:
        return ClassNames.of(self.system.cards[name].spec.labels, self.encode) if self.config.class_names else None

    def encode(self, texts: Sequence[str]) -> Tensor:
        """(num_texts, d_model): pooled vectors of the system as it is, by the encoder's stored outputs where there are some."""
        return self._through(_pooled_by(self.system.trunk), texts)

    def _through(self, pool: Callable[[Tensor, Tensor], Tensor], texts: Sequence[str]) -> Tensor:
        """(num_texts, d_model): what `pool` makes of the encoder's packed outputs and their mask, batch by batch."""
        self.system.eval()
        encoder, device, parts = self.system.encoder, self.processes.device, []
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))  # so that little padding is computed
        with torch.inference_mode():
            for batch in _in_batches([texts[row] for row in order]):
                if self.cache is not None:
                    tokens, mask = self.cache.read(batch)
                else:
                    tokens, mask = self.system.encode_tokens(*encoder.pad(encoder.tokenize(batch)))
                parts.append(pool(tokens.to(device), mask.to(device)))
        return torch.cat(parts)[torch.tensor(order).argsort().to(device)].clone()

    # Preparations

    def _class_weights(self) -> dict[str, Tensor] | None:
        if self.config.class_weights == "none":
            return None
        cards = self.system.cards
        return {n: class_weights(t[t >= 0], cards[n].spec.num_classes) for n, t in self.targets.items()}

    @property
    def _learns_encoder(self) -> bool:
        return self.system.encoder.learns


def plan_of(system: InterconnectedAISystem, train: Rows, config: TrainingConfig, processes: Processes) -> BatchPlan:
    """The batches of a training. Raises `DataError` for rows that do not teach every branch, `ConfigError` for batches that
    cannot be dealt out.
    """
    if not len(train):
        raise DataError("training needs rows, got none")
    plan = BatchPlan.for_rows(train, config.batch_size, config.seed)
    for name in train.branch_names:
        system.branch_name(name)
    if untaught := [name for name in system.cards if name not in train.labels or not train.of(name)[0]]:
        raise DataError(f"branch {untaught[0]!r} has no training rows; give it some, or remove the branch")
    parts = processes.count * config.accumulation_steps
    smallest = min(len(batch) for batch in plan.epoch(0))
    if smallest < parts:
        raise ConfigError(
            f"batches of {smallest} rows cannot be dealt out over {parts} parts "
            f"({processes.count} processes × {config.accumulation_steps} accumulation steps)"
        )
    return plan


def _pooled_by(trunk: Trunk) -> Callable[[Tensor, Tensor], Tensor]:
    """The trunk's pooled vectors alone."""
    return lambda tokens, mask: trunk(tokens, mask)[0]


def _in_batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """Texts in the numbers that are evaluated at once."""
    for start in range(0, len(texts), _EVALUATION_BATCH):
        yield list(texts[start : start + _EVALUATION_BATCH])
