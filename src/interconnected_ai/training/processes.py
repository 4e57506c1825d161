"""The processes of one training: where and in which precision they compute, and what each of them does of a batch."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

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
        """Raises `ConfigError` for a device this machine lacks, `TrainingError` where no process would hold whole weights."""
        choice = choose(device, precision)
        accelerator = _accelerator(choice)
        _require_whole_weights(accelerator)
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
            "processes (DDP) work: each holds whole weights"
        )
