"""AdamW's state as named tensors, and back."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from interconnected_ai.errors import StorageError
from interconnected_ai.training.parallelism.tensors import spread_like, whole


def optimizer_tensors(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """AdamW's state as "parameter/key", whole, on the CPU."""
    names = {id(p): name for name, p in model.named_parameters()}
    return {
        f"{names[id(parameter)]}/{key}": whole(torch.as_tensor(value)).cpu()
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put AdamW's state back; raises `StorageError` when it belongs to another set of parameters."""
    names = {id(p): name for name, p in model.named_parameters()}
    by_name = by_parameter(tensors, model)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            for key, tensor in by_name.get(names[id(parameter)], {}).items():
                if key != "step":
                    tensor = spread_like(tensor, parameter)
                elif group["fused"]:  # only then does AdamW keep its step counter beside the parameter
                    tensor = tensor.to(parameter.device)
                optimizer.state[parameter][key] = tensor


def by_parameter(tensors: Mapping[str, Tensor], model: nn.Module) -> dict[str, dict[str, Tensor]]:
    """ "parameter/key" → tensor as parameter → key → tensor; raises `StorageError` for parameters the model lacks."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        parameter, _, key = name.rpartition("/")
        found.setdefault(parameter, {})[key] = tensor
    if unknown := set(found) - {name for name, _ in model.named_parameters()}:
        raise StorageError(f"the checkpoint's optimiser knows {sorted(unknown)[0]!r}, which this system does not train")
    return found
