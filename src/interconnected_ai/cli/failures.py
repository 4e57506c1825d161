"""What an error becomes on the command line: a kind, one clear message, and an exit code. docs/errors.md lists the codes."""

import errno
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import click

from interconnected_ai.errors import InterconnectedAIError

# 1 is a verdict of the verbs that judge: `doctor` found something, `branch verify` found a change.
FOUND = 1
BAD_INPUT = 2
INTERNAL_ERROR = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
READER_GONE = 141  # 128 + SIGPIPE: whoever read the output has had enough of it

DEBUG_VARIABLE = "IAI_DEBUG"
_LONGEST_SHOWN = 300
# What the machine refuses, not the program: the person can free, allow or rename something.
_OF_THE_MACHINE = {
    errno.EACCES, errno.EDQUOT, errno.EISDIR, errno.ELOOP, errno.EMFILE, errno.ENAMETOOLONG, errno.ENFILE, errno.ENODEV,
    errno.ENOENT, errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS,
}  # fmt: skip


# How PyTorch says, with a RuntimeError, that a tensor does not fit.
_TOO_LARGE = ("out of memory", "can't allocate memory", "not enough memory", "Storage size calculation overflowed")


class Answer:
    """The one JSON object on stdout of a call with --json: its result, or the error that came in its place."""

    def __init__(self) -> None:
        self._is_printed = False

    def print(self, content: Any) -> None:
        """Print it, unless one was printed: an interruption that comes after the result has nothing to add."""
        with undisturbed():
            if not self._is_printed:
                click.echo(json_text(content))
            self._is_printed = True


@dataclass(frozen=True)
class Invocation:
    """One call of `iai`, as every command finds it in its context's root: the words that were given, and what it answers."""

    arguments: list[str]
    answer: Answer = field(default_factory=Answer)

    @classmethod
    def current(cls) -> "Invocation":
        """That of the command at work; of one that was not called by `main`, a new one."""
        found = click.get_current_context().find_root().obj
        return found if isinstance(found, cls) else cls(sys.argv[1:])


@contextmanager
def undisturbed() -> Iterator[None]:
    """A Ctrl-C that comes in this block is dropped: it is too short to be stopped, and must not be cut.

    Where something else than Python's own handler stands it stays: it may keep what comes for later, and then cuts nothing.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Stopped(click.Abort):
    """A command that was told to stop and knows what to say of it. code: 128 + the signal's number, as shells have it."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.message, self.code = message, code


class Declined(click.Abort):
    """The person was asked before something would go for good, and said no."""


@dataclass(frozen=True)
class Failure:
    """An error as a person and a program are told of it."""

    kind: str
    message: str
    code: int

    def show(self, answer: Answer | None) -> None:
        """The message on stderr, and on stdout in the answer of a call with --json."""
        with suppress(OSError):  # a closed or full stderr takes away the words, not the exit code
            click.echo(f"iai: {self.message}", err=True)
        if answer is not None:
            answer.print({"error": {"kind": self.kind, "message": self.message}})


def failure_of(error: BaseException) -> Failure:
    """The error's kind, message and exit code. An error that nobody foresaw is told to be a fault of the program."""
    if isinstance(error, Declined):
        return Failure("Declined", "not confirmed; nothing was changed", INTERRUPTED)
    if isinstance(error, Stopped):
        return Failure("Interrupted", error.message, error.code)
    if isinstance(error, click.Abort | KeyboardInterrupt):
        number = getattr(error.__cause__, "signal", signal.SIGINT)  # of a training, which heeds SIGTERM too
        return Failure("Interrupted", "stopped; what was written is whole", 128 + number)
    if isinstance(error, click.ClickException):
        return Failure("UsageError", error.format_message(), BAD_INPUT)
    if isinstance(error, InterconnectedAIError):
        return Failure(type(error).__name__, str(error), BAD_INPUT)
    if _is_out_of_memory(error):
        message = f"the memory does not suffice ({_first_line(error)}); ask for smaller sizes, or free some memory"
        return Failure("MemoryError", message, BAD_INPUT)
    if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
        where = f"{_shortened(str(error.filename))}: " if error.filename else ""
        return Failure("OSError", f"{where}{error.strerror}", BAD_INPUT)
    return Failure("InternalError", _fault(error), INTERNAL_ERROR)


def show_traceback_if_asked() -> None:
    """The traceback of the error being handled, where the environment variable IAI_DEBUG is set."""
    if os.environ.get(DEBUG_VARIABLE):
        click.echo(traceback.format_exc(), err=True)


def json_text(content: Any) -> str:
    """One line of JSON that every reader takes: what is no UTF-8 is escaped, and NaN and infinity are null."""
    try:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(content), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _finite(content: Any) -> Any:
    """The same content with None for NaN and infinity, which JSON does not have."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and content - content != 0 else content


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether a tensor or another thing did not fit."""
    told = isinstance(error, RuntimeError) and any(words in str(error) for words in _TOO_LARGE)
    return isinstance(error, MemoryError) or told


def _fault(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__) or traceback.StackSummary()
    place = f" ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})" if frames else ""
    hint = "" if os.environ.get(DEBUG_VARIABLE) else f"; {DEBUG_VARIABLE}=1 shows where it happened"
    said = _first_line(error)
    return (
        f"internal error: {type(error).__name__}{f': {said}' if said else ''}{place}. This is a fault of the program; please "
        f"report it with the command that you gave{hint}"
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return _shortened(lines[0]) if lines else ""


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def make_streams_usable() -> None:
    """Let stdout and stderr print every text: letters that the terminal's encoding lacks become escapes.

    Of a stream that was closed before the program began (`>&-`) everything is thrown away.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  open as long as the program runs
        elif reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")
