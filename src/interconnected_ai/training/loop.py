"""The training loop: joint training of trunk, adapters and heads, on Hugging Face Accelerate.

Everything random follows from (seed, step, process), so a run resumed from any checkpoint equals one never interrupted,
to the last bit on a CPU. Every process knows the whole batch and computes its share of it.
"""

import logging
import math
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from interconnected_ai.branches import (
    InterconnectedAISystem,
    SystemOutput,
    class_weights,
    learning_rate_factor,
    train_on_pooled,
)
from interconnected_ai.config import TrainingConfig
from interconnected_ai.errors import ConfigError, DataError, NonFiniteLossError, StorageError, TrainingError
from interconnected_ai.extras import require
from interconnected_ai.nn import choose_backend
from interconnected_ai.training.batches import BatchPlan, share_of
from interconnected_ai.training.calibrate import calibrate
from interconnected_ai.training.checkpoints import Checkpoint, CheckpointFolder, optimizer_tensors, restore_optimizer
from interconnected_ai.training.data import Rows
from interconnected_ai.training.devices import Choice, choose
from interconnected_ai.training.endings import noting_errors
from interconnected_ai.training.features import FeatureCache
from interconnected_ai.training.figures import Drift, learning_figures, routing_figures, validation_figures
from interconnected_ai.training.loss import GlobalBatch, LossParts, system_loss
from interconnected_ai.training.metrics import BranchMetrics, branch_metrics, evaluate
from interconnected_ai.training.monitors import Monitor, open_monitors
from interconnected_ai.training.progress import Progress

logger = logging.getLogger(__name__)

_LOG_EVERY = 10
_EVALUATION_BATCH = 256


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
        with noting_errors(Path(folder), lambda: training.step):
            return training.run(resume=resume)
    finally:
        torch.random.set_rng_state(random)


class _Fit:
    """One training, from the first step or a checkpoint to the sealed system."""

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
        self.choice = choose(config.device, config.precision)
        self.accelerator = _accelerator(self.choice)
        _require_whole_weights(self.accelerator)
        self.is_main: bool = self.accelerator.is_main_process
        self.plan = BatchPlan.for_rows(train, config.batch_size, config.seed)
        self._require_rows_for_all()
        specs = [card.spec for card in system.cards.values()]
        self.targets = {name: torch.from_numpy(t) for name, t in train.targets(specs).items()}
        self.weights = self._class_weights()
        self.token_ids = system.encoder.tokenize(train.texts) if self._learns_encoder else []
        self.checkpoints = CheckpointFolder(folder / "checkpoints", keep=config.keep_checkpoints)
        self.total_steps = self.plan.steps_per_epoch * config.epochs

        system.to(self.accelerator.device)
        self.cache: FeatureCache | None = None
        self.names = {id(p): name for name, p in system.named_parameters()}
        groups = system.get_trainable_params(
            lr_moe=config.lr_moe,
            lr_adapter=config.lr_adapter,
            lr_head=config.lr_head,
            lr_encoder_lora=config.lr_encoder_lora,
        )
        optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
        self.base_rates = [group["lr"] for group in groups]
        self.model, self.optimizer = self.accelerator.prepare(system, optimizer)

        self.step = 0
        self.highest_loss = -math.inf  # since the last line of the log
        self.drift = Drift(groups)
        self.best_score, self.best_epoch, self.waited = -math.inf, 0, 0
        self.monitors: list[Monitor] = []

    # The run

    def run(self, *, resume: bool) -> FitResult:
        cache_seconds = self._build_cache()
        started = time.perf_counter()
        stopped = False
        self._resume() if resume else self._start_afresh()
        if self.is_main:
            self.monitors = open_monitors(self.config.monitors, self.folder, self.config.to_dict(), resume_at=self.step)
            self._say_choices()
        try:
            self._log_head_start()
            with (
                self.system.encoder.attention_that_trains_fast(),
                Progress(self.total_steps, self.step, "training", enabled=self.is_main) as progress,
            ):
                while self.step < self.total_steps and not (stopped := self._has_waited_enough()):
                    self._epoch(progress)
        finally:
            for monitor in self.monitors:
                monitor.close()
        train_seconds = time.perf_counter() - started
        self._finish()
        return FitResult(
            steps=self.step,
            epochs=self.step // self.plan.steps_per_epoch,
            best_epoch=self.best_epoch,
            stopped_early=stopped,
            train_seconds=train_seconds,
            cache_seconds=cache_seconds,
            device=str(self.accelerator.device),
            precision=str(self.choice.dtype).removeprefix("torch."),
            validation=evaluate(self.system, self.validation) if len(self.validation) else {},
        )

    def _say_choices(self) -> None:
        """What was chosen by measuring, and why."""
        logger.info("device %s, %s: %s", self.accelerator.device, self.choice.dtype, self.choice.reason)
        if self.system.config.ffn == "moe" and self.system.config.num_moe_layers:
            backend = choose_backend(self.accelerator.device, self.choice.dtype)
            logger.info("experts' products by %s: %s", backend.name, backend.reason)

    def _epoch(self, progress: Progress) -> None:
        """The rest of the epoch that `self.step` stands in, and its evaluation."""
        epoch, done = divmod(self.step, self.plan.steps_per_epoch)
        for batch in self.plan.epoch(epoch)[done:]:
            loss = self._step(batch)
            self.step += 1
            progress.advance(self.step, f"epoch {epoch + 1}, loss {loss:.3f}")
            if self.step % self.plan.steps_per_epoch == 0:
                self._evaluate(epoch + 1)
            if self.step % self.config.checkpoint_every_steps == 0:
                self._save()

    def _step(self, batch: np.ndarray) -> float:
        """One optimiser step on a whole batch; returns its loss."""
        started = time.perf_counter()
        torch.manual_seed(_mixed(self.config.seed, self.step, self.accelerator.process_index))
        self.model.train()
        for group, rate in zip(self.optimizer.param_groups, self.base_rates, strict=True):
            group["lr"] = rate * learning_rate_factor(self.step, self.total_steps, self.config.warmup_steps)
        mine = share_of(batch, self.accelerator.process_index, self.accelerator.num_processes)
        parts = [share_of(mine, i, self.config.accumulation_steps) for i in range(self.config.accumulation_steps)]
        whole = GlobalBatch(
            num_labels=sum(int((t[batch] >= 0).sum()) for t in self.targets.values()),
            num_processes=self.accelerator.num_processes,
            total=lambda counts: self.accelerator.reduce(counts, reduction="sum"),
        )
        losses = []
        for number, rows in enumerate(parts):
            last = number == len(parts) - 1
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                output, loss = self._forward(rows, whole)
                self._require_finite(loss.total)
                self.accelerator.backward(loss.total)
                losses.append(loss)
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        task = self.accelerator.reduce(torch.stack([part.task for part in losses]).sum(), reduction="sum").item()
        self.highest_loss = max(self.highest_loss, task)
        if self.step % _LOG_EVERY == 0:
            balance = self.accelerator.reduce(torch.stack([part.balance for part in losses]).mean(), reduction="sum")
            self._log_step(
                task, balance.item(), norm, output, rows, batch, len(batch) / (time.perf_counter() - started)
            )
        return float(task)

    def _forward(self, rows: np.ndarray, whole: GlobalBatch) -> tuple[SystemOutput, LossParts]:
        """This process's rows through the system."""
        if self.cache is not None:
            tokens, mask = self.cache.read([self.train_rows.texts[row] for row in rows])
            output = self.model(None, mask.to(self.accelerator.device), tokens=tokens.to(self.accelerator.device))
        else:
            input_ids, mask = self.system.encoder.pad([self._ids(row) for row in rows])
            output = self.model(input_ids, mask)
        targets = {name: t[rows].to(self.accelerator.device) for name, t in self.targets.items()}
        return output, system_loss(
            output,
            targets,
            whole,
            class_weights=self.weights,
            label_smoothing=self.config.label_smoothing,
            balance_loss_weight=self.config.balance_loss_weight / self.config.accumulation_steps,
            z_loss_weight=self.config.z_loss_weight / self.config.accumulation_steps,
        )

    # Evaluation and early stopping

    def _evaluate(self, epoch: int) -> None:
        """Validation accuracy after an epoch; keeps the weights when the mean over the branches is the best so far."""
        if not len(self.validation):
            self.best_epoch = epoch
            self._log({**self.drift.figures(), "epoch": float(epoch)})
            return
        figures = validation_figures(self._validation_metrics())
        score = figures["accuracy/mean"]
        if score > self.best_score:
            self.best_score, self.best_epoch, self.waited = score, epoch, 0
            self._save(best=True)
        else:
            self.waited += 1
        self._log({**figures, **self.drift.figures(), "epoch": float(epoch)})

    def _validation_metrics(self) -> dict[str, BranchMetrics]:
        system, rows = self.system, self.validation
        targets = rows.targets([card.spec for card in system.cards.values()])
        logits: dict[str, list[Tensor]] = {name: [] for name in system.cards}
        self.model.eval()
        with torch.inference_mode(), self.accelerator.autocast():
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
            return self.model(None, mask.to(self.accelerator.device), tokens=tokens.to(self.accelerator.device))  # type: ignore[no-any-return]
        return self.model(*self.system.encoder.pad(self.system.encoder.tokenize(texts)))  # type: ignore[no-any-return]

    def _has_waited_enough(self) -> bool:
        return self.config.patience is not None and self.waited >= self.config.patience

    def _finish(self) -> None:
        """Take the best weights, freeze what is shared, calibrate and seal every branch."""
        self._save(final=True)
        self.accelerator.wait_for_everyone()
        best = self.checkpoints.best()
        final = best if best is not None else self.checkpoints.latest()
        if final is None:
            raise StorageError(f"no checkpoint in {self.checkpoints.folder} after training; was it removed meanwhile?")
        self.system = self.accelerator.unwrap_model(self.model)
        _load_weights(self.system, final.model)
        self.system.freeze_trunk()
        self.system.eval()
        calibrate(self.system, self.validation)
        for name in self.system.branch_names:
            rows = self.train_rows.of(name)[0] if name in self.train_rows.labels else []
            self.system.seal_branch(name, trained="joint", num_rows=len(rows))

    # Keeping

    def _save(self, *, best: bool = False, final: bool = False) -> None:
        """Write a checkpoint (the main process does; all take part where weights are spread over processes)."""
        model, optimizer = self._gathered_state()
        if not self.is_main:
            return
        progress = {
            "step": self.step,
            "total_steps": self.total_steps,
            "best_score": self.best_score if math.isfinite(self.best_score) else None,
            "best_epoch": self.best_epoch,
            "waited": self.waited,
            "finished": final,
            "training": self.config.to_dict(),
        }
        checkpoint = Checkpoint(model=model, optimizer={} if best else optimizer, progress=progress)
        self.checkpoints.save_best(checkpoint) if best else self.checkpoints.save(checkpoint)

    def _gathered_state(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Trained tensors and optimiser state by name, whole, on the CPU."""
        system = self.accelerator.unwrap_model(self.model)
        weights = {n: p.detach().cpu() for n, p in system.named_parameters() if p.requires_grad}
        return weights, optimizer_tensors(self.optimizer.optimizer, self.names)

    def _start_afresh(self) -> None:
        if self.is_main:
            self.checkpoints.clear()
        self.accelerator.wait_for_everyone()
        self._head_start()

    def _head_start(self) -> None:
        """Let adapters and heads learn first, on what the untrained trunk gives: the encoder's own knowledge."""
        if not self.config.head_start_epochs:
            return
        config = self.config.with_changes(epochs=self.config.head_start_epochs)
        pooled = self._pooled(self.train_rows.texts)
        for name in self.system.branch_names:
            labelled = self.targets[name] >= 0
            targets = self.targets[name][labelled].to(pooled.device)
            train_on_pooled(self.system.branch(name), pooled[labelled.to(pooled.device)], targets, None, config)

    def _pooled(self, texts: list[str]) -> Tensor:
        """(num_texts, d_model): pooled vectors of the system as it is, from the feature cache where there is one."""
        if self.cache is None:
            return self.system.encode(texts)
        self.system.eval()
        device, parts = self.accelerator.device, []
        with torch.inference_mode():
            for start in range(0, len(texts), _EVALUATION_BATCH):
                tokens, mask = self.cache.read(texts[start : start + _EVALUATION_BATCH])
                parts.append(self.system.trunk(tokens.to(device), mask.to(device))[0])
        return torch.cat(parts).clone()

    def _resume(self) -> None:
        """Go on from the newest checkpoint; from the beginning when there is none yet."""
        checkpoint = self.checkpoints.latest()
        if checkpoint is None:
            logger.warning("no checkpoint in %s yet; starting from the beginning", self.checkpoints.folder)
            self._head_start()
            return
        if checkpoint.progress["training"] != self.config.to_dict():
            changed = [k for k, v in self.config.to_dict().items() if checkpoint.progress["training"].get(k) != v]
            raise ConfigError(
                f"the checkpoint in {self.checkpoints.folder} was written with other settings ({', '.join(changed)}); "
                "put them back to resume, or train into another folder"
            )
        _load_weights(self.accelerator.unwrap_model(self.model), checkpoint.model)
        restore_optimizer(self.optimizer.optimizer, self.names, checkpoint.optimizer)
        self.step = checkpoint.step
        best_score = checkpoint.progress["best_score"]
        self.best_score = -math.inf if best_score is None else best_score
        self.best_epoch, self.waited = checkpoint.progress["best_epoch"], checkpoint.progress["waited"]
        logger.info("resumed at step %d of %d", self.step, self.total_steps)

    # Preparations

    def _build_cache(self) -> float:
        """Encode what is not on disk yet; returns the seconds it took. With an encoder LoRA there is nothing to keep."""
        if self._learns_encoder or not self.config.cache_features:
            return 0.0
        started = time.perf_counter()
        place = self.config.feature_cache or self.folder / "features"
        texts = list(dict.fromkeys([*self.train_rows.texts, *self.validation.texts]))
        if self.is_main:
            with Progress(len(texts), 0, "encoding", enabled=True) as progress:
                FeatureCache(place, self.system).build(texts, lambda done, total: progress.advance(done, ""))
        self.accelerator.wait_for_everyone()
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
        parts = self.accelerator.num_processes * self.config.accumulation_steps
        smallest = min(len(batch) for batch in self.plan.epoch(0))
        if smallest < parts:
            raise ConfigError(
                f"batches of {smallest} rows cannot be dealt out over {parts} parts "
                f"({self.accelerator.num_processes} processes × {self.config.accumulation_steps} accumulation steps)"
            )

    @property
    def _learns_encoder(self) -> bool:
        return self.system.encoder.has_lora

    def _ids(self, row: int) -> list[int]:
        if not self.token_ids:
            self.token_ids = self.system.encoder.tokenize(self.train_rows.texts)
        return self.token_ids[row]

    def _require_finite(self, loss: Tensor) -> None:
        total = self.accelerator.reduce(loss.detach(), reduction="sum").item()
        if not math.isfinite(total):
            kept = self.checkpoints.steps()
            where = f"the checkpoint of step {kept[-1]} is intact" if kept else "no checkpoint was written before it"
            raise NonFiniteLossError(
                f"the loss became {total} at step {self.step + 1}; {where}. Lower the learning rates "
                "(lr_moe, lr_adapter, lr_head), or lengthen warmup_steps, and train again",
                self.step + 1,
            )

    # Figures

    def _log_step(
        self,
        task: float,
        balance: float,
        norm: Any,
        output: SystemOutput,
        rows: np.ndarray,
        batch: np.ndarray,
        rows_per_second: float,
    ) -> None:
        """rows: those that `output` answers; batch: the whole batch's, over all processes and parts."""
        figures = {
            "loss/task": task,
            "loss/highest": self.highest_loss,
            "loss/balance": balance,
            "gradient_norm": float(norm),
            "rows_per_second": rows_per_second,
            **{f"rate/{group['name']}": group["lr"] for group in self.optimizer.param_groups},
            **{f"batch_rows/{name}": float((t[batch] >= 0).sum()) for name, t in self.targets.items()},
        }
        answers = {name: t[rows] for name, t in self.targets.items()}
        self._log({**figures, **routing_figures(output.routings), **learning_figures(output.logits, answers)})
        self.highest_loss = -math.inf

    def _log_head_start(self) -> None:
        """Validation figures of what adapters and heads learnt alone: epoch 0, which the joint training should better."""
        if self.step == 0 and self.config.head_start_epochs and len(self.validation):
            self._log({**validation_figures(self._validation_metrics()), "epoch": 0.0})

    def _log(self, figures: Mapping[str, float]) -> None:
        for monitor in self.monitors:
            monitor.log(self.step, figures)


def _accelerator(choice: Choice) -> Any:
    """Accelerate's view of this process: device, processes, mixed precision."""
    accelerate = require("accelerate", "training", "training")
    precision = {torch.float32: "no", torch.bfloat16: "bf16", torch.float16: "fp16"}[choice.dtype]
    if accelerate.state.AcceleratorState._shared_state:
        # A second training in one process may ask for another precision; Accelerate keeps the first one otherwise.
        accelerate.state.AcceleratorState._reset_state()
    return accelerate.Accelerator(mixed_precision=precision, cpu=choice.device.type == "cpu")


def _require_whole_weights(accelerator: Any) -> None:
    """Every process must hold whole weights: checkpoints of sharded ones are not written yet."""
    kind = str(accelerator.distributed_type).rpartition(".")[2]
    if kind in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        raise TrainingError(
            f"training under {kind} is not supported yet: its checkpoints would not be whole. Launch without it; several "
            "processes (DDP) work, and only the trunk, adapters and heads have gradients and optimiser states"
        )


def _load_weights(system: InterconnectedAISystem, weights: Mapping[str, Tensor]) -> None:
    """Put a checkpoint's tensors into the system; raises `StorageError` when one has no place or another shape."""
    parameters = dict(system.named_parameters())
    for name, tensor in weights.items():
        if name not in parameters or parameters[name].shape != tensor.shape:
            raise StorageError(
                f"the checkpoint's tensor {name!r} does not fit this system; was the system config changed?"
            )
        with torch.no_grad():
            parameters[name].copy_(tensor)


def _mixed(seed: int, step: int, process: int) -> int:
    """One number from three, different for each of them."""
    return int(np.random.SeedSequence((seed, step, process)).generate_state(1, np.uint64)[0] >> np.uint64(1))
