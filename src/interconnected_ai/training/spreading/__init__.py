"""How a training's weights, gradients and optimiser state are spread over its processes.

`Spreading` leaves them whole in every process (one process, DDP); `FullySharded` is FSDP2; `Zero` is DeepSpeed's ZeRO.
"""

from interconnected_ai.training.spreading.fsdp import FullySharded
from interconnected_ai.training.spreading.plain import Spreading
from interconnected_ai.training.spreading.start import open_accelerator, spreading_of
from interconnected_ai.training.spreading.tensors import whole
from interconnected_ai.training.spreading.zero import Zero

__all__ = ["FullySharded", "Spreading", "Zero", "open_accelerator", "spreading_of", "whole"]
