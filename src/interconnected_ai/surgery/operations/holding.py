"""A model's experts in four bits and back, verified as every operation is."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from interconnected_ai.surgery.adapters import packing
from interconnected_ai.surgery.adapters.edited_experts import settle
from interconnected_ai.surgery.adapters.offload import OffloadFolder
from interconnected_ai.surgery.anatomy.evaluation import evaluating
from interconnected_ai.surgery.anatomy.layer import Layer
from interconnected_ai.surgery.operations.change import Change, Verify
from interconnected_ai.surgery.operations.history import Step
from interconnected_ai.surgery.operations.snapshot import Snapshot, Undo
from interconnected_ai.surgery.operations.verification import close, near
from interconnected_ai.surgery.session import Session

_Hold = Callable[[Snapshot, Layer, OffloadFolder], Undo]


def pack_experts(session: Session, layers: Iterable[int] | None, spill: str | Path | None) -> Change:
    """Hold these layers' experts in 4 bits; what that costs is measured."""
    chosen = session.chosen(layers)
    for layer in chosen:
        session.needs_unpacked(layer, "pack")
    before = _sample_logits(session)
    step = Step("pack_experts", _named(layers, chosen))

    def cost() -> dict[str, float]:
        after = _sample_logits(session)
        return {"logits_relative_error": float((after - before).norm() / before.norm())}

    return _hold(step, chosen, packing.pack, near, spill, cost)


def unpack_experts(session: Session, layers: Iterable[int] | None, spill: str | Path | None) -> Change | None:
    """Hold packed experts as ordinary numbers again; None where none is packed."""
    chosen = [layer for layer in session.chosen(layers) if layer.packed]
    if not chosen:
        return None
    return _hold(Step("unpack_experts", _named(layers, chosen)), chosen, packing.unpack, close, spill, dict)


def _hold(
    step: Step,
    layers: Sequence[Layer],
    hold: _Hold,
    verify: Verify,
    spill: str | Path | None,
    measure: Callable[[], dict[str, float]],
) -> Change:
    """Hold layers in other numbers; what they were waits on disk for the undo."""

    def do(before: Snapshot) -> Undo:
        folder = OffloadFolder(spill, sum(map(packing.held_bytes, layers)))
        undos = []
        for layer in layers:
            undos.append(hold(before, layer, folder))
            settle(layer)

        def undo(now: Snapshot) -> None:
            for layer, each in zip(reversed(layers), reversed(undos), strict=True):
                each(now)
                settle(layer)

        return undo

    return Change(step, layers, do, verify, measure)


def _named(layers: Iterable[int] | None, chosen: Sequence[Layer]) -> dict[str, list[int]]:
    return {} if layers is None else {"layers": [layer.number for layer in chosen]}


@torch.no_grad()
def _sample_logits(session: Session) -> Tensor:
    """What the model says to a few tokens, always the same."""
    model = session.model
    vocab_size = model.config.get_text_config().vocab_size
    ids = torch.randint(vocab_size, (1, 16), generator=torch.Generator().manual_seed(0))
    with evaluating(model):
        logits: Tensor = model(ids.to(model.get_input_embeddings().weight.device)).logits
    return logits.float()
