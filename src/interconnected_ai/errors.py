"""Every error this package raises on purpose, as one tree.

InterconnectedAIError
├── ConfigError          a setting that cannot be: unknown key, impossible shape, contradiction
├── UnknownNameError     a name nobody knows: branch, label, encoder (lists the known ones, nearest first)
├── DataError            a file or table that cannot be learnt from
├── PromptError          what a language model cannot read: an empty prompt, a token id it does not know, too many tokens
│   └── FullWindowError      a conversation, or a prompt, that is longer than the model's window
├── EncoderError         an encoder that cannot be loaded
├── TokenizerError       a tokenizer that cannot be loaded, or belongs to another model
├── AdapterError         an adapter that cannot be used: another base's, or of a kind that is not computed
├── EngineError          an engine that cannot run this model or this request
├── PoolError            an expert that cannot be borrowed
├── QueueFullError       more was asked than may wait; it may be asked again later
├── ClosedError          something that was closed: a memory, an engine
├── ForkError            a forked process that cannot compute: its threads stayed with its parent
├── StorageError         a folder that cannot be written or read
│   ├── NotAModelError       no model of ours stands there
│   ├── NotAMemoryError      no memory of ours stands there
│   ├── IntegrityError       bytes or shapes are not the ones that were saved
│   ├── FormatVersionError   written by a newer version of this package
│   ├── UnsafeFileError      a pickle: loading it could run any code
│   ├── ConflictError        somebody else changed it since it was loaded
│   └── BusyError            somebody else is at it, and does not end
├── TrainingError        a run that cannot go on
│   └── NonFiniteLossError   the loss became NaN or infinite
└── MissingExtraError    an optional package is not installed

A message says what was got, what is needed, and what to do. The command line turns these into exit code 2.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Self


@dataclass(frozen=True)
class Blame:
    """Which setting of a call is wrong, apart from its name, since not every door calls it by Python's.

    said: its value where that helps, the rule and the remedy.
    """

    setting: str
    said: str


class InterconnectedAIError(Exception):
    """Anything that went wrong for a reason the person in front of the screen can act on.

    blames: the settings that are wrong, where it is known that the call is to blame.
    """

    blames: tuple[Blame, ...] = ()

    def blaming(self, *blames: Blame) -> Self:
        """The same error, with the settings that are to blame."""
        self.blames = (*self.blames, *blames)
        return self


class ConfigError(InterconnectedAIError, ValueError):
    """A setting that cannot be."""


class UnknownNameError(InterconnectedAIError, LookupError):
    """A name nobody knows; the message lists the known names, nearest first."""

    def __init__(self, kind: str, name: object, known: Iterable[object]) -> None:
        self.kind, self.name = kind, name
        self.known = tuple(nearest_first(str(name), (str(k) for k in known)))
        listed = ", ".join(repr(k) for k in self.known[:10]) or "(there are none)"
        more = f" … and {len(self.known) - 10} more" if len(self.known) > 10 else ""
        super().__init__(f"unknown {kind} {str(name)!r}; known, nearest first: {listed}{more}")


class DataError(InterconnectedAIError, ValueError):
    """A file or table that cannot be learnt from."""


class PromptError(InterconnectedAIError, ValueError):
    """What a language model cannot read: an empty prompt, a token id it does not know, more tokens than its window."""


class FullWindowError(PromptError):
    """A conversation, or a prompt, that is longer than the model's window, answer included.

    told: by what numbers, apart from the remedy, which is another one on the command line and over HTTP. room: how many tokens
    an answer may have beside what is read, none where it is below one. can_drop: whether it would fit without its oldest turns.
    """

    def __init__(self, told: str, remedy: str, *, room: int, can_drop: bool = False) -> None:
        super().__init__(f"{told}; {remedy}")
        self.told, self.room, self.can_drop = told, room, can_drop


class EncoderError(InterconnectedAIError):
    """An encoder that cannot be loaded."""


class TokenizerError(InterconnectedAIError):
    """A tokenizer that cannot be loaded, or belongs to another model."""


class AdapterError(InterconnectedAIError):
    """An adapter that cannot be used: it belongs to another base, or is of a kind that is not computed here."""


class EngineError(InterconnectedAIError):
    """An engine that cannot run this model or this request."""


class PoolError(InterconnectedAIError):
    """An expert cannot be borrowed: larger than the budget, nobody gave one back in time, or it was wanted at once."""


class QueueFullError(InterconnectedAIError):
    """More was asked than may wait; nothing was begun, and the same may be asked again later.

    told: how much waits. setting: which bound whoever made the queue may raise.
    """

    def __init__(self, told: str, setting: str | None = None) -> None:
        super().__init__(f"{told}; ask again later" + ("" if setting is None else f", or raise {setting}"))
        self.told = told


class ClosedError(InterconnectedAIError):
    """Something that was closed and is asked for more: a memory, an engine. Open it again."""


class ForkError(InterconnectedAIError, RuntimeError):
    """A forked process that would wait forever for threads which stayed with its parent. Start it with spawn."""


class StorageError(InterconnectedAIError):
    """A folder that cannot be written or read."""


class NotAModelError(StorageError):
    """No model of ours stands at this path."""


class NotAMemoryError(StorageError):
    """No memory of ours stands at this path: another file, another program's database, or a damaged one."""


class IntegrityError(StorageError):
    """Bytes or shapes are not the ones that were saved."""


class FormatVersionError(StorageError):
    """Written by a newer version of this package."""


class UnsafeFileError(StorageError):
    """A pickle file: loading it could run any code, so it is refused."""


class ConflictError(StorageError):
    """What was loaded, changed and was to be saved has been changed by somebody else meanwhile; nothing was written."""


class BusyError(StorageError):
    """Another thread or process is at this path and does not end. `pid` and `purpose` are its own, where they are known."""

    def __init__(self, message: str, *, pid: int | None = None, purpose: str | None = None) -> None:
        super().__init__(message)
        self.pid, self.purpose = pid, purpose


class TrainingError(InterconnectedAIError):
    """A run that cannot go on."""


class NonFiniteLossError(TrainingError, ArithmeticError):
    """The loss became NaN or infinite; `step` says when."""

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step


class MissingExtraError(InterconnectedAIError, ImportError):
    """An optional package is not installed; the message holds the pip command."""


def nearest_first(name: str, known: Iterable[str]) -> list[str]:
    """The known names, the ones most like `name` first (ties in alphabetical order)."""
    wanted = name.casefold()
    return sorted(known, key=lambda k: (-SequenceMatcher(None, wanted, k.casefold()).ratio(), k))
