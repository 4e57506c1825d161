"""What the tests of the memory share besides fixtures."""

from collections.abc import Callable

from interconnected_ai.memory import Capacities, ThreeLevelMemory

SMALL = Capacities(1_000, 1_000, 1_000)
MakeMemory = Callable[..., ThreeLevelMemory]


def count_words(text: str) -> int:
    """A tokenizer that a reader can follow."""
    return len(text.split())
