"""What a session and its model are made of, by reference: so that a change which fails anywhere is taken back without memory.

A change puts other objects in the place of those there are, so putting the old ones back needs no allocation. What cannot be
put back that way is named when it happens: numbers written into a tensor, and numbers that leave memory for the disk.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

# Containers whose content belongs to the object that holds them; all else counts as one value. With each, what an empty one
# holds: most of a module's are empty, and every operation looks at every module.
_CONTAINERS: dict[type, Any] = {dict: {}, OrderedDict: {}, list: [], set: set()}

Undo = Callable[["Snapshot"], None]


class Snapshot:
    """The attributes of some objects and of a model's modules, with the numbers of their parameters and buffers.

    without: modules that stay out with all below them: an operation on one layer need not look at the others. Nothing is
    copied but containers of references; numbers that a change lets go stay alive until the snapshot goes. `restore` may be
    called again when it fails or is interrupted.
    """

    def __init__(self, model: nn.Module, things: Iterable[Any], without: Iterable[nn.Module] = ()) -> None:
        self._things: dict[int, _Thing] = {}
        self._tensors: dict[int, _Numbers] = {}
        self._written: list[tuple[Tensor, Any, Tensor]] = []
        for module in _below(model, {id(each) for each in without}):
            self.part(module)
            config = vars(module).get("config")
            if config is not None:
                self.part(config)
            for tensor in (*module._parameters.values(), *module._buffers.values()):
                if tensor is not None:
                    self.also(tensor)
        for thing in things:
            self.part(thing)

    def part(self, thing: Any) -> None:
        """Remember the attributes of something that is not in here yet; the first time counts."""
        if id(thing) not in self._things:
            self._things[id(thing)] = _Thing(thing)

    def also(self, tensor: Tensor) -> None:
        """Remember the numbers of a tensor that is not in the model at the moment."""
        self._tensors.setdefault(id(tensor), _Numbers(tensor))

    def forget(self, tensor: Tensor, again: Callable[[], Tensor]) -> None:
        """Let these numbers go from memory; `again` brings them back should they be needed."""
        self.also(tensor)
        self._tensors[id(tensor)].again = again
        self._tensors[id(tensor)].data = None

    def write(self, tensor: Tensor, index: Any, numbers: Tensor) -> None:
        """Put numbers into a part of a tensor, and remember those that were there."""
        self.keep(tensor, index)
        tensor.data[index] = numbers

    def keep(self, tensor: Tensor, index: Any = ...) -> None:
        """Remember the numbers in a part of a tensor, for they are to be written over."""
        self._written.append((tensor, index, tensor.data[index].clone()))

    def restore(self) -> None:
        """All as it was."""
        for each in self._tensors.values():
            each.restore()
        with torch.no_grad():
            for tensor, index, numbers in reversed(self._written):
                tensor.data[index] = numbers
        for thing in self._things.values():
            thing.restore()


class _Thing:
    """An object's class and attributes."""

    def __init__(self, thing: Any) -> None:
        self._thing, self._kind = thing, type(thing)
        self._attributes = {name: (value, _content(value)) for name, value in vars(thing).items()}

    def restore(self) -> None:
        if type(self._thing) is not self._kind:
            self._thing.__class__ = self._kind
        now = vars(self._thing)
        for name, (value, content) in self._attributes.items():
            if content is not None and not _is_same(value, content):
                _refill(value, content)
            if now.get(name, now) is not value:
                now[name] = value
        for name in [name for name in now if name not in self._attributes]:
            del now[name]


class _Numbers:
    """A tensor's numbers, its gradient, and whether it takes one."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor, self.data = tensor, tensor.data
        self.again: Callable[[], Tensor] | None = None
        self._requires_grad = tensor.requires_grad
        self._leaf = tensor.is_leaf
        self._grad = tensor.grad if self._leaf else None

    data: Tensor | None

    def restore(self) -> None:
        if self.data is None and self.again is not None:
            self.data = self.again()
        assert self.data is not None, "numbers that went say where they come from again"
        if not _same_numbers(self._tensor.data, self.data):
            self._tensor.data = self.data
        if self._leaf:
            if self._tensor.requires_grad != self._requires_grad:
                self._tensor.requires_grad_(self._requires_grad)
            if self._tensor.grad is not self._grad:
                self._tensor.grad = self._grad


def _below(module: nn.Module, without: set[int]) -> Iterator[nn.Module]:
    """A module and all below it, each once; without those of these ids and what only they hold."""
    seen, waiting = set(without), [module]
    while waiting:
        each = waiting.pop()
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [child for child in each._modules.values() if child is not None]


def _content(value: Any) -> Any:
    """A copy of a container's references; None for all else."""
    nothing = _CONTAINERS.get(type(value))
    return value.copy() if nothing is not None and value else nothing


def _same_numbers(one: Tensor, other: Tensor) -> bool:
    return (one.data_ptr(), one.shape, one.stride(), one.dtype, one.device) == (
        other.data_ptr(), other.shape, other.stride(), other.dtype, other.device,
    )  # fmt: skip


def _is_same(value: Any, content: Any) -> bool:
    if len(value) != len(content):
        return False
    if isinstance(value, dict):
        pairs = zip(value.items(), content.items(), strict=True)
        return all(key == other and one is another for (key, one), (other, another) in pairs)
    if isinstance(value, list):
        return all(one is another for one, another in zip(value, content, strict=True))
    return bool(value == content)


def _refill(value: Any, content: Any) -> None:
    if isinstance(value, list):
        value[:] = content
    else:
        value.clear()
        value.update(content)


def exchange(module: nn.Module, name: str, tensor: Tensor) -> Undo:
    """Put a tensor where a parameter or buffer of the module stands; returns what puts the old object back."""
    if name in module._parameters:
        before = module._parameters[name]
        assert before is not None, "the parameter is there"
        module._parameters[name] = nn.Parameter(tensor, requires_grad=before.requires_grad)
        return lambda now: module._parameters.__setitem__(name, before)
    buffer = module._buffers[name]
    module._buffers[name] = tensor
    return lambda now: module._buffers.__setitem__(name, buffer)


def reset(module: nn.Module, name: str, value: Any) -> Undo:
    """Set an attribute; returns what sets the old value again."""
    before = getattr(module, name)
    setattr(module, name, value)
    return lambda now: setattr(module, name, before)


def let_go(tensor: Tensor) -> None:
    """Drop a tensor's numbers: whoever still holds it, an undo or an optimiser, must not hold them."""
    tensor.data = tensor.data.new_empty(0)
    tensor.grad = None


def all_of(undos: Iterable[Undo]) -> Undo:
    """These ways back as one, the last first."""
    steps = tuple(undos)[::-1]

    def undo(now: Snapshot) -> None:
        for each in steps:
            each(now)

    return undo
