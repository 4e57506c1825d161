"""Whole tensors out of the pieces that processes hold, and back."""

from collections.abc import Iterator
from typing import Any, cast

from torch import Tensor, nn


def whole(tensor: Tensor) -> Tensor:
    """A parameter or DTensor gathered, detached, from the processes that hold pieces of it; all of them must ask.

    Other tensors are handed back. ZeRO's parameters come in float32, as the optimiser holds them.
    """
    if hasattr(tensor, "full_tensor"):
        spread: Any = tensor.detach()
        return cast(Tensor, spread.full_tensor())
    if hasattr(tensor, "ds_id") or hasattr(tensor, "_hp_mapping"):
        from deepspeed.utils import safe_get_full_fp32_param

        return cast(Tensor, safe_get_full_fp32_param(tensor)).detach()
    return tensor.detach()


def spread_like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """This process's piece of a whole tensor, cut as the parameter is; the tensor itself where that is whole."""
    if not hasattr(parameter, "full_tensor"):
        return tensor.to(parameter.device)
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(parameter, DTensor)
    return distribute_tensor(tensor.to(parameter.device), parameter.device_mesh, parameter.placements)


def kept_buffers(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The buffers that belong to what a model saves, by name: statistics, not tables that it can compute again."""
    for prefix, module in model.named_modules():
        for name, buffer in module.named_buffers(prefix, recurse=False):
            if name.rpartition(".")[2] not in module._non_persistent_buffers_set:
                yield name, buffer


def held_params(model: nn.Module) -> tuple[int, int]:
    """How many of a model's parameters this process holds, and how many there are."""
    held = total = 0
    for parameter in model.parameters():
        piece = getattr(parameter, "ds_tensor", parameter)  # ZeRO-3 leaves an empty tensor in the model, and keeps this
        held += (piece.to_local() if hasattr(piece, "to_local") else piece).numel()
        total += getattr(parameter, "ds_numel", parameter.numel())
    return held, total
