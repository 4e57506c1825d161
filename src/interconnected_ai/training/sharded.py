"""Weights that are spread over processes (FSDP): gathered whole for a checkpoint, and dealt out again."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def gather(model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Trained tensors by name and AdamW's state as "name/key", whole, on the CPU. All processes must call it."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
    found: tuple[Any, Any] = get_state_dict(model, optimizer, options=options)
    weights, state = found
    moments = {
        f"{name}/{key}": torch.as_tensor(value)
        for name, entries in state.get("state", {}).items()
        for key, value in entries.items()
    }
    return {name: tensor for name, tensor in weights.items() if isinstance(tensor, Tensor)}, moments


def scatter(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    weights: Mapping[str, Tensor],
    moments: Mapping[str, Tensor],
) -> None:
    """Put back what `gather` gave, each process its share. All processes must call it with the same tensors."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict, set_state_dict

    options = StateDictOptions(full_state_dict=True, ignore_frozen_params=True, strict=False)
    state: dict[str, Any] = dict(get_optimizer_state_dict(model, optimizer, options=options))
    entries: dict[str, dict[str, Tensor]] = {}
    for key, tensor in moments.items():
        name, _, entry = key.rpartition("/")
        entries.setdefault(name, {})[entry] = tensor
    state["state"] = entries
    set_state_dict(model, optimizer, model_state_dict=dict(weights), optim_state_dict=state, options=options)
