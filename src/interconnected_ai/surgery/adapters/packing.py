"""A layer's experts from ordinary numbers into four bits and back; what they were waits on disk for the undo."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from interconnected_ai.surgery.adapters.nf4 import PackedExperts
from interconnected_ai.surgery.adapters.offload import OffloadFolder
from interconnected_ai.surgery.anatomy.layer import Layer
from interconnected_ai.surgery.anatomy.places import stacks
from interconnected_ai.surgery.operations.snapshot import Snapshot, Undo, let_go


@torch.no_grad()
def pack(before: Snapshot, layer: Layer, folder: OffloadFolder) -> Undo:
    """The layer's matrices in four bits; the originals wait on disk."""
    experts = layer.place.experts
    matrices = _matrices(experts)
    name, devices = _file_of(layer), {key: stack.device for key, stack in matrices.items()}
    order = list(experts._parameters)
    folder.put(name, matrices)
    packed = PackedExperts(matrices)
    for key, stack in matrices.items():
        before.forget(stack, _from_disk(folder, name, key, devices[key]))
        del experts._parameters[key]
        let_go(stack)
    experts.add_module("packed", packed)

    def undo(now: Snapshot) -> None:
        originals = folder.take(name)
        for key, stack in matrices.items():
            now.also(stack)
            stack.data = originals[key].to(devices[key])
        there = {**experts._parameters, **matrices}
        experts._parameters.clear()
        experts._parameters.update({key: there[key] for key in order})
        del experts._modules["packed"]

    return undo


@torch.no_grad()
def unpack(before: Snapshot, layer: Layer, folder: OffloadFolder) -> Undo:
    """Packed matrices as ordinary numbers, those that four bits kept; the packed ones wait on disk."""
    experts = layer.place.experts
    packed = experts._modules["packed"]
    assert isinstance(packed, PackedExperts), "the layer is packed"
    name, buffers = _file_of(layer), dict(packed.named_buffers())
    devices = {key: buffer.device for key, buffer in buffers.items()}
    folder.put(name, buffers)
    names = tuple(packed.stacks())
    whole = [nn.Parameter(stack.whole(), requires_grad=False) for stack in packed.stacks().values()]
    del experts._modules["packed"]
    experts._parameters.update(zip(names, whole, strict=True))
    del whole  # the undo must not hold the numbers
    for key, buffer in buffers.items():
        before.forget(buffer, _from_disk(folder, name, key, devices[key]))
        let_go(buffer)

    def undo(now: Snapshot) -> None:
        kept = folder.take(name)
        for key, buffer in buffers.items():
            now.also(buffer)
            buffer.data = kept[key].to(devices[key])
        experts.add_module("packed", packed)
        for key in names:
            del experts._parameters[key]

    return undo


def _from_disk(folder: OffloadFolder, name: str, key: str, device: torch.device) -> Callable[[], Tensor]:
    return lambda: folder.take(name)[key].to(device)


def held_bytes(layer: Layer) -> int:
    """Bytes of a layer's matrices as they are held now, packed or not."""
    packed = layer.place.experts._modules.get("packed")
    if isinstance(packed, PackedExperts):
        return packed.size_bytes
    return sum(stack.numel() * stack.element_size() for stack in _matrices(layer.place.experts).values())


def _matrices(experts: nn.Module) -> dict[str, nn.Parameter]:
    """The stacks that are packed: all but biases."""
    return {name: stack for name, stack in stacks(experts).items() if stack.ndim == 3}


def _file_of(layer: Layer) -> str:
    return f"layer {layer.number}"
