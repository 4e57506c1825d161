"""How a training's weights, gradients and optimiser state are spread over its processes.

`Parallelism` leaves them whole in every process (one process, DDP); `FullySharded` is FSDP2; `Zero` is DeepSpeed's ZeRO.
"""

from interconnected_ai.training.parallelism.fsdp import FullySharded
from interconnected_ai.training.parallelism.replicated import Parallelism
from interconnected_ai.training.parallelism.start import open_accelerator, parallelism_of, spreads_weights
from interconnected_ai.training.parallelism.tensors import whole
from interconnected_ai.training.parallelism.zero import Zero

__all__ = ["FullySharded", "Parallelism", "Zero", "open_accelerator", "parallelism_of", "spreads_weights", "whole"]
