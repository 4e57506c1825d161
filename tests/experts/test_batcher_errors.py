"""Whatever line raises in the thread that makes answers together: all are answered or told, and later callers are answered.

The engine's places and bytes are given back, so that later answers find room.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import pytest
from expert_models import ids, made, tokenizer

from interconnected_ai import GenerationConfig
from interconnected_ai.experts import BatchLimits, TorchEngine
from interconnected_ai.experts.batching import admission, batcher, row
from interconnected_ai.types import Generation
from raising import OutOfNowhereError, raising

WORDS = 330
LONG, SHORT = (ids(1, n, seed=n, vocab_size=WORDS)[0].tolist() for n in (12, 2))
GREEDY = GenerationConfig(temperature=0.0, max_new_tokens=4)
LIMITS = BatchLimits(num_rows=2, prompt_tokens=5)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("module", [batcher, row, admission], ids=["batcher", "row", "admission"])
def test_whatever_line_raises_all_are_told_and_later_callers_are_answered(module: ModuleType) -> None:
    wanted = [text_of(engine(), prompt) for prompt in (LONG, SHORT)]
    known: set[int] = set()
    while True:
        with raising(module, "batch of ", known, spared="_work") as raised, engine() as ours:
            ours.batch(LIMITS)
            begin = threading.Barrier(4)
            with ThreadPoolExecutor(4) as pool:
                asked = [pool.submit(together, begin, ours, prompt) for prompt in (LONG, SHORT, LONG, SHORT)]
                found = [one.result(60) for one in asked]
            assert all(one in (wanted[number % 2], None) for number, one in enumerate(found)), (raised, found)
            assert wanted[0] in [later(ours), later(ours), later(ours)], raised
        if not raised:
            break
    assert len(known) > 10


def engine() -> TorchEngine:
    return TorchEngine(made(norm="pre", vocab_size=WORDS, max_seq_len=64), tokenizer(), step="calls")


def text_of(ours: TorchEngine, prompt: list[int]) -> str:
    found: list[Generation] = ours([prompt], GREEDY, seed=0)
    return found[0].text


def together(begin: threading.Barrier, ours: TorchEngine, prompt: list[int]) -> str | None:
    begin.wait(60)
    return later(ours, prompt)


def later(ours: TorchEngine, prompt: list[int] = LONG) -> str | None:
    """The answer; None where the caller was told of the error, as is who asks while the thread ends."""
    try:
        return text_of(ours, prompt)
    except OutOfNowhereError:
        return None
