"""One operation as a record: what the log says of it, what it does, how that is taken back, what must hold afterwards."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from interconnected_ai.surgery.anatomy.layer import Layer, Probe
from interconnected_ai.surgery.operations.history import Step
from interconnected_ai.surgery.operations.snapshot import Snapshot, Undo

# (layer, its block's answer before, the same afterwards): raises `IntegrityError` where the operation did harm
Verify = Callable[[Layer, Probe, Probe], None]


@dataclass(frozen=True)
class Change:
    """An operation whose arguments were checked.

    layers: those whose blocks run before and after. do: changes the model, and gives `undo`, which takes that back when all
    later changes have been; both may fail anywhere, since whoever calls them (`Session.perform`, `Session.undo`) holds a
    snapshot. They write into tensors, and let numbers go, through that snapshot alone. measure: runs when all is done; what it
    finds stands in the log. reach: the only layers that all of these change, besides what stands outside of layers; None: any.
    """

    step: Step
    layers: Sequence[Layer]
    do: Callable[[Snapshot], Undo]
    verify: Verify
    measure: Callable[[], dict[str, float]] = dict
    reach: Sequence[Layer] | None = None


@dataclass(frozen=True)
class Done:
    """A step that was taken, and the way back."""

    change: Change
    undo: Undo

    @property
    def step(self) -> Step:
        """What the log says of it."""
        return self.change.step
