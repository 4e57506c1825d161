"""What a training has taught the routers, as a step of the log: recipes hold it, `undo` takes it back."""

from collections.abc import Mapping

import torch
from torch import Tensor

from interconnected_ai.surgery.model import MoE
from interconnected_ai.surgery.operations.experts import set_routers


def routers_of(moe: MoE) -> dict[str, Tensor]:
    """A copy of all routers: LAYER.NAME → numbers."""
    return {
        f"{layer.number}.{name}": parameter.detach().clone()
        for layer in moe.layers
        for name, parameter in layer.router.named_parameters()
    }


@torch.no_grad()
def log_routers(moe: MoE, before: Mapping[str, Tensor]) -> None:
    """Make what the routers have learnt a step, which a recipe holds and `undo` takes back."""
    learnt = routers_of(moe)
    for layer in moe.layers:
        for name, parameter in layer.router.named_parameters():
            parameter.data.copy_(before[f"{layer.number}.{name}"])
    moe.session.perform(set_routers(moe.session, learnt))
