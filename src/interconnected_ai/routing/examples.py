"""What routers learn from: requests with the expert that should answer them, and cards of what experts are for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from interconnected_ai.errors import DataError
from interconnected_ai.text import digest_of

_PARTS = 10  # of which one is held out, where nobody gives validation rows
_KEY = b"routing"


@dataclass(frozen=True, slots=True)
class Example:
    """A request as it was asked, and who should answer.

    expert: None for a request that is nobody's business. topic: what it is about, finer than the expert; routers that know
    topics tell experts apart better.
    """

    text: str
    expert: str | None
    topic: str | None = None


@dataclass(frozen=True, slots=True)
class ExpertCard:
    """What an expert is for: in words, and by requests that it should answer."""

    expert: str
    description: str = ""
    examples: tuple[str, ...] = ()


def held_out(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """(to learn from, to choose by): a tenth by a hash of the text, so that none changes sides when others come or go.

    A topic of which nothing would be left to learn from is learnt whole.
    """
    chosen = [digest_of(example.text, _KEY) % _PARTS == 0 for example in examples]
    learnt = {
        (example.expert, example.topic) for example, is_chosen in zip(examples, chosen, strict=True) if not is_chosen
    }
    sides: tuple[list[Example], list[Example]] = ([], [])
    for example, is_chosen in zip(examples, chosen, strict=True):
        sides[is_chosen and (example.expert, example.topic) in learnt].append(example)
    return sides


def inside(examples: Iterable[Example]) -> list[Example]:
    """Those that are some expert's business."""
    return [example for example in examples if example.expert is not None]


def outside(examples: Iterable[Example]) -> list[str]:
    """The texts that are nobody's business."""
    return [example.text for example in examples if example.expert is None]


def experts_in(examples: Iterable[Example]) -> tuple[str, ...]:
    """The experts of the examples, by name; raises `DataError` where there are fewer than two."""
    found = tuple(sorted({example.expert for example in examples if example.expert is not None}))
    if len(found) < 2:
        named = f"only {found[0]!r}" if found else "none"
        raise DataError(f"routing is a choice between two experts or more; the examples name {named}")
    return found
