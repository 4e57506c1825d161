"""Texts, labels and names of branches as people give them: lists, tuples, arrays, columns of tables, generators."""

import re
from collections.abc import Iterable, Mapping, Sequence, Set

from interconnected_ai.arguments import is_whole_number, shown
from interconnected_ai.config import BranchCard
from interconnected_ai.errors import DataError, UnknownNameError

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


def list_of(values: object, what: str) -> list[object]:
    """The values in a list, whatever holds them. Raises `DataError` for one value alone, and for what has no order."""
    if isinstance(values, str | bytes):
        raise DataError(f"needs a list of {what}s, got one {what}: write [{shown(values)}]")
    if not isinstance(values, Iterable) or isinstance(values, Mapping | Set):
        raise DataError(f"needs a list of {what}s, got a {type(values).__name__}: {shown(values)}")
    try:
        return list(values)
    except TypeError as error:  # an array without a dimension
        raise DataError(f"needs a list of {what}s, got {shown(values)}: {error}") from error


def texts_of(texts: object) -> list[str]:
    """The texts in a list. Raises `DataError` for anything that is not a text with a letter in it."""
    given = list_of(texts, "text")
    for row, text in enumerate(given):
        if not isinstance(text, str):
            raise DataError(f"text {row} is {type(text).__name__}: {shown(text)}; needs a string")
        if not text.strip():
            raise DataError(f"text {row} is empty; remove it or write something into it")
        if half := _HALF_CHARACTER.search(text):
            raise DataError(
                f"text {row} holds half a character, U+{ord(half.group()):04X}, as bytes that are not UTF-8 become: "
                f"{shown(text)}; read it with the encoding that it was written in"
            )
    return [str(text) for text in given]


def labels_of(labels: object, card: BranchCard, num_texts: int | None = None) -> list[str]:
    """The labels in a list, each one of the branch's; whole numbers stand for labels that are written like them.

    Raises `UnknownNameError` for a label that the branch does not have, `DataError` for another number of labels than texts.
    """
    given = list_of(labels, "label")
    if num_texts is not None and len(given) != num_texts:
        raise DataError(
            f"{num_texts} texts and {len(given)} labels of branch {card.name!r}: every text needs one label"
        )
    known, found = set(card.spec.labels), []
    for label in given:
        text = str(label) if is_whole_number(label) else label
        if not isinstance(text, str) or text not in known:
            raise UnknownNameError(f"label of branch {card.name!r}", label, card.spec.labels)
        found.append(str(text))
    return found


def names_of(branches: object) -> list[int | str] | None:
    """Names or numbers of branches in a list; None stands for all. Raises `DataError` for one name alone."""
    if branches is None:
        return None
    return list_of(branches, "branch name")  # type: ignore[return-value]  # each is looked up by who asks


def labelled(rows: object, card: BranchCard, what: str) -> tuple[list[str], list[str]]:
    """Texts and their labels out of a pair of both."""
    if not isinstance(rows, Sequence) or isinstance(rows, str | bytes) or len(rows) != 2:
        raise DataError(f"{what}: needs a pair of texts and labels, got {shown(rows)}")
    texts = texts_of(rows[0])
    return texts, labels_of(rows[1], card, len(texts))
