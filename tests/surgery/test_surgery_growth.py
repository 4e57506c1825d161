"""What an operation on one layer costs does not follow from how many other layers there are. Calls are counted, not timed."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from interconnected_ai.bench.tiny_moes import make
from interconnected_ai.surgery import MoE

Act = Callable[[MoE], object]
_FEW, _MANY = 4, 20
# What each layer may add: its number of experts, its top-k, its router's class. A module that is looked at costs more.
_CALLS_A_LAYER = 60


def num_calls(call: Callable[[], object]) -> int:
    """Calls of Python functions in this thread."""
    found, watching = 0, sys.getprofile()

    def count(frame: FrameType, event: str, _: Any) -> None:
        nonlocal found
        found += event == "call"

    sys.setprofile(count)
    try:
        call()
    finally:
        sys.setprofile(watching)
    return found


def nothing(moe: MoE) -> None:
    pass


def steered(moe: MoE) -> None:
    with moe.steer({1: {0: 0.5}}):
        pass


# what is done, after what
ACTS: dict[str, tuple[Act, Act]] = {
    "insert": (nothing, lambda moe: moe.clone(1, 0)),
    "remove": (nothing, lambda moe: moe.remove(1, [0, 1])),
    "merge": (nothing, lambda moe: moe.merge(1, [0, 2])),
    "reorder": (nothing, lambda moe: moe.reorder(1, [7, 6, 5, 4, 3, 2, 1, 0])),
    "replace": (nothing, lambda moe: moe.replace(1, 0, moe.layers[1].read(2))),
    "let in": (lambda moe: moe.clone(1, 0), lambda moe: moe.let_in(1, [8])),
    "top-k": (nothing, lambda moe: moe.set_top_k(1, [1])),
    "undo": (lambda moe: moe.remove(1, [0]), MoE.undo),
    "steer": (nothing, steered),
    "dropping an adapter": (lambda moe: moe.lora({1: [0]}, rank=2), lambda moe: moe.drop_adapter("lora")),
}


@pytest.mark.parametrize("name", ACTS)
def test_an_operation_on_one_layer_hardly_looks_at_the_others(name: str) -> None:
    prepare, act = ACTS[name]
    calls = []
    for num_layers in (_FEW, _FEW, _MANY):  # the first time fills caches
        moe = MoE(make("qwen3_moe", num_hidden_layers=num_layers))
        prepare(moe)
        calls.append(num_calls(lambda moe=moe: act(moe)))  # type: ignore[misc]
    assert calls[2] - calls[1] <= _CALLS_A_LAYER * (_MANY - _FEW)
