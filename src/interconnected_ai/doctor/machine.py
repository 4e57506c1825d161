"""Checks of the machine: device and precision, memory, disk, and the folder that the run will write."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from interconnected_ai.doctor import thresholds as limit
from interconnected_ai.doctor.ahead import Ahead, Check
from interconnected_ai.doctor.memory import size_in_words, smaller_parts, training_demand
from interconnected_ai.errors import ConfigError, StorageError
from interconnected_ai.planner import feature_cache_bytes
from interconnected_ai.training import bfloat16_speedup, choose, refuse_taken_folder

# Beyond this share of what the device has in all, no closing of other programs helps, and the count is off by no more.
_SURELY_TOO_MUCH = 1.1


def _precision_fast(ahead: Ahead) -> Check:
    name, training = "precision fast here", ahead.config.training
    try:
        choice = choose(training.device, training.precision)
    except ConfigError as error:
        changes = {"training.device": "auto", "training.precision": "auto"}
        return Check("device is there", "fails", str(error), "set device and precision to auto", changes)
    speedup = bfloat16_speedup(choice.device)
    told = f"{training.precision} on {choice.device}: bfloat16 products run at {speedup:.2f} × the speed of float32"
    if training.precision == "bfloat16" and speedup < limit.SLOW_PRECISION.value:
        return Check(name, "warning", told, "set precision to auto or float32", {"training.precision": "auto"})
    if training.precision == "float32" and choice.device.type != "cpu" and speedup > limit.FAST_PRECISION.value:
        return Check(name, "warning", told, "set precision to auto or bfloat16", {"training.precision": "auto"})
    return Check(name, "ok", told)


def _fits_memory(ahead: Ahead) -> Check | None:
    name, training = "fits memory", ahead.config.training
    if ahead.splits is None:
        return None
    if ahead.shape is None:
        told = f"the planner does not know the encoder {ahead.config.system.base_model_name!r} and cannot count"
        return Check(name, "warning", told, "watch the first steps; if memory runs out, raise accumulation_steps")
    demand = training_demand(training, ahead.shape, ahead.tokens_per_text)
    if demand is None:
        return None
    if demand.peak_bytes <= limit.MEMORY.value * demand.free_bytes:
        return Check(name, "ok", demand.words)
    changes = smaller_parts(training, ahead.shape, ahead.tokens_per_text)
    remedy = ", ".join(f"{setting.partition('.')[2]}={value}" for setting, value in changes.items())
    surely = demand.peak_bytes > _SURELY_TOO_MUCH * demand.total_bytes
    return Check(name, "fails" if surely else "warning", demand.words, f"take less at once: {remedy}", changes)


def _disk_space(ahead: Ahead) -> Check | None:
    name, training, shape = "disk space", ahead.config.training, ahead.shape
    if ahead.splits is None or shape is None:
        return None
    output = Path(ahead.config.output)
    places = {output: _checkpoint_bytes(ahead)}
    if training.cache_features and not shape.encoder_learns:
        place = Path(training.feature_cache) if training.feature_cache else output / "features"
        texts = len({*ahead.splits.train.texts, *ahead.splits.validation.texts})
        cache = feature_cache_bytes(shape, num_texts=texts, tokens_per_text=ahead.tokens_per_text)
        # What an earlier run kept there serves again.
        places[place] = 0 if place.is_dir() and any(place.rglob("*.npy")) else cache
    disks: dict[int, int] = {}
    free = {}
    for place, size in places.items():
        there = _existing(place)
        disk = os.stat(there).st_dev
        disks[disk], free[disk] = disks.get(disk, 0) + size, shutil.disk_usage(there).free
    told = "; ".join(f"{size_in_words(size)} of {size_in_words(free[disk])} free" for disk, size in disks.items())
    told = f"feature cache, checkpoints and model take {told}"
    if all(size <= free[disk] for disk, size in disks.items()):
        return Check(name, "ok", told)
    remedy = (
        "free some space, set training.feature_cache or output to another disk, or training.cache_features to false"
    )
    return Check(name, "fails", told, remedy, {"training.cache_features": False, "training.keep_checkpoints": 1})


def _checkpoint_bytes(ahead: Ahead) -> int:
    """Checkpoints with AdamW's two moments (one more than are kept, while it is written), the best weights, the model."""
    assert ahead.shape is not None
    learnt = ahead.shape.num_trainable_params + (
        0 if ahead.shape.before is None else ahead.shape.before.num_trainable_params
    )
    return 4 * learnt * (3 * (ahead.config.training.keep_checkpoints + 1) + 2)


def _output_free(ahead: Ahead) -> Check:
    name, output = "output folder free", Path(ahead.config.output)
    try:
        refuse_taken_folder(output, resume=False, overwrite=False)
    except StorageError as error:
        return Check(name, "warning", str(error), "start with --resume or --overwrite, or name another output")
    there = _existing(output)
    if not os.access(there, os.W_OK):
        return Check(name, "fails", f"{there} cannot be written", "name another output")
    return Check(name, "ok", str(output))


def _existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that is there."""
    path = path.absolute()
    return next(part for part in (path, *path.parents) if part.exists())


CHECKS: tuple[Callable[[Ahead], Check | None], ...] = (_precision_fast, _fits_memory, _disk_space, _output_free)
