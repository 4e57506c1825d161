"""FSDP2 (`torch.distributed.fsdp.fully_shard`; Zhao et al. 2023): each process holds a piece of every tensor."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from interconnected_ai.config import LoopConfig
from interconnected_ai.training.parallelism.replicated import Parallelism


class FullySharded(Parallelism):
    """A piece of every tensor, its gradient and its optimiser state; layers are gathered when they are needed."""

    shards = True

    @property
    def name(self) -> str:
        """For people."""
        return "FSDP2"

    def place(self, model: nn.Module) -> nn.Module:
        """A copy to be spread: a model that was cannot be made whole again."""
        return copy.deepcopy(model.cpu())

    def see(self, *, outputs: Sequence[type], first: nn.Module) -> None:
        """FSDP looks into registered dataclasses alone. Without it the gathered weights of a module may be gone when its
        gradient is computed, which no error tells.
        """
        from torch.export import register_dataclass
        from torch.utils import _pytree

        for kind in outputs:
            if kind not in _pytree.SUPPORTED_NODES:
                register_dataclass(kind)

    def prepare(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, config: LoopConfig
    ) -> tuple[nn.Module, torch.optim.Optimizer]:
        """The model in pieces, and its optimiser. Accelerate would spread every tensor that a model saves, buffers too, which
        cannot be; it leaves those alone that are not saved. So none counts as saved meanwhile.
        """
        saved = [(module, set(module._buffers) - module._non_persistent_buffers_set) for module in model.modules()]
        for module, names in saved:
            module._non_persistent_buffers_set |= names
        try:
            return super().prepare(model, optimizer, config)
        finally:
            for module, names in saved:
                module._non_persistent_buffers_set -= names

    def weights(self, model: nn.Module) -> dict[str, Tensor]:
        """Trained tensors and kept buffers by name, whole."""
        _hold_pieces(model)
        return super().weights(model)

    def optimizer_tensors(self, optimizer: Any, model: nn.Module) -> dict[str, Tensor]:
        """The optimiser's state by name, whole."""
        _hold_pieces(model)
        return super().optimizer_tensors(optimizer, model)


def _hold_pieces(model: nn.Module) -> None:
    """Let go of what was gathered for an evaluation: the model would show whole tensors, which the optimiser does not know."""
    from torch.distributed.fsdp import FSDPModule

    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def shard_over_cpus(accelerator: Any, precision: str) -> None:
    """Do on CPUs what was asked for: Accelerate leaves FSDP to accelerators, PyTorch itself does not."""
    from accelerate import FullyShardedDataParallelPlugin, PartialState
    from accelerate.utils import DistributedType

    plugin = FullyShardedDataParallelPlugin()
    if precision != "no":
        plugin.set_mixed_precision(precision)
    accelerator.state._shared_state.update(distributed_type=DistributedType.FSDP, fsdp_plugin=plugin)
    # from which Accelerate fills its state again and again
    PartialState._shared_state["distributed_type"] = DistributedType.FSDP
