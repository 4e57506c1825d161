"""A schedule that opens closed experts little by little."""

from dataclasses import replace
from typing import Any

from interconnected_ai.surgery.anatomy.layer import Layer
from interconnected_ai.surgery.routing.edited_router import put_state

# A warm-up's first bias: e^-10 of its weight, so an opening expert starts below a ten-thousandth.
_OPENING_BIAS = -10.0


class Warmup:
    """Opens experts little by little: their logits' bias rises from -10 to 0 in equal steps.

    log: the arguments of the step it belongs to, where what was taken is kept up to date, so that a replay goes as far.
    """

    def __init__(
        self, place: Layer, experts: tuple[int, ...], steps: int, taken: int = 0, log: dict[str, Any] | None = None
    ) -> None:
        self._place, self.experts, self.steps, self.taken = place, experts, steps, taken
        self._log = {} if log is None else log

    @property
    def layer(self) -> int:
        """The number of the layer whose experts it opens."""
        return self._place.number

    @property
    def finished(self) -> bool:
        """Whether the experts are open without a bias."""
        return self.taken >= self.steps

    @property
    def bias(self) -> float:
        """What is added to their logits now."""
        return 0.0 if self.finished else _OPENING_BIAS * (1 - self.taken / self.steps)

    def step(self) -> None:
        """One step further; call it after every optimiser step. Does nothing once finished."""
        if self.finished:
            return
        self.taken += 1
        self._log["taken"] = self.taken
        state = self._place.state
        kept = {expert: bias for expert, bias in state.bias.items() if expert not in self.experts}
        mine = dict.fromkeys(self.experts, self.bias) if self.bias else {}
        put_state(self._place.router, replace(state, bias={**kept, **mine}))
