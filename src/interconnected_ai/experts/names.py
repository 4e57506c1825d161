"""One of several names, as engines, formats, precisions and layouts are chosen."""

from collections.abc import Iterable

from interconnected_ai.errors import UnknownNameError


def chosen(kind: str, name: object, known: Iterable[str]) -> str:
    """The name, if it is one of the known ones; else raises `UnknownNameError`, whatever the name is."""
    listed = list(known)
    if not isinstance(name, str) or name not in listed:
        raise UnknownNameError(kind, name, listed)
    return name
