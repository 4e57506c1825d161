"""Accelerate's view of a process, and how it was asked to spread the weights."""

import os
import sys
from contextlib import redirect_stdout
from importlib.util import find_spec
from typing import Any

import torch

from interconnected_ai.errors import TrainingError
from interconnected_ai.extras import require
from interconnected_ai.training.devices import Choice
from interconnected_ai.training.parallelism.fsdp import FullySharded, shard_over_cpus
from interconnected_ai.training.parallelism.replicated import Parallelism
from interconnected_ai.training.parallelism.zero import Zero, load_models_whole, zero_over_cpus


def open_accelerator(choice: Choice) -> Any:
    """Accelerate's view of this process: device, processes, mixed precision."""
    accelerate = require("accelerate", "training", "training")
    precision = {torch.float32: "no", torch.bfloat16: "bf16", torch.float16: "fp16"}[choice.dtype]
    if _asked_for("DEEPSPEED") or find_spec("deepspeed") is not None:
        # Accelerate imports it wherever it is installed, and it logs to what stdout is then: commands print JSON there
        with redirect_stdout(sys.stderr):
            require("deepspeed", "deepspeed", "training under DeepSpeed")
    if accelerate.state.AcceleratorState._shared_state:
        # A second training in one process may ask for another precision; Accelerate keeps the first one otherwise, and would
        # not find its way back to FSDP.
        accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = accelerate.Accelerator(mixed_precision=precision, cpu=choice.device.type == "cpu")
    if _kind(accelerator) == "MULTI_CPU":
        if _asked_for("FSDP"):
            shard_over_cpus(accelerator, precision)
        if _asked_for("DEEPSPEED"):
            zero_over_cpus(accelerator)
    if _kind(accelerator) == "DEEPSPEED":
        load_models_whole()
    return accelerator


def parallelism_of(accelerator: Any) -> Parallelism:
    """How this launch spreads the weights. Raises `TrainingError` for ways that are not supported."""
    kind = _kind(accelerator)
    if kind == "MEGATRON_LM":
        raise TrainingError(
            "training under Megatron-LM is not supported: it knows its own models only. Launch without it, with FSDP2 "
            "(accelerate launch --use_fsdp --fsdp_version 2) or with DeepSpeed"
        )
    if kind == "DEEPSPEED":
        return Zero(accelerator)
    if kind != "FSDP":
        return Parallelism(accelerator)
    if accelerator.state.fsdp_plugin.fsdp_version != 2:
        raise TrainingError(
            "FSDP version 1 is not supported: it flattens parameters, which cannot be told apart in a checkpoint. Use "
            "version 2 (accelerate launch --use_fsdp --fsdp_version 2, or FSDP_VERSION=2)"
        )
    return FullySharded(accelerator)


def spreads_weights() -> bool:
    """Whether this process was launched to hold a piece of the weights, the gradients or the optimiser's state alone."""
    return _asked_for("FSDP") or _asked_for("DEEPSPEED")


def _asked_for(what: str) -> bool:
    return os.environ.get(f"ACCELERATE_USE_{what}", "").lower() == "true"


def _kind(accelerator: Any) -> str:
    """Accelerate's name for how the processes share the work."""
    return str(accelerator.distributed_type).rpartition(".")[2]
