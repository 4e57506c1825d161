"""The processes of one training: where and in which precision they compute, and what each of them does of a batch."""

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from interconnected_ai.data import share_of
from interconnected_ai.training.devices import Choice, choose
from interconnected_ai.training.parallelism import Parallelism, open_accelerator, parallelism_of

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Processes:
    """One training's device and precision with their reason, Accelerate's view of the processes that share it, and what each
    of them holds.
    """

    choice: Choice
    accelerator: Any
    parallelism: Parallelism

    @classmethod
    def open(cls, device: str, precision: Any) -> "Processes":
        """Raises `ConfigError` for a device this machine lacks, `TrainingError` for parallelism that is unsupported."""
        return cls.of(choose(device, precision))

    @classmethod
    def of(cls, choice: Choice) -> "Processes":
        """Computing as chosen, in the main process's precision."""
        opened = cls._with(choice)
        agreed = _DTYPES[int(opened.agree(_DTYPES.index(opened.choice.dtype)))]
        if agreed != opened.choice.dtype:  # precision "auto" is measured, and processes may measure otherwise
            opened = cls._with(replace(opened.choice, dtype=agreed, reason="measured by the main process"))
        return opened

    @classmethod
    def _with(cls, choice: Choice) -> "Processes":
        accelerator = open_accelerator(choice)
        return cls(choice, accelerator, parallelism_of(accelerator))

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

    def agree(self, value: float) -> float:
        """The main process's value: what all must decide alike, though their last digits may differ. All processes must ask."""
        if self.count == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.device)  # the very tensor that is received into
        torch.distributed.broadcast(shared, src=0)
        return shared.item()

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
