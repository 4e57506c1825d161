"""What a ledger answers with: what is to be done next. It holds no experts and decides nothing."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """Begin to load this one; tell `loaded` or `failed`."""

    key: str


@dataclass(frozen=True)
class Unload:
    """Begin to unload this one; tell `unloaded`."""

    key: str


@dataclass(frozen=True)
class Grant:
    """The borrower with this ticket has what it asked for; it tells `returned`.

    keys: in the order in which they were asked for, each in the form that is lent.
    """

    ticket: int
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Deny:
    """The borrower with this ticket gets nothing, for this reason."""

    ticket: int
    reason: BaseException


Action = Load | Unload | Grant | Deny
