"""Joint training of a system: trunk, adapters and heads together, then frozen, calibrated and sealed.

The loop is `Trainer`'s, what is learnt by it `SystemLearner`'s.
"""

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from interconnected_ai.arguments import checked
from interconnected_ai.branches import InterconnectedAISystem, readable_names
from interconnected_ai.config import TrainingConfig
from interconnected_ai.data import RowRecord, Rows, Splits
from interconnected_ai.errors import ConfigError, TrainingError
from interconnected_ai.progress import Progress
from interconnected_ai.text import KnownTexts
from interconnected_ai.training.checkpoints import CheckpointFolder
from interconnected_ai.training.computing import keep_computing, open_processes
from interconnected_ai.training.failures import noting_errors
from interconnected_ai.training.learner import Schedule
from interconnected_ai.training.processes import Processes
from interconnected_ai.training.run_folder import owned
from interconnected_ai.training.system.calibration import calibrate, take_directions
from interconnected_ai.training.system.encoder_learner import EncoderCourse, learn_encoder
from interconnected_ai.training.system.features import FeatureCache
from interconnected_ai.training.system.learner import SystemLearner, plan_of
from interconnected_ai.training.system.metrics import BranchMetrics, evaluate
from interconnected_ai.training.trainer import Course, Trainer

logger = logging.getLogger(__name__)

ENCODER_FOLDER = "encoder"
"""Of a run's folder: where the encoder's own training keeps its checkpoints."""

_LESS_MEMORY = (
    "Raise training.accumulation_steps, which computes the same batch in smaller parts, or lower training.batch_size or "
    "system.max_seq_len"
)


@dataclass(frozen=True)
class FitResult:
    """How a training went. validation: metrics of the weights that were kept, before they learnt these rows too
    (see `TrainingConfig.refit`). encoder_steps: in which the encoder's LoRA learnt before all else. Seconds of this call alone.
    """

    steps: int
    epochs: int
    best_epoch: int
    stopped_early: bool
    train_seconds: float
    cache_seconds: float
    device: str
    precision: str
    encoder_steps: int = 0
    encoder_seconds: float = 0.0
    validation: dict[str, BranchMetrics] = field(default_factory=dict)


@checked
def fit(
    system: InterconnectedAISystem,
    train: Rows,
    validation: Rows,
    config: TrainingConfig,
    folder: str | Path,
    *,
    resume: bool = False,
    new_rows: bool = False,
) -> FitResult:
    """Train trunk, adapters and heads together; afterwards the trunk is frozen and every branch calibrated and sealed.

    Where `config.encoder_steps` says so and the encoder has a LoRA, that learns first, and stands from then on.

    Where the regression of the beginning was not surely bettered, it is solved once more in the end, on the validation rows
    too (`config.refit`).

    folder: checkpoints, features, metrics.jsonl and TensorBoard logs go here. resume: go on from its last checkpoint, which
    must have been written with the same rows; new_rows: or with fewer, of which each stays on its side.
    Raises `DataError` for other rows than the checkpoint's, `NonFiniteLossError` when the loss is no number (the last good
    checkpoint stays), `StorageError` when the disk is full, `TrainingError` when the trunk is already trained, `BusyError`
    while another training is at work in `folder`.
    One training at a time in a process: the random state and Accelerate's are the process's.
    """
    if system.trunk_is_trained:
        raise TrainingError(
            "this system's trunk is trained and frozen; training it again would change every branch. Use fit_branch to "
            "train a branch on it, or build a new system"
        )
    processes = open_processes(config.device, config.precision, Path(folder), resume=resume)
    with owned(Path(folder), is_main=processes.is_main):
        keep_computing(processes, Path(folder))
        return _fit(system, train, validation, config, Path(folder), processes, resume, new_rows)


def _fit(
    system: InterconnectedAISystem,
    train: Rows,
    validation: Rows,
    config: TrainingConfig,
    folder: Path,
    processes: Processes,
    resume: bool,
    new_rows: bool,
) -> FitResult:
    random = torch.random.get_rng_state()
    begun_with = len(train)
    if resume:
        train, validation, begun_with = _as_begun(folder, train, validation, new_rows=new_rows)
    plan = plan_of(system, train, config, processes)
    first = train.select(range(begun_with))
    for name in system.branch_names:
        system.branch(name).take_words(first.of(name)[0], scale=config.wide_scale or 1.0)
    system.to(processes.device)
    encoder = _encoder_first(system, train, validation, config, folder, processes, resume, new_rows)
    steps = plan.steps_per_epoch
    trainer = Trainer(
        processes, system, Schedule(steps * config.epochs, steps, steps), config, folder,
        rates="lr_moe, lr_adapter, lr_head, lr_wide",
    )  # fmt: skip
    try:
        with noting_errors(folder, lambda: trainer.step, advice=_LESS_MEMORY):
            started = time.perf_counter()
            texts = [*train.texts, *validation.texts, *_class_names(system, config)]
            cache = _feature_cache(system, texts, config, processes, folder)
            cache_seconds = 0.0 if cache is None else time.perf_counter() - started
            learner = SystemLearner(
                system, train, validation, config, processes, plan, cache, begun_with=begun_with, new_rows=new_rows
            )
            course = trainer.run(learner, resume=resume)
            trainer.finish()
            _settle(system, learner, train, validation)
            result = _result(course, plan.steps_per_epoch, cache_seconds, learner, validation, encoder)
            if trainer.kept_step == 0 and learner.solve_again() and processes.is_main:
                logger.info(
                    "no epoch was surely better than the regression: it is solved again, validation rows included"
                )
            _seal(system, train)
            return result
    finally:
        torch.random.set_rng_state(random)


def _encoder_first(
    system: InterconnectedAISystem,
    train: Rows,
    validation: Rows,
    config: TrainingConfig,
    folder: Path,
    processes: Processes,
    resume: bool,
    new_rows: bool,
) -> EncoderCourse:
    """What precedes the joint training where the encoder has a LoRA that shall learn alone."""
    if not config.encoder_steps:
        return EncoderCourse()
    if not system.encoder.learns:
        raise ConfigError(
            f"training.encoder_steps={config.encoder_steps}, and the encoder has no LoRA that could learn; set "
            "system.encoder_lora_rank (16 is usual), or training.encoder_steps to 0"
        )
    random = torch.random.get_rng_state()
    place = folder / ENCODER_FOLDER
    try:
        # the run's folder, where the doctor looks; no joint step has been taken yet
        with noting_errors(folder, lambda: 0, advice=_LESS_MEMORY):
            return learn_encoder(system, train, validation, config, place, processes, resume=resume, new_rows=new_rows)
    finally:
        torch.random.set_rng_state(random)


def _as_begun(folder: Path, train: Rows, validation: Rows, *, new_rows: bool) -> tuple[Rows, Rows, int]:
    """The rows to resume with, new ones last, and with how many to learn from the training began: the words that it knows."""
    checkpoint = CheckpointFolder(folder / "checkpoints").latest()
    if checkpoint is None or checkpoint.data is None:
        return train, validation, len(train)
    known = checkpoint.data
    if new_rows:
        kept = RowRecord.from_parts(known.arrays, known.facts, source=folder / "checkpoints")
        splits = kept.in_this_order(Splits(train, validation, train.select([])))
        train, validation = splits.train, splits.validation
    return train, validation, min(len(train), int(known.facts.get("begun_with", len(train))))


def _class_names(system: InterconnectedAISystem, config: TrainingConfig) -> list[str]:
    """The names that are learnt, of all branches' classes."""
    labels = [card.spec.labels for card in system.cards.values()] if config.class_names else []
    return [text for some in labels for text in readable_names(some).values()]


def _feature_cache(
    system: InterconnectedAISystem, texts: list[str], config: TrainingConfig, processes: Processes, folder: Path
) -> FeatureCache | None:
    """The encoder's outputs for these texts; what is not on disk yet is encoded. None while they change, as a LoRA learns."""
    if system.encoder.learns or not config.cache_features:
        return None
    place, distinct = config.feature_cache or folder / "features", list(dict.fromkeys(texts))
    if processes.is_main:
        with Progress(len(distinct), 0, "encoding", enabled=True) as progress:
            FeatureCache(place, system).build(distinct, lambda done, total: progress.advance(done, total=total))
    processes.wait()
    return FeatureCache(place, system)


def _settle(system: InterconnectedAISystem, learner: SystemLearner, train: Rows, validation: Rows) -> None:
    """Freeze what is shared, calibrate every branch and note what it has learnt."""
    system.freeze_trunk()
    system.eval()
    take_directions(system, train, learner.encode)
    calibrate(system, validation, learner.encode)
    for name in system.branch_names:
        texts = [text for rows in (train, validation) if name in rows.labels for text in rows.of(name)[0]]
        system.branch(name).learnt = KnownTexts.of(texts)


def _seal(system: InterconnectedAISystem, train: Rows) -> None:
    """Take every branch's fingerprint, of the weights that it ends with."""
    num_rows = {name: len(train.of(name)[0]) for name in train.branch_names}
    system.seal_branches(
        {name: {"trained": "joint", "num_rows": num_rows.get(name, 0)} for name in system.branch_names}
    )


def _result(
    course: Course,
    steps_per_epoch: int,
    cache_seconds: float,
    learner: SystemLearner,
    validation: Rows,
    encoder: EncoderCourse,
) -> FitResult:
    return FitResult(
        steps=course.steps,
        epochs=course.steps // steps_per_epoch,
        best_epoch=course.best_step // steps_per_epoch,
        stopped_early=course.stopped_early,
        train_seconds=course.seconds,
        cache_seconds=cache_seconds,
        device=str(learner.processes.device),
        precision=learner.processes.precision,
        encoder_steps=encoder.steps,
        encoder_seconds=encoder.seconds,
        validation=evaluate(learner.system, validation, include_learnt=True, encode=learner.encode)
        if len(validation)
        else {},
    )
