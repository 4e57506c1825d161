"""What other libraries say of their own accord while a command runs: kept off stderr, which is for what the command says.

Errors of theirs are raised or logged as errors, and pass. The Python API leaves all of it as the libraries have it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from interconnected_ai.cli.environment import with_defaults

# Read by each library when it is imported, and by processes that the command starts. What the person has set is kept.
_SETTINGS = {
    "TQDM_DISABLE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_VERBOSITY": "error",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "DATASETS_VERBOSITY": "error",
}


@contextmanager
def without_chatter() -> Iterator[None]:
    """No progress bars and no advice of libraries inside the block; it imports none of them.

    One that is imported in the block stays silent afterwards: a process of ours runs one command. Settings of the process are
    changed, so one thread at a time.
    """
    with with_defaults(_SETTINGS) as added, _hushed_transformers("TRANSFORMERS_VERBOSITY" in added):
        yield


@contextmanager
def _hushed_transformers(and_its_log: bool) -> Iterator[None]:
    """The same for transformers where it was imported before and reads no environment any more."""
    transformers = sys.modules.get("transformers.utils.logging")
    if transformers is None:
        yield
        return
    bars, level = transformers.is_progress_bar_enabled(), transformers.get_verbosity()
    if bars:
        transformers.disable_progress_bar()
    if and_its_log:
        transformers.set_verbosity_error()
    try:
        yield
    finally:
        if bars:
            transformers.enable_progress_bar()
        transformers.set_verbosity(level)
