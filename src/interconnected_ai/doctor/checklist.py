"""Before a run: the document's checklist of seven, and what else makes runs fail. Rows are read, the encoder is loaded."""

import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from interconnected_ai.branches import Encoder
from interconnected_ai.config import RunConfig, TrainingConfig
from interconnected_ai.data import Rows, Splits, load_splits
from interconnected_ai.doctor import machine, rows
from interconnected_ai.doctor import thresholds as limit
from interconnected_ai.doctor.ahead import Ahead, Check
from interconnected_ai.errors import ConfigError, InterconnectedAIError
from interconnected_ai.training import encoder_of_run, shape_for, with_encoder

_DEFAULTS = TrainingConfig()


def checklist(
    config: RunConfig,
    *,
    relative_to: Path | None = None,
    splits: Splits | None = None,
    encoder: Encoder | None = None,
) -> list[Check]:
    """Everything that can be known of a run before it begins, the document's seven first. Nothing is written.

    relative_to: the folder that data paths start at. splits, encoder: read and loaded already, in place of doing it here.
    """
    failed: list[Check] = []
    try:
        splits = splits or load_splits(config.data, relative_to=relative_to)
        config = with_encoder(config, encoder_of_run(config, splits, encoder=encoder))
        config = config.with_changes(system=shape_for(config, splits).to_dict())
    except InterconnectedAIError as error:
        splits = None
        failed.append(
            Check("rows can be read", "fails", str(error), "put the data, or what the config says of it, right")
        )
    try:
        encoder = encoder or Encoder.load(config.system.base_model_name, max_seq_len=config.system.max_seq_len)
    except InterconnectedAIError as error:
        failed.append(
            Check("encoder loads", "fails", str(error), "name an encoder that loads, or none for an embedded one")
        )
    ahead = Ahead(config, splits, encoder)
    looks: tuple[Look, ...] = (*_OF_THE_DOCUMENT, _rates_in_range, *rows.CHECKS, *machine.CHECKS)
    return [*failed, *(check for look in looks if (check := look(ahead)) is not None)]


# The document's seven


def _encoder_frozen(ahead: Ahead) -> Check | None:
    name, encoder, config = "encoder frozen", ahead.encoder, ahead.config.system
    if encoder is None:
        return None
    own = {n: p for n, p in encoder.named_parameters() if ".lora." not in n}
    learning = [n for n, parameter in own.items() if parameter.requires_grad]
    count = sum(parameter.numel() for parameter in own.values())
    if learning:
        told = f"{len(learning)} of its tensors learn, the first is {learning[0]}"
        return Check(name, "warning", told, "call requires_grad_(False) on the encoder before handing it over")
    first = ", before all else" if ahead.config.training.encoder_steps else ""
    beside = f"; a LoRA of rank {config.encoder_lora_rank} beside them does{first}" if config.encoder_lora_rank else ""
    return Check(name, "ok", f"none of its {count:,} parameters learns{beside}")


def _clipping_on(ahead: Ahead) -> Check:
    clip = ahead.config.training.gradient_clip
    if clip > limit.CLIP.value:
        changes = {"training.gradient_clip": _DEFAULTS.gradient_clip}
        return Check("clipping on", "warning", f"at a norm of {clip:g} it hardly ever acts", "clip at 1.0", changes)
    return Check("clipping on", "ok", f"gradients are clipped at a norm of {clip:g}")


def _balance_weight_set(ahead: Ahead) -> Check:
    name, system, weight = "balance weight set", ahead.config.system, ahead.config.training.balance_loss_weight
    if system.ffn == "dense" or not system.num_moe_layers:
        return Check(name, "ok", "there are no experts to balance")
    if 0 < weight <= limit.BALANCE_WEIGHT.value:
        return Check(name, "ok", f"{weight:g}")
    why = "routers may send everything to a few experts" if weight == 0 else "it drowns the task"
    changes = {"training.balance_loss_weight": _DEFAULTS.balance_loss_weight}
    return Check(name, "warning", f"{weight:g}: {why}", "set balance_loss_weight to 0.01", changes)


def _rates_differ(ahead: Ahead) -> Check:
    name, rates = "rates differ per group", _rates(ahead)
    told = ", ".join(f"{key} {rate:g}" for key, rate in rates.items())
    if len(set(rates.values())) > 1:
        return Check(name, "ok", told)
    changes = {f"training.{key}": getattr(_DEFAULTS, key) for key in rates}
    remedy = "the shared trunk learns slower than what stands on it: " + ", ".join(
        f"{key.removeprefix('training.')} {rate:g}" for key, rate in changes.items()
    )
    return Check(name, "warning", told, remedy, changes)


def _rates_in_range(ahead: Ahead) -> Check:
    name, rates = "rates in range", _rates(ahead)
    high = {"lr_moe": limit.TRUNK_RATE.value}
    wrong = {key: rate for key, rate in rates.items() if rate > high.get(key, limit.BRANCH_RATE.value)}
    if not wrong:
        return Check(name, "ok", f"lr_moe up to {limit.TRUNK_RATE.value:g}, others up to {limit.BRANCH_RATE.value:g}")
    told = ", ".join(f"{key} {rate:g}" for key, rate in wrong.items())
    changes = {f"training.{key}": getattr(_DEFAULTS, key) for key in wrong}
    remedy = "the loss will jump or grow; the document's are " + ", ".join(
        f"{key.removeprefix('training.')} {rate:g}" for key, rate in changes.items()
    )
    return Check(name, "warning", told, remedy, changes)


def _rates(ahead: Ahead) -> dict[str, float]:
    system = ahead.config.system
    names = ["lr_moe", "lr_adapter", "lr_head"]
    names += ["lr_wide"] * bool(system.wide_terms) + _lora_rates(ahead)
    return {name: getattr(ahead.config.training, name) for name in names}


def _lora_rates(ahead: Ahead) -> list[str]:
    if not ahead.config.system.encoder_lora_rank:
        return []
    return ["lr_encoder" if ahead.config.training.encoder_steps else "lr_encoder_lora"]


def _every_batch_holds_every_branch(ahead: Ahead) -> Check | None:
    name, training = "every batch holds every branch", ahead.config.training
    if ahead.splits is None:
        return None
    train, parts = ahead.splits.train, training.accumulation_steps * int(os.environ.get("WORLD_SIZE", "1"))
    try:
        batches = ahead.plan.epoch(0)
    except ConfigError as error:
        wanted = -(-4 * len(train.labels) // training.accumulation_steps) * training.accumulation_steps
        return Check(name, "fails", str(error), f"set batch_size to {wanted}", {"training.batch_size": wanted})
    smallest = min(len(batch) for batch in batches)
    if smallest < parts:
        told = f"batches of {smallest} rows cannot be dealt out over {parts} parts"
        return Check(name, "fails", told, "lower accumulation_steps or the number of processes")
    counts = _rows_in_batches(train, batches)
    absent = {branch: sum(count == 0 for count in found) for branch, found in counts.items() if min(found) == 0}
    if absent:
        told = ", ".join(f"{branch} is missing in {n} of {len(batches)} batches" for branch, n in absent.items())
        return Check(name, "warning", told, "raise batch_size, or give the branch more labelled rows")
    means = {branch: sum(found) / len(batches) for branch, found in counts.items()}
    told = (
        ", ".join(f"{branch} {mean:.1f} rows" for branch, mean in means.items())
        + f" in a batch, of {len(batches)} batches"
    )
    if starved := [b for b, mean in means.items() if limit.is_starved(mean, sum(means.values()), len(means))]:
        remedy = f"give {', '.join(starved)} more rows, or add it later: iai branch add RUN NAME --data FILE"
        return Check(name, "warning", told, remedy)
    return Check(name, "ok", told)


def _rows_in_batches(rows: Rows, batches: Sequence[np.ndarray]) -> dict[str, list[int]]:
    """For each branch how many of its labelled rows each batch holds."""
    shown = np.concatenate(batches)
    batch_of = np.repeat(np.arange(len(batches)), [len(batch) for batch in batches])
    order = np.argsort(shown, kind="stable")
    counts = {}
    for branch in rows.branch_names:
        labelled = np.array(rows.rows_of(branch), dtype=np.int64)
        first, end = (np.searchsorted(shown, labelled, side=side, sorter=order) for side in ("left", "right"))
        places = (
            np.concatenate([np.arange(a, b) for a, b in zip(first, end, strict=True)]) if len(labelled) else labelled
        )
        counts[branch] = np.bincount(batch_of[order[places]], minlength=len(batches)).tolist()
    return counts


def _checkpoints_on(ahead: Ahead) -> Check | None:
    name, every = "checkpoints on", ahead.config.training.checkpoint_every_steps
    try:
        steps = ahead.plan.steps_per_epoch * ahead.config.training.epochs if ahead.splits else 0
    except ConfigError:
        return None
    if steps and every > steps:
        wanted = max(1, steps // 10)
        told = f"the first would come at step {every}, the run has {steps}: a crash costs all of it"
        changes = {"training.checkpoint_every_steps": wanted}
        return Check(name, "warning", told, f"set checkpoint_every_steps to {wanted}", changes)
    return Check(name, "ok", f"every {every} steps" + (f" of {steps}" if steps else ""))


_PACKAGES = {"tensorboard": ("tensorboard", "training"), "wandb": ("wandb", "wandb")}


def _monitoring_on(ahead: Ahead) -> Check:
    return monitoring_on(ahead.config.training.monitors)


def monitoring_on(monitors: Sequence[str]) -> Check:
    """Whether somebody draws the curves, and can."""
    name = "monitoring on"
    missing = [monitor for monitor in monitors if find_spec(_PACKAGES[monitor][0]) is None]
    if missing:
        extra = _PACKAGES[missing[0]][1]
        kept = [monitor for monitor in monitors if monitor not in missing]
        remedy = f'pip install "interconnected-ai[{extra}]", or take {missing[0]} out of monitors'
        return Check(name, "fails", f"{missing[0]} is not installed", remedy, {"training.monitors": kept})
    if not monitors:
        changes: dict[str, Any] = {"training.monitors": ["tensorboard"]}
        told = "nothing draws the curves; they go to metrics.jsonl alone"
        return Check(name, "warning", told, "set monitors to [tensorboard]", changes)
    if "wandb" in monitors and not _may_use_wandb():
        told = "wandb is asked for, and neither WANDB_API_KEY, a login nor WANDB_MODE=offline is there"
        return Check(name, "warning", told, "log in with `wandb login`, or set WANDB_MODE=offline")
    return Check(name, "ok", f"metrics.jsonl, {', '.join(monitors)}")


def _may_use_wandb() -> bool:
    if os.environ.get("WANDB_MODE") in ("offline", "disabled") or os.environ.get("WANDB_API_KEY"):
        return True
    netrc = Path.home() / ".netrc"
    return netrc.is_file() and "wandb" in netrc.read_text(encoding="utf-8", errors="replace")


Look = Callable[[Ahead], Check | None]

_OF_THE_DOCUMENT: tuple[Look, ...] = (
    _encoder_frozen,
    _clipping_on,
    _balance_weight_set,
    _rates_differ,
    _every_batch_holds_every_branch,
    _checkpoints_on,
    _monitoring_on,
)
