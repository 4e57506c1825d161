"""The processes of one training: where and in which precision they compute, and what each of them does of a batch.

Either every process holds the whole model (one process, DDP), or each holds a piece of every tensor and they gather a layer
when they need it (FSDP2: `fully_shard`, Zhao et al. 2023), which leaves more room for activations.
"""

import copy
import os
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from interconnected_ai.errors import TrainingError
from interconnected_ai.extras import require
from interconnected_ai.training.batches import share_of
from interconnected_ai.training.devices import Choice, choose


@dataclass(frozen=True)
class Processes:
    """One training's device and precision with their reason, and Accelerate's view of the processes that share it."""

    choice: Choice
    accelerator: Any

    @classmethod
    def open(cls, device: str, precision: Any) -> "Processes":
        """Raises `ConfigError` for a device this machine lacks, `TrainingError` for a way of spreading that is unsupported."""
        choice = choose(device, precision)
        accelerator = _accelerator(choice)
        _require_known_spreading(accelerator)
        return cls(choice, accelerator)

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return cast(torch.device, self.accelerator.device)

    @property
    def is_main(self) -> bool:
        """Whether this process writes the run's folder."""
        return bool(self.accelerator.is_main_process)

    @property
    def count(self) -> int:
        """How many processes there are."""
        return int(self.accelerator.num_processes)

    @property
    def index(self) -> int:
        """This process's number."""
        return int(self.accelerator.process_index)

    @property
    def precision(self) -> str:
        """As configs write it: float32, bfloat16 or float16."""
        return str(self.choice.dtype).removeprefix("torch.")

    @property
    def spread_weights(self) -> bool:
        """Whether each process holds but a piece of every tensor."""
        return _kind(self.accelerator) == "FSDP"

    def place(self, model: nn.Module) -> nn.Module:
        """The model to train: this one, on the device; or, where weights are spread, a copy of it that will be spread.

        The original then waits in ordinary memory, whole, for the trained weights.
        """
        if not self.spread_weights:
            return model.to(self.device)
        return copy.deepcopy(model.cpu())

    def agree(self, value: float) -> float:
        """The main process's value: what all must decide alike, though their last digits may differ."""
        if self.count == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        torch.distributed.broadcast(shared if self.device.type == "cpu" else shared.to(self.device), src=0)
        return float(shared)

    def parts(self, batch: np.ndarray, num_parts: int) -> list[np.ndarray]:
        """This process's rows of a whole batch, in the parts that it computes one after another."""
        mine = share_of(batch, self.index, self.count)
        return [share_of(mine, number, num_parts) for number in range(num_parts)]

    def total(self, tensor: Tensor) -> Tensor:
        """A tensor summed over all processes."""
        return cast(Tensor, self.accelerator.reduce(tensor, reduction="sum"))

    def wait(self) -> None:
        """Go on when all processes are here."""
        self.accelerator.wait_for_everyone()


def whole(tensor: Tensor) -> Tensor:
    """A tensor gathered from the processes that hold pieces of it; all of them must ask. Others are handed back."""
    return cast(Tensor, tensor.full_tensor()) if hasattr(tensor, "full_tensor") else tensor


def let_fsdp_see(*kinds: type) -> None:
    """Name the dataclasses that modules return: FSDP looks into registered ones alone for the tensors that gradients enter by.

    Without it the gathered weights of a module may be gone when its gradient is computed, which no error tells.
    """
    from torch.export import register_dataclass
    from torch.utils import _pytree

    for kind in kinds:
        if kind not in _pytree.SUPPORTED_NODES:
            register_dataclass(kind)


def held_params(model: nn.Module) -> tuple[int, int]:
    """How many of a model's parameters this process holds, and how many there are."""
    parameters = list(model.parameters())
    held = [p.to_local() if hasattr(p, "to_local") else p for p in parameters]
    return sum(p.numel() for p in held), sum(p.numel() for p in parameters)


def spread_like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """This process's piece of a whole tensor, cut as the parameter is; the tensor itself where that is whole."""
    if not hasattr(parameter, "full_tensor"):
        return tensor.to(parameter.device)
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(parameter, DTensor)
    return distribute_tensor(tensor.to(parameter.device), parameter.device_mesh, parameter.placements)


def _accelerator(choice: Choice) -> Any:
    """Accelerate's view of this process: device, processes, mixed precision."""
    accelerate = require("accelerate", "training", "training")
    precision = {torch.float32: "no", torch.bfloat16: "bf16", torch.float16: "fp16"}[choice.dtype]
    if accelerate.state.AcceleratorState._shared_state:
        # A second training in one process may ask for another precision; Accelerate keeps the first one otherwise, and would
        # not find its way back to FSDP.
        accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = accelerate.Accelerator(mixed_precision=precision, cpu=choice.device.type == "cpu")
    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true" and _kind(accelerator) == "MULTI_CPU":
        _spread_over_cpus(accelerator, precision)
    return accelerator


def _spread_over_cpus(accelerator: Any, precision: str) -> None:
    """Do on CPUs what was asked for: Accelerate leaves FSDP to accelerators, PyTorch itself does not."""
    from accelerate import FullyShardedDataParallelPlugin, PartialState
    from accelerate.utils import DistributedType

    plugin = FullyShardedDataParallelPlugin()
    if precision != "no":
        plugin.set_mixed_precision(precision)
    accelerator.state._shared_state.update(distributed_type=DistributedType.FSDP, fsdp_plugin=plugin)
    PartialState._shared_state["distributed_type"] = (
        DistributedType.FSDP
    )  # from which the state is filled again and again


def _kind(accelerator: Any) -> str:
    """Accelerate's name for how the processes share the work."""
    return str(accelerator.distributed_type).rpartition(".")[2]


def _require_known_spreading(accelerator: Any) -> None:
    kind = _kind(accelerator)
    if kind in ("DEEPSPEED", "MEGATRON_LM"):
        raise TrainingError(
            f"training under {kind} is not supported: its checkpoints would not be whole. Launch without it, or with FSDP2 "
            "(accelerate launch --use_fsdp --fsdp_version 2)"
        )
    if kind == "FSDP" and accelerator.state.fsdp_plugin.fsdp_version != 2:
        raise TrainingError(
            "FSDP version 1 is not supported: it flattens parameters, which cannot be told apart in a checkpoint. Use "
            "version 2 (accelerate launch --use_fsdp --fsdp_version 2, or FSDP_VERSION=2)"
        )
