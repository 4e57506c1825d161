"""What is made once of a model's weights, and made anew when they have changed."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from torch import Tensor, nn

Made = TypeVar("Made")


class Prepared(Generic[Made]):
    """The last that was made, and the versions of the weights that it was made of.

    Threads: `of` from any number of threads; what one makes the others wait for.
    """

    def __init__(self) -> None:
        self._making = threading.Lock()
        self._last: tuple[list[tuple[int, int]], Made] | None = None

    def of(self, model: nn.Module, make: Callable[[], Made]) -> Made:
        """What `make` gives for the model as it is."""
        versions = [(weight.data_ptr(), _version(weight)) for weight in model.parameters()]
        with self._making:
            last = self._last
            if last is None or last[0] != versions:
                last = self._last = versions, make()
        return last[1]

    def forget(self) -> None:
        """Drop it."""
        self._last = None


def _version(weight: Tensor) -> int:
    """Grows with every change in place."""
    return 0 if weight.is_inference() else weight._version
