"""Settings of libraries that are read from the environment: what a command sets, and what the person has set stays."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def with_defaults(settings: Mapping[str, str]) -> Iterator[frozenset[str]]:
    """These variables are set inside the block, but for those that are set already; gives the names of what was added.

    The process's environment is changed, so one thread at a time.
    """
    added = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield frozenset(added)
    finally:
        for name in added:
            os.environ.pop(name, None)
