"""A layer's experts from ordinary numbers into four bits and back; what they were waits on disk for the undo."""

from collections.abc import Callable

import torch
from torch import nn

from interconnected_ai.surgery.adapters.nf4 import PackedExperts
from interconnected_ai.surgery.adapters.offload import Shelf
from interconnected_ai.surgery.anatomy.layer import Layer
from interconnected_ai.surgery.anatomy.places import stacks
from interconnected_ai.surgery.operations.history import let_go

Undo = Callable[[], None]


@torch.no_grad()
def pack(layer: Layer, shelf: Shelf) -> Undo:
    """The layer's matrices in four bits; the originals wait on the shelf."""
    experts = layer.place.experts
    matrices = _matrices(experts)
    name, devices = _on_shelf(layer), {key: stack.device for key, stack in matrices.items()}
    shelf.put(name, matrices)
    packed = PackedExperts(matrices)
    for key, stack in matrices.items():
        del experts._parameters[key]
        let_go(stack)
    experts.add_module("packed", packed)

    def undo() -> None:
        originals = shelf.take(name)
        del experts._modules["packed"]
        for key, stack in matrices.items():
            stack.data = originals[key].to(devices[key])
            experts._parameters[key] = stack

    return undo


@torch.no_grad()
def unpack(layer: Layer, shelf: Shelf) -> Undo:
    """Packed matrices as ordinary numbers, those that four bits kept; the packed ones wait on the shelf."""
    experts = layer.place.experts
    packed = experts._modules["packed"]
    assert isinstance(packed, PackedExperts), "the layer is packed"
    name, buffers = _on_shelf(layer), dict(packed.named_buffers())
    devices = {key: buffer.device for key, buffer in buffers.items()}
    shelf.put(name, buffers)
    names = tuple(packed.stacks())
    whole = [nn.Parameter(stack.whole(), requires_grad=False) for stack in packed.stacks().values()]
    del experts._modules["packed"]
    experts._parameters.update(zip(names, whole, strict=True))
    del whole  # the undo must not hold the numbers
    for buffer in buffers.values():
        let_go(buffer)

    def undo() -> None:
        kept = shelf.take(name)
        for key in names:
            del experts._parameters[key]
        for key, buffer in buffers.items():
            buffer.data = kept[key].to(devices[key])
        experts.add_module("packed", packed)

    return undo


def held_bytes(layer: Layer) -> int:
    """Bytes of a layer's matrices as they are held now, packed or not."""
    packed = layer.place.experts._modules.get("packed")
    if isinstance(packed, PackedExperts):
        return packed.size_bytes
    return sum(stack.numel() * stack.element_size() for stack in _matrices(layer.place.experts).values())


def _matrices(experts: nn.Module) -> dict[str, nn.Parameter]:
    """The stacks that are packed: all but biases."""
    return {name: stack for name, stack in stacks(experts).items() if stack.ndim == 3}


def _on_shelf(layer: Layer) -> str:
    return f"layer {layer.number}"
