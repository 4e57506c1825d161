"""A torch that runs out of memory at a chosen allocation, and what must be the same when it did."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

from interconnected_ai.surgery import MoE
from interconnected_ai.surgery.adapters import offload
from interconnected_ai.surgery.checkpoints import saving

# What may come out of an allocation, or instead of it.
KINDS: tuple[type[BaseException], ...] = (MemoryError, torch.OutOfMemoryError, KeyboardInterrupt)


class Faults(TorchDispatchMode):
    """Counts the operations that allocate, and raises at one of them (or, `lasting`, at all from there on).

    inside: for each allocation, whether it was made in a forward pass.
    """

    def __init__(
        self, at: int | None = None, error: type[BaseException] = MemoryError, *, lasting: bool = False
    ) -> None:
        super().__init__()
        self.at, self.error, self.lasting = at, error, lasting
        self.inside: list[bool] = []
        self.depth = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        before = {storage(each) for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
        out = func(*args, **kwargs)
        if any(storage(each) not in before for each in tree_leaves(out) if isinstance(each, Tensor)):
            self.count()
        return out

    def count(self) -> None:
        """One allocation more, which may fail."""
        self.inside.append(self.depth > 0)
        number = len(self.inside) - 1
        if self.at is not None and (number == self.at or (self.lasting and number > self.at)):
            raise self.error("no memory for this one")

    def in_one(self, reading: Callable[..., Any]) -> Callable[..., Any]:
        """A function that reads files as one allocation: safetensors cannot under a dispatch mode."""

        def read(*args: Any, **kwargs: Any) -> Any:
            self.count()
            with _disable_current_modes():
                return reading(*args, **kwargs)

        return read


def storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


@contextmanager
def faults(
    at: int | None = None, error: type[BaseException] = MemoryError, *, lasting: bool = False
) -> Iterator[Faults]:
    mode = Faults(at, error, lasting=lasting)

    def enter(*args: Any) -> None:
        mode.depth += 1

    def leave(*args: Any) -> None:
        mode.depth -= 1

    handles = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave, always_call=True)]
    try:
        with (
            mode,
            patch.object(offload, "load_tensors", mode.in_one(offload.load_tensors)),
            patch.object(saving, "load_session", mode.in_one(saving.load_session)),
        ):
            yield mode
    finally:
        for handle in handles:
            handle.remove()


def sites(inside: list[bool], most: int | None) -> list[int]:
    """Which allocations to fail at: at most so many outside of forward passes and a tenth of that within, or all."""
    outside = [number for number, within in enumerate(inside) if not within]
    passing = [number for number, within in enumerate(inside) if within]
    return sorted([*_spread(outside, most), *_spread(passing, None if most is None else max(most // 10, 2))])


def _spread(numbers: list[int], most: int | None) -> list[int]:
    if most is None or len(numbers) <= most:
        return numbers
    return [numbers[i * (len(numbers) - 1) // (most - 1)] for i in range(most)]


def state(moe: MoE, ids: Tensor, *, outputs: bool = True) -> dict[str, Any]:
    """All that must be as it was: numbers, objects, classes, configs, settings, log, answers."""
    model, session = moe.model, moe.session
    with torch.no_grad():
        logits = model(ids).logits if outputs else None
    return {
        "numbers": {name: tensor.detach().clone() for name, tensor in model.state_dict().items()},
        "objects": {name: id(parameter) for name, parameter in model.named_parameters()},
        "learning": {name: parameter.requires_grad for name, parameter in model.named_parameters()},
        "gradients": [name for name, parameter in model.named_parameters() if parameter.grad is not None],
        "classes": {name: type(module) for name, module in model.named_modules()},
        "settings": {
            f"{name}.{key}": value
            for name, module in model.named_modules()
            for key, value in vars(module).items()
            if isinstance(value, bool | int | float | str)
        },
        "configs": [config.to_dict() for config in session.anatomy.configs],
        "steps": [(step.do, dict(step.arguments)) for step in moe.steps],
        "program": (moe.program, moe.functions, dict(session.hooks.role_tokens), session.hooks.role_names),
        "held": (session.hooks.holding, session.rerouting, session._unfinished),
        "adapters": {name: adapter.spec for name, adapter in moe.adapters.items()},
        "warmups": [(id(each), each.experts, each.steps, each.taken) for each in moe.warmups],
        "closed": [(layer.closed, dict(layer.state.bias)) for layer in moe.layers],
        "tokenizer": None if moe.tokenizer is None else (id(moe.tokenizer), len(moe.tokenizer)),
        "logits": logits,
    }


def differing(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Where two states differ."""
    found = [key for key in before if key not in ("numbers", "logits") and before[key] != after[key]]
    if list(before["numbers"]) != list(after["numbers"]):
        found.append("names")
    found += [
        name
        for name, tensor in before["numbers"].items()
        if name in after["numbers"] and not torch.equal(tensor, after["numbers"][name])
    ]
    if before["logits"] is not None and not torch.equal(before["logits"], after["logits"]):
        found.append("logits")
    return found


def fail_everywhere(moe: MoE, act: Callable[[MoE], Any], allocations: list[bool], ids: Tensor, most: int | None) -> int:
    """Fail at every allocation in turn; each time all must be as it was. Gives how many failures there were."""
    before, failures = state(moe, ids), 0
    for number in sites(allocations, most):
        error, lasting = KINDS[number % len(KINDS)], number % 2 == 1
        try:
            with faults(number, error, lasting=lasting):
                act(moe)
        except error:
            failures += 1
            if lasting and moe.session._unfinished is not None:  # what waits on disk needs memory to come back
                moe.undo()
            while lasting and len(moe.steps) > len(before["steps"]):  # steps of a recipe, whose undo needs memory too
                moe.undo()
            assert differing(before, state(moe, ids)) == [], (number, error, lasting)
        else:
            raise AssertionError(f"the failure at allocation {number} was passed over")
    return failures
