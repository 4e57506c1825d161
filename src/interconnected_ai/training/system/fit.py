"""Joint training of a system: trunk, adapters and heads together, then frozen, calibrated and sealed.

The loop is `Trainer`'s. Every process knows the whole batch and computes its share of it.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from interconnected_ai.branches import InterconnectedAISystem, SystemOutput, class_weights, train_on_pooled
from interconnected_ai.config import TrainingConfig
from interconnected_ai.data import BatchPlan, Rows
from interconnected_ai.errors import ConfigError, DataError, TrainingError
from interconnected_ai.nn import Routing, choose_backend
from interconnected_ai.training.failures import noting_errors
from interconnected_ai.training.processes import Processes
from interconnected_ai.training.progress import Progress
from interconnected_ai.training.system.calibration import calibrate
from interconnected_ai.training.system.features import FeatureCache
from interconnected_ai.training.system.figures import Drift, learning_figures, routing_figures, validation_figures
from interconnected_ai.training.system.loss import GlobalBatch, LossParts, system_loss
from interconnected_ai.training.system.metrics import BranchMetrics, branch_metrics, evaluate
from interconnected_ai.training.trainer import Schedule, Trainer, Validation

logger = logging.getLogger(__name__)

_EVALUATION_BATCH = 256
_LESS_MEMORY = (
    "Raise training.accumulation_steps, which computes the same batch in smaller parts, or lower training.batch_size or "
    "system.max_seq_len"
)


@dataclass(frozen=True)
class FitResult:
    """How a training went. validation: metrics of the weights that were kept; seconds of this call alone."""

    steps: int
    epochs: int
    best_epoch: int
    stopped_early: bool
    train_seconds: float
    cache_seconds: float
    device: str
    precision: str
    validation: dict[str, BranchMetrics] = field(default_factory=dict)


def fit(
    system: InterconnectedAISystem,
    train: Rows,
    validation: Rows,
    config: TrainingConfig,
    folder: str | Path,
    *,
    resume: bool = False,
) -> FitResult:
    """Train trunk, adapters and heads together; afterwards the trunk is frozen and every branch calibrated and sealed.

    folder: checkpoints, features, metrics.jsonl and TensorBoard logs go here. resume: go on from its last checkpoint.
    Raises `NonFiniteLossError` when the loss is no number (the last good checkpoint stays), `StorageError` when the disk
    is full, `TrainingError` when the trunk is already trained.
    """
    if system.trunk_is_trained:
        raise TrainingError(
            "this system's trunk is trained and frozen; training it again would change every branch. Use fit_branch to "
            "train a branch on it, or build a new system"
        )
    random = torch.random.get_rng_state()
    try:
        training = _Fit(system, train, validation, config, Path(folder))
        with noting_errors(Path(folder), lambda: training.trainer.step, advice=_LESS_MEMORY):
            return training.run(resume=resume)
    finally:
        torch.random.set_rng_state(random)


class _Fit:
    """One training, from the first step or a checkpoint to the sealed system; the `Trainer`'s learner."""

    def __init__(
        self, system: InterconnectedAISystem, train: Rows, validation: Rows, config: TrainingConfig, folder: Path
    ) -> None:
        self.system, self.train_rows, self.validation, self.config, self.folder = (
            system,
            train,
            validation,
            config,
            folder,
        )
        self.processes = Processes.open(config.device, config.precision)
        self.plan = BatchPlan.for_rows(train, config.batch_size, config.seed)
        self._require_rows_for_all()
        specs = [card.spec for card in system.cards.values()]
        self.targets = {name: torch.from_numpy(t) for name, t in train.targets(specs).items()}
        self.weights = self._class_weights()
        self.token_ids = system.encoder.tokenize(train.texts) if self._learns_encoder else []

        system.to(self.processes.device)
        self.cache: FeatureCache | None = None
        steps = self.plan.steps_per_epoch
        self.trainer = Trainer(
            self.processes, system, Schedule(steps * config.epochs, steps, steps), config, folder,
            rates="lr_moe, lr_adapter, lr_head",
        )  # fmt: skip
        self.drift = Drift(self._groups(system))
        self.answered: tuple[SystemOutput, np.ndarray] | None = None  # the last part's, and its rows
        self.balances: list[Tensor] = []  # of the parts of the step

    # The run

    def run(self, *, resume: bool) -> FitResult:
        """Train, then freeze, calibrate and seal."""
        cache_seconds = self._build_cache()
        course = self.trainer.run(self, resume=resume)
        self._finish()
        return FitResult(
            steps=course.steps,
            epochs=course.steps // self.plan.steps_per_epoch,
            best_epoch=course.best_step // self.plan.steps_per_epoch,
            stopped_early=course.stopped_early,
            train_seconds=course.seconds,
            cache_seconds=cache_seconds,
            device=str(self.processes.device),
            precision=self.processes.precision,
            validation=evaluate(self.system, self.validation) if len(self.validation) else {},
        )

    def _finish(self) -> None:
        """Take the best weights, freeze what is shared, calibrate and seal every branch."""
        self.trainer.finish()
        self.system.freeze_trunk()
        self.system.eval()
        calibrate(self.system, self.validation)
        rows = {
            name: self.train_rows.of(name)[0] for name in self.system.branch_names if name in self.train_rows.labels
        }
        self.system.seal_branches(
            {name: {"trained": "joint", "num_rows": len(rows.get(name, []))} for name in self.system.branch_names}
        )

    # What the trainer asks for

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """AdamW over the parts that learn, each at its rate."""
        assert isinstance(model, InterconnectedAISystem)
        first = model.encoder.model.get_input_embeddings() if self._learns_encoder else model.trunk  # type: ignore[operator]
        self.processes.parallelism.see(outputs=(SystemOutput, Routing), first=first)
        return torch.optim.AdamW(self._groups(model), weight_decay=self.config.weight_decay)

    def _groups(self, system: InterconnectedAISystem) -> list[dict[str, Any]]:
        rates = self.config
        return system.get_trainable_params(
            lr_moe=rates.lr_moe,
            lr_adapter=rates.lr_adapter,
            lr_head=rates.lr_head,
            lr_encoder_lora=rates.lr_encoder_lora,
        )

    def batches(self, epoch: int, start: int) -> list[np.ndarray]:
        """Rows of every branch in each."""
        return self.plan.epoch(epoch)[start:]

    @contextmanager
    def learning(self) -> Iterator[None]:
        """With the attention that trains fast, and after a word on which products were chosen by measuring."""
        if self.processes.is_main and self.system.config.ffn == "moe" and self.system.config.num_moe_layers:
            backend = choose_backend(self.processes.device, self.processes.choice.dtype)
            logger.info("experts' products by %s: %s", backend.name, backend.reason)
        trained = self.trainer.unwrapped()
        assert isinstance(trained, InterconnectedAISystem)
        with trained.encoder.attention_that_trains_fast():
            trained.encoder.computes_in_parts = not self.processes.parallelism.shards
            yield

    def loss(self, rows: np.ndarray, batch: np.ndarray) -> LossParts:
        """Task, balance and z loss of this process's rows."""
        whole = GlobalBatch(
            num_labels=sum(int((t[batch] >= 0).sum()) for t in self.targets.values()),
            num_processes=self.processes.count,
            total=self.processes.total,
        )
        output = self._forward(rows)
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

    def _forward(self, rows: np.ndarray) -> SystemOutput:
        """This process's rows through the system."""
        if self.cache is not None:
            tokens, mask = self.cache.read([self.train_rows.texts[row] for row in rows])
            return self._answer_cached(tokens, mask)
        return self._answer(*self._padded([self._ids(row) for row in rows]))

    def _padded(self, token_ids: list[list[int]]) -> list[Tensor]:
        """Input ids and mask, where this process computes."""
        return [each.to(self.processes.device) for each in self.system.encoder.pad(token_ids)]

    def _answer_cached(self, tokens: Tensor, mask: Tensor) -> SystemOutput:
        """By the encoder's stored outputs, in the precision of the weights: DeepSpeed casts them."""
        trained = self.trainer.unwrapped()
        assert isinstance(trained, InterconnectedAISystem)
        dtype, device = trained.trunk.norm.weight.dtype, self.processes.device
        return self._answer(None, mask.to(device), tokens=tokens.to(device, dtype))

    def _answer(self, *inputs: Tensor | None, **more: Tensor) -> SystemOutput:
        """By the model as Accelerate prepared it."""
        output: SystemOutput = self.trainer.model(*inputs, **more)
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

    def validate(self) -> Validation:
        """Mean validation accuracy over the branches after an epoch."""
        epoch = {"epoch": float(self.trainer.step // self.plan.steps_per_epoch)}
        if not len(self.validation):
            return Validation(None, {**self._drift(), **epoch})
        figures = validation_figures(self._validation_metrics())
        return Validation(figures["accuracy/mean"], {**figures, **self._drift(), **epoch})

    def _drift(self) -> dict[str, float]:
        trained = self.trainer.unwrapped()
        assert isinstance(trained, InterconnectedAISystem)
        return self.drift.figures(self._groups(trained))

    def _validation_metrics(self) -> dict[str, BranchMetrics]:
        system, rows = self.system, self.validation
        targets = rows.targets([card.spec for card in system.cards.values()])
        logits: dict[str, list[Tensor]] = {name: [] for name in system.cards}
        self.trainer.model.eval()
        # not inference_mode: what processes gather of spread weights is used again in training
        with torch.no_grad(), self.processes.accelerator.autocast():
            for start in range(0, len(rows), _EVALUATION_BATCH):
                texts = rows.texts[start : start + _EVALUATION_BATCH]
                for name, part in self._evaluate_batch(texts).logits.items():
                    logits[name].append(part.float().cpu())
        out = {}
        for name, parts in logits.items():
            labelled = targets[name] >= 0
            if labelled.any():
                table = torch.cat(parts)[labelled].softmax(dim=-1)
                out[name] = branch_metrics(table, torch.from_numpy(targets[name][labelled]))
        return out

    def _evaluate_batch(self, texts: list[str]) -> SystemOutput:
        if self.cache is not None:
            tokens, mask = self.cache.read(texts)
            return self._answer_cached(tokens, mask)
        return self._answer(*self._padded(self.system.encoder.tokenize(texts)))

    # The head start

    def begin(self) -> dict[str, float]:
        """Let adapters and heads learn first, on what the untrained trunk gives: the encoder's own knowledge.

        Returns validation figures of what they learnt alone: epoch 0, which the joint training should better.
        """
        if not self.config.head_start_epochs:
            return {}
        config = self.config.with_changes(epochs=self.config.head_start_epochs)
        pooled = self._pooled(self.train_rows.texts)
        for name in self.system.branch_names:
            labelled = self.targets[name] >= 0
            targets = self.targets[name][labelled].to(pooled.device)
            train_on_pooled(self.system.branch(name), pooled[labelled.to(pooled.device)], targets, None, config)
        return {**validation_figures(self._validation_metrics()), "epoch": 0.0} if len(self.validation) else {}

    def _pooled(self, texts: list[str]) -> Tensor:
        """(num_texts, d_model): pooled vectors of the system as it is, from the feature cache where there is one."""
        if self.cache is None:
            return self.system.encode(texts)
        self.system.eval()
        device, parts = self.processes.device, []
        with torch.inference_mode():
            for start in range(0, len(texts), _EVALUATION_BATCH):
                tokens, mask = self.cache.read(texts[start : start + _EVALUATION_BATCH])
                parts.append(self.system.trunk(tokens.to(device), mask.to(device))[0])
        return torch.cat(parts).clone()

    # Preparations

    def _build_cache(self) -> float:
        """Encode what is not on disk yet; returns the seconds it took. With an encoder LoRA there is nothing to keep."""
        if self._learns_encoder or not self.config.cache_features:
            return 0.0
        started = time.perf_counter()
        place = self.config.feature_cache or self.folder / "features"
        texts = list(dict.fromkeys([*self.train_rows.texts, *self.validation.texts]))
        if self.processes.is_main:
            with Progress(len(texts), 0, "encoding", enabled=True) as progress:
                FeatureCache(place, self.system).build(texts, lambda done, total: progress.advance(done, ""))
        self.processes.wait()
        self.cache = FeatureCache(place, self.system)
        return time.perf_counter() - started

    def _class_weights(self) -> dict[str, Tensor] | None:
        if self.config.class_weights == "none":
            return None
        cards = self.system.cards
        return {n: class_weights(t[t >= 0], cards[n].spec.num_classes) for n, t in self.targets.items()}

    def _require_rows_for_all(self) -> None:
        if not len(self.train_rows):
            raise DataError("training needs rows, got none")
        known = self.system.cards
        for name in self.train_rows.branch_names:
            self.system.branch_name(name)
        if untaught := [
            name for name in known if name not in self.train_rows.labels or not self.train_rows.of(name)[0]
        ]:
            raise DataError(f"branch {untaught[0]!r} has no training rows; give it some, or remove the branch")
        parts = self.processes.count * self.config.accumulation_steps
        smallest = min(len(batch) for batch in self.plan.epoch(0))
        if smallest < parts:
            raise ConfigError(
                f"batches of {smallest} rows cannot be dealt out over {parts} parts "
                f"({self.processes.count} processes × {self.config.accumulation_steps} accumulation steps)"
            )

    @property
    def _learns_encoder(self) -> bool:
        return self.system.encoder.has_lora

    def _ids(self, row: int) -> list[int]:
        if not self.token_ids:
            self.token_ids = self.system.encoder.tokenize(self.train_rows.texts)
        return self.token_ids[row]
