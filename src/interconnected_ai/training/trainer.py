"""The loop that every training stands on: steps, schedule, clipping, checkpoints, resume, monitors, the best weights.

What is learnt, from what, and how well it goes is the learner's affair. Everything random follows from (seed, step,
process), so a run resumed from any checkpoint equals one never interrupted, to the last bit on a CPU.
"""

import logging
import math
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from interconnected_ai.config import LoopConfig
from interconnected_ai.errors import ConfigError, NonFiniteLossError, StorageError
from interconnected_ai.nn import learning_rate_factor, set_rates, surely_more_right
from interconnected_ai.progress import Progress
from interconnected_ai.training.checkpoints import Checkpoint, CheckpointFolder
from interconnected_ai.training.interruption import StopRequest, TrainingStoppedError, heeding_signals
from interconnected_ai.training.learner import DataRecord, Learner, Schedule, TrainingState, Validation
from interconnected_ai.training.monitors import Monitor, open_monitors
from interconnected_ai.training.parallelism.tensors import held_params, kept_buffers
from interconnected_ai.training.processes import Processes

logger = logging.getLogger(__name__)

LOG_EVERY = 10


@dataclass(frozen=True)
class Course:
    """How a training went. best_step: when the weights that are kept were reached; seconds of this call alone, whose first
    step was `first_step`.
    """

    first_step: int
    steps: int
    best_step: int
    stopped_early: bool
    seconds: float


class Trainer:
    """Trains a model as its learner says, from the first step or a checkpoint.

    model: on the device already; afterwards it holds what was learnt. rates: names of the settings to lower when the loss is no
    number. silent: nothing is said of it, neither progress nor where it computes.
    """

    def __init__(
        self,
        processes: Processes,
        model: nn.Module,
        schedule: Schedule,
        config: LoopConfig,
        folder: Path,
        *,
        rates: str,
        silent: bool = False,
    ) -> None:
        self.processes, self.schedule, self.config, self.folder, self.rates = processes, schedule, config, folder, rates
        self.speaks = processes.is_main and not silent
        self.accelerator, self.parallelism = processes.accelerator, processes.parallelism
        self.checkpoints = CheckpointFolder(folder / "checkpoints", keep=config.keep_checkpoints)
        self.given = self.model = model
        self.optimizer: Any = None  # AdamW as Accelerate prepared it
        self.base_rates: list[float] = []
        self.step = 0
        self.highest_loss = -math.inf  # since the last line of the log
        self.best_score, self.best_step, self.waited = -math.inf, 0, 0
        self.highest_score = -math.inf  # of all, that of weights which were not kept included
        self.begun: dict[str, Tensor] | None = None  # which rows the weights of step 0 answered rightly, by group
        self.kept_step: int | None = None  # when the weights were reached that `finish` took
        self.monitors: list[Monitor] = []
        self.data: DataRecord | None = None  # the learner's
        self.request = StopRequest(speaks=False, takes_repeats=False)

    # The run

    def run(self, learner: Learner, *, resume: bool = False) -> Course:
        """All steps that are left. Raises `NonFiniteLossError` when the loss is no number (the last good checkpoint stays).

        Ctrl-C and SIGTERM raise `TrainingStoppedError`, once the step at hand is done and kept in a checkpoint.
        """
        started = time.perf_counter()
        stopped = False
        self.data = learner.data_record()
        checkpoint = self._resume(learner) if resume else None
        if checkpoint is None:
            self._start_afresh()
        if self.processes.is_main:
            self.monitors = open_monitors(self.config.monitors, self.folder, self.config.to_dict(), resume_at=self.step)
        if self.speaks:
            choice = self.processes.choice
            logger.info("device %s, %s: %s", self.processes.device, choice.dtype, choice.reason)
        first = self.step
        try:
            begun = None if checkpoint is not None else learner.begin(self.given)
            self._prepare(learner, checkpoint)
            if begun is not None and begun.figures:
                self._judge(begun)
            total = self.schedule.total_steps
            bar = Progress(total, self.step, "training", enabled=self.speaks)
            with self._heeding_signals(), learner.learning(self.unwrapped()), bar as progress:
                while self.step < total and not (stopped := self._has_waited_enough()):
                    self._epoch(learner, progress)
        finally:
            for monitor in self.monitors:
                monitor.close()
        return Course(first, self.step, self.best_step, stopped, time.perf_counter() - started)

    def finish(self) -> nn.Module:
        """Keep the last state, and take the best weights (the last ones, where nothing was evaluated); returns the model."""
        self._save(final=True)
        self.processes.wait()
        best = self.checkpoints.best()
        final = best if best is not None else self.checkpoints.latest()
        if final is None:
            raise StorageError(f"no checkpoint in {self.checkpoints.folder} after training; was it removed meanwhile?")
        return self._take(final)

    def take_finished(self) -> bool:
        """Whether a training has ended here before, whose last weights the model holds then. In place of `run` and `finish`."""
        kept = self._agreed(self.checkpoints.latest())
        if kept is None or not kept.progress["finished"]:
            return False
        self.step = kept.step
        self._take(kept)
        return True

    def _take(self, checkpoint: Checkpoint) -> nn.Module:
        """The given model with a checkpoint's weights."""
        self.model, self.kept_step = self.given.to(self.processes.device), checkpoint.step
        _load_weights(self.model, checkpoint.model)
        return self.model

    def unwrapped(self) -> nn.Module:
        """The model that trains, without Accelerate's wrapping."""
        model: nn.Module = self.accelerator.unwrap_model(self.model)
        return model

    def whole_model(self) -> nn.Module:
        """The given model with the weights as they are now: all of them, on this process's device. All processes must ask."""
        if self.parallelism.shards:
            _load_weights(self.given.to(self.processes.device), self.parallelism.weights(self.unwrapped()))
        return self.given

    def state(self) -> TrainingState:
        """Where the training stands, for its learner."""
        return TrainingState(self.step, self.schedule.total_steps, self.model, self.unwrapped(), self.whole_model)

    def _prepare(self, learner: Learner, checkpoint: Checkpoint | None) -> None:
        """Let Accelerate spread the model over the processes, and put the optimiser's state of a checkpoint back."""
        placed = self.parallelism.place(self.given)
        optimizer = learner.optimizer(placed)
        self.base_rates = [group["lr"] for group in optimizer.param_groups]
        self.model, self.optimizer = self.parallelism.prepare(placed, optimizer, self.config)
        if self.parallelism.shards and self.speaks:
            held, of_all = held_params(self.unwrapped())
            logger.info(
                "%s over %d processes: %d of %d parameters here",
                self.parallelism.name,
                self.processes.count,
                held,
                of_all,
            )
        if checkpoint is not None:
            self.parallelism.restore_optimizer(self.optimizer, self.unwrapped(), checkpoint.optimizer)

    def _epoch(self, learner: Learner, progress: Progress) -> None:
        """The rest of the epoch that `self.step` stands in; evaluations and checkpoints on the way."""
        schedule = self.schedule
        epoch, done = divmod(self.step, schedule.steps_per_epoch)
        for batch in learner.batches(epoch, done):
            loss = self._step(learner, batch)
            self.step += 1
            progress.advance(self.step, f"epoch {epoch + 1}, loss {loss:.3f}")
            ended = self.step == schedule.total_steps
            if self.step % schedule.evaluate_every_steps == 0 or ended:
                self._evaluate(learner)
            if self.step % self.config.checkpoint_every_steps == 0:
                self._save()
            if self._is_told_to_stop():
                raise self._stopped()
            if ended or self._has_waited_enough():
                return

    def _step(self, learner: Learner, batch: np.ndarray) -> float:
        """One optimiser step on a whole batch; returns its loss."""
        started = time.perf_counter()
        torch.manual_seed(_mixed(self.config.seed, self.step, self.processes.index))
        self.model.train()
        factor = learning_rate_factor(self.step, self.schedule.total_steps, self.config.warmup_steps)
        set_rates(self.optimizer, self.base_rates, factor)
        parts = self.processes.parts(batch, self.config.accumulation_steps)
        state, losses = self.state(), []
        for number, rows in enumerate(parts):
            with self.parallelism.part(self.model, last=number == len(parts) - 1):
                loss = learner.loss(state, rows, batch)
                self._require_finite(loss.total)
                self.parallelism.backward(loss.total)
                losses.append(loss.task)
        norm = self.parallelism.clip(self.model, self.config.gradient_clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        task = self.processes.total(torch.stack(losses).sum()).item()
        self.highest_loss = max(self.highest_loss, task)
        if self.step % LOG_EVERY == 0:
            self._log_step(task, norm, learner.figures(batch, time.perf_counter() - started))
        return float(task)

    def _require_finite(self, loss: Tensor) -> None:
        total = self.processes.total(loss.detach()).item()
        if not math.isfinite(total):
            kept = self.checkpoints.steps()
            where = f"the checkpoint of step {kept[-1]} is intact" if kept else "no checkpoint was written before it"
            raise NonFiniteLossError(
                f"the loss became {total} at step {self.step + 1}; {where}. Lower the learning rates "
                f"({self.rates}), or lengthen warmup_steps, and train again",
                self.step + 1,
            )

    # Evaluation and early stopping

    def _evaluate(self, learner: Learner) -> None:
        """Measure; keep the weights when they are the best so far."""
        found = learner.validate(self.state())
        if self.parallelism.shards:
            self.given.cpu()  # if `whole_model` was asked for, its room is needed again
        self._judge(found)

    def _judge(self, found: Validation) -> None:
        """Keep the weights as they are when they are the best so far; log what was found."""
        score = None if found.score is None else self.processes.agree(found.score)
        if score is None:
            self.best_step = self.step
        else:
            self.waited = 0 if score > self.highest_score else self.waited + 1
            self.highest_score = max(self.highest_score, score)
            if score > self.best_score and not self._may_be_luck(found):
                self.best_score, self.best_step = score, self.step
                self._save(best=True)
        if self.processes.is_main:
            shown = ", ".join(f"{name} {value:.4g}" for name, value in found.figures.items())
            logger.debug("step %d: %s; the best is step %d", self.step, shown, self.best_step)
        self._log(found.figures)

    def _may_be_luck(self, found: Validation) -> bool:
        """Whether weights that would take the place of step 0's are not ahead of them for sure. All processes must ask."""
        if self.step == 0 and found.right is not None:
            self.begun = {name: right.cpu() for name, right in found.right.items()}
            return False
        if self.best_step or self.begun is None or found.right is None:
            return False
        pairs = [(self.begun[name], right.cpu()) for name, right in found.right.items()]
        return not self.processes.agree(float(surely_more_right(pairs)))

    def _has_waited_enough(self) -> bool:
        return self.config.patience is not None and self.waited >= self.config.patience

    # Being stopped

    @contextmanager
    def _heeding_signals(self) -> Iterator[None]:
        # A launcher passes each signal on to processes that the terminal has told already.
        with heeding_signals(speaks=self.speaks, takes_repeats=self.processes.count > 1) as self.request:
            yield

    def _is_told_to_stop(self) -> bool:
        """Whether any of the processes was: all must stop after the same step. All processes must ask."""
        told = self.request.number is not None
        if self.processes.count == 1:
            return told
        number_told = torch.tensor(float(told), device=self.processes.device)
        return bool(self.processes.total(number_told).item())

    def _stopped(self) -> TrainingStoppedError:
        if self.step % self.config.checkpoint_every_steps != 0:
            self._save()
        self.processes.wait()
        return TrainingStoppedError(self.step, self.request.number or signal.SIGTERM)

    # Keeping

    def _save(self, *, best: bool = False, final: bool = False) -> None:
        """Write a checkpoint (the main process does; all take part where weights are spread over processes)."""
        trained = self.unwrapped()
        weights = {name: tensor.cpu() for name, tensor in self.parallelism.weights(trained).items()}
        optimizer = {} if best else self.parallelism.optimizer_tensors(self.optimizer, trained)
        if not self.processes.is_main:
            return
        progress = {
            "step": self.step,
            "total_steps": self.schedule.total_steps,
            "best_score": self.best_score if math.isfinite(self.best_score) else None,
            "best_step": self.best_step,
            "highest_score": self.highest_score if math.isfinite(self.highest_score) else None,
            "waited": self.waited,
            "begun": None if self.begun is None else {name: _digits(right) for name, right in self.begun.items()},
            "finished": final,
            "training": self.config.to_dict(),
        }
        checkpoint = Checkpoint(model=weights, optimizer=optimizer, progress=progress, data=self.data)
        self.checkpoints.save_best(checkpoint) if best else self.checkpoints.save(checkpoint)

    def _start_afresh(self) -> None:
        if self.processes.is_main:
            self.checkpoints.clear()
        self.processes.wait()

    def _agreed(self, latest: Checkpoint | None) -> Checkpoint | None:
        """The main process's latest checkpoint: on a shared disk another process may see an older one as the latest."""
        step = int(self.processes.agree(-1 if latest is None else latest.step))
        if latest is not None and latest.step == step:
            return latest
        return None if step < 0 else self.checkpoints.at(step)

    def _resume(self, learner: Learner) -> Checkpoint | None:
        """Take the newest checkpoint's weights and place, and hand it on; None, to begin afresh, when there is none yet."""
        checkpoint = self._agreed(self.checkpoints.latest())
        if checkpoint is None:
            logger.warning("no checkpoint in %s yet; starting from the beginning", self.checkpoints.folder)
            return None
        known, ours = checkpoint.progress["training"], self.config.to_dict()
        # A setting that came with a later version was not there to be another; the run's config says what it is now.
        if changed := [key for key in known if key not in ours or known[key] != ours[key]]:
            raise ConfigError(
                f"the checkpoint in {self.checkpoints.folder} was written with other settings ({', '.join(changed)}); "
                "put them back to resume, or train into another folder"
            )
        same = self._recognised(learner, checkpoint)
        _load_weights(self.given, checkpoint.model)
        self.step = checkpoint.step
        if same:
            kept = checkpoint.progress
            self.best_score = -math.inf if kept["best_score"] is None else kept["best_score"]
            self.best_step, self.waited = kept["best_step"], kept["waited"]
            highest = kept.get("highest_score")  # earlier versions kept every best score
            self.highest_score = self.best_score if highest is None else highest
            begun = kept.get("begun")
            self.begun = None if begun is None else {name: _from_digits(digits) for name, digits in begun.items()}
        logger.info("resumed at step %d of %d", self.step, self.schedule.total_steps)
        return checkpoint

    def _recognised(self, learner: Learner, checkpoint: Checkpoint) -> bool:
        """Whether the checkpoint's scores hold for the learner's data; raises `DataError` for other data."""
        if checkpoint.data is None:
            logger.warning(
                "the checkpoints in %s keep no record of their data: whether they are the same cannot be checked",
                self.checkpoints.folder,
            )
            return True
        return learner.recognise(checkpoint.data)

    # Figures

    def _log_step(self, task: float, norm: float, more: Mapping[str, float]) -> None:
        rates = {f"rate/{group['name']}": group["lr"] for group in self.optimizer.param_groups}
        self._log({"loss/task": task, "loss/highest": self.highest_loss, "gradient_norm": norm, **rates, **more})
        self.highest_loss = -math.inf

    def _log(self, figures: Mapping[str, float]) -> None:
        for monitor in self.monitors:
            monitor.log(self.step, figures)


def _load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put a checkpoint's tensors into the model; raises `StorageError` when one has no place or another shape."""
    places = {**dict(model.named_parameters()), **dict(kept_buffers(model))}
    for name, tensor in weights.items():
        if name not in places or places[name].shape != tensor.shape:
            raise StorageError(f"the checkpoint's tensor {name!r} does not fit this model; was its config changed?")
        with torch.no_grad():
            places[name].copy_(tensor)


def _digits(right: Tensor) -> str:
    """Booleans as a text of ones and zeros."""
    return "".join(str(int(each)) for each in right.tolist())


def _from_digits(digits: str) -> Tensor:
    return torch.tensor([each == "1" for each in digits], dtype=torch.bool)


def _mixed(seed: int, step: int, process: int) -> int:
    """One number from three, different for each of them."""
    return int(np.random.SeedSequence((seed, step, process)).generate_state(1, np.uint64)[0] >> np.uint64(1))
