"""Ctrl-C and signals: what is kept of a training and what goes on with it, answers that stop while the chat goes on."""

import os
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import click

from interconnected_ai.cli.failures import Invocation, Stopped


@contextmanager
def naming_what_goes_on() -> Iterator[None]:
    """For verbs that have --resume: a training that stops inside ends with the command that goes on with it."""
    from interconnected_ai.training import TrainingStoppedError

    try:
        yield
    except TrainingStoppedError as stopped:
        kept = "before its first checkpoint" if stopped.step is None else f"with a checkpoint of step {stopped.step}"
        raise Stopped(f"stopped {kept}. Go on with: {_resuming_command()}", 128 + stopped.signal) from stopped


def _resuming_command() -> str:
    """The command that was given, with --resume in place of --overwrite."""
    given = Invocation.current().arguments
    num_verbs = len(click.get_current_context().command_path.split()) - 1  # `iai` is one of its words
    verbs, rest = given[:num_verbs], [word for word in given[num_verbs:] if word not in ("--overwrite", "--resume")]
    words = [*verbs, "--resume", *rest] if "--" in rest else [*verbs, *rest, "--resume"]
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return f"-m interconnected_ai.cli {shlex.join(words)}, launched as before"
    return f"iai {shlex.join(words)}"


@contextmanager
def stopped_by_interrupt(stop: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """While an answer comes, a first Ctrl-C stops it, and a second ends the program as always. Gives whether one came."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came = False

    def take(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        signal.signal(signal.SIGINT, before)
        stop()

    before = signal.signal(signal.SIGINT, take)
    try:
        yield lambda: came
    finally:
        signal.signal(signal.SIGINT, before)
