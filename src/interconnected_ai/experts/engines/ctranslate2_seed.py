"""Seeds for CTranslate2's sampler, which has one only when its worker thread draws for the first time.

The worker draws from a std::mt19937 of its own thread. The library exports the function that gives a thread its generator; on
the worker, in a job's callback, the state that a seed makes is written there. A build whose generator does not look as
expected (another C++ library) cannot be seeded like this, and `can_seed` says so; nothing is written before that is known.
"""

import ctypes
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from interconnected_ai.extras import require

_SYMBOL = "_ZN11ctranslate220get_random_generatorEv"  # std::mt19937& ctranslate2::get_random_generator()
_NUM_WORDS = 624
_STATE_BYTES = 8 * (_NUM_WORDS + 1)  # libstdc++ keeps each word in 64 bits, and after them how many have been used


def can_seed() -> bool:
    """Whether this build's generator is the one that is known here: a new thread's state is what its seed makes."""
    return _is_known()


def seed_this_thread(seed: int) -> None:
    """Begin the calling thread's random numbers anew, as `std::mt19937(seed)` does. Only where `can_seed`."""
    generator = _generator()
    assert generator is not None, "ask can_seed first"
    assert _is_known(), "ask can_seed first"
    ctypes.memmove(generator(), _state(seed), _STATE_BYTES)


def _state(seed: int) -> bytes:
    """The state of a new generator: numpy's legacy seeding is the same recurrence."""
    words = np.random.RandomState(seed % 2**32).get_state(legacy=False)["state"]["key"]
    return np.append(words, _NUM_WORDS).astype(np.uint64).tobytes()


@cache
def _generator() -> Callable[[], int] | None:
    """The function that gives the calling thread's generator, None where the library does not export it."""
    library = require("ctranslate2", "ctranslate2", "the engine ctranslate2")
    try:
        found: Any = ctypes.CDLL(library._ext.__file__)[_SYMBOL]
    except (AttributeError, OSError):
        return None
    found.restype, found.argtypes = ctypes.c_void_p, []
    give: Callable[[], int] = found
    return give


@cache
def _is_known() -> bool:
    generator = _generator()
    if generator is None:
        return False
    seen: list[bytes] = []
    thread = threading.Thread(target=lambda: seen.append(ctypes.string_at(generator(), _STATE_BYTES)))
    thread.start()
    thread.join()
    return seen[0] == _state(int.from_bytes(seen[0][:8], "little"))  # the first word is the seed itself
