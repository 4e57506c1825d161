"""One wrong setting at a time, the others right, of pruning, comparing, saving and exporting: done, or refused by our errors.

A tiny model is opened once: what a call has done to it is undone after each example.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from faults import differing, state
from hypothesis import HealthCheck, assume, example, given
from test_faults import IDS, TEXTS, opened
from test_surgery_settings import ODD

from interconnected_ai.bench.tiny_moes import make
from interconnected_ai.errors import InterconnectedAIError
from interconnected_ai.experts import write_network_gguf
from interconnected_ai.storage import ANY
from interconnected_ai.surgery import (
    Checkpoint,
    MoE,
    Training,
    compare,
    prune,
    prune_by,
    pruning_table,
    rank_experts,
    repair,
    write_comparison,
)
from properties import examples

FEW = 4
ENDLESS = {"steps", "random_seeds"}  # as many as one asks for
READING: dict[str, Any] = {"texts": TEXTS[:2], "max_tokens": 4, "batch_size": 2, "sample_tokens": 4, "seed": 0}
TRAINING: dict[str, Any] = {"steps": 1, "batch_size": 1, "seq_tokens": 8, "learning_rate": 1e-3, "rank": 2}
PLACE = Path("written")


@cache
def model() -> MoE:
    return MoE(make("qwen3_moe", vocab_size=90), opened().tokenizer)


@cache
def ranking() -> Any:
    return rank_experts(model(), **{**READING, "method": "random"})


@cache
def folder() -> Checkpoint:
    fresh().save("model", verify=False)
    return Checkpoint("model")


def fresh() -> MoE:
    return MoE(make("qwen3_moe", vocab_size=90), model().tokenizer)


def undone(moe: MoE, num_steps: int) -> None:
    while len(moe.steps) > num_steps:
        moe.undo()
    if moe.adapters:  # that a repair was made with: putting it in is no step
        model.cache_clear()


# call → what it does, and right settings
CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "rank": (lambda **given: rank_experts(model(), **given), {**READING, "method": "reap"}),
    "rank by output": (lambda **given: rank_experts(model(), method="output", **given), READING),
    "rank by gradient": (lambda **given: rank_experts(model(), method="gradient", **given), READING),
    "rank at random": (lambda **given: rank_experts(model(), method="random", **given), READING),
    "prune": (lambda **given: prune(model(), **given), {**READING, "keep": 0.75, "method": "use", "budget": "layer"}),
    "prune_by": (lambda **given: prune_by(model(), **{"ranking": ranking(), **given}), {"keep": 0.75, "budget": "global"}),
    "repair": (
        lambda **given: repair(model(), **given),
        {**TRAINING, "texts": TEXTS[:2], "what": "router", "balance_weight": 0.0, "seed": 0},
    ),
    "repair by adapters": (lambda **given: repair(model(), TEXTS[:2], "lora", **given), TRAINING),
    "pruning_table": (
        lambda **given: pruning_table(fresh, held=TEXTS[:1], **given),
        {**READING, "methods": ["random"], "shares": [0.5], "budget": "layer", "random_seeds": 1, "top_k": 1, "learnt": None,
         "training": None},
    ),
    "training": (
        lambda **given: pruning_table(
            fresh, TEXTS[:1], TEXTS[:1], methods=["random"], shares=[0.5], random_seeds=1, training=Training(**given)
        ),
        {**TRAINING, "what": "router"},
    ),
    "compare": (
        lambda **given: compare(model(), model(), **given),
        {"texts": {"talk": TEXTS[:1]}, "names": ("one", "other"), "max_tokens": 4, "batch_size": 1},
    ),
    "write_comparison": (lambda **given: write_comparison(compare(model(), model()), **given), {"page": Path("page.md")}),
    "save": (
        lambda **given: model().save(**given), {"folder": PLACE, "verify": False, "replaces": ANY, "as_stored": False}
    ),
    "save a folder": (lambda **given: folder().save(**given), {"target": PLACE, "replaces": ANY}),
    "save a recipe": (lambda **given: model().recipe().save(**given), {"path": Path("recipe.yaml")}),
    "write_network_gguf": (
        lambda **given: write_network_gguf(model().model, **given),
        {"tokenizer": "model", "out": Path("model.gguf"), "precision": "float32", "name": "law"},
    ),
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _somewhere(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("settings"))
        yield


@pytest.mark.parametrize(
    ("call", "setting"), [(call, setting) for call, (_, right) in CALLS.items() for setting in right]
)
@examples(FEW, suppress_health_check=[HealthCheck.too_slow])
@example(2**70)
@example({0: [1]})
@example("a\0b")
@given(ODD)
def test_a_wrong_value_of_one_setting_is_refused_by_our_errors_and_changes_nothing(
    call: str, setting: str, value: Any
) -> None:
    assume(setting not in ENDLESS or value != 2**70)
    act, right = CALLS[call]
    moe = model()
    before, num_steps = state(moe, IDS, outputs=False), len(moe.steps)
    try:
        act(**{**right, setting: value})
    except InterconnectedAIError:
        assert differing(before, state(moe, IDS, outputs=False)) == []
    undone(moe, num_steps)


@pytest.mark.parametrize("call", [call for call in CALLS if call != "write_network_gguf"])
def test_right_settings_are_taken(call: str) -> None:
    act, right = CALLS[call]
    moe = model()
    num_steps = len(moe.steps)
    act(**right)
    undone(moe, num_steps)
