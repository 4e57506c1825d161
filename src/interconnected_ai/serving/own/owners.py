"""Whose something is: of the key that it was made with, or of this machine's own where no key is needed."""

from interconnected_ai.serving.door import Caller


def owner_of(caller: Caller) -> str | None:
    """The id of the caller's key; None is whoever needs none."""
    return caller.owner
