"""Whatever is given for a public setting: the operation does it, or one of our errors says why not and nothing changes."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from faults import differing, state
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from test_faults import IDS, TEXTS, opened

from interconnected_ai import surgery
from interconnected_ai.bench.tiny_moes import make
from interconnected_ai.errors import ConfigError, ConflictError, InterconnectedAIError
from interconnected_ai.storage import version_of
from interconnected_ai.surgery import (
    Checkpoint,
    MoE,
    Program,
    RowRequest,
    compare,
    deepspeed_config,
    make_role,
    rows_for,
    transformers_plan,
    tune,
)
from properties import examples

ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 12), st.just(2**70), st.floats(), st.sampled_from(["", "law", "3", "a.b"]),
    st.binary(max_size=2), st.lists(st.integers(-1, 9), max_size=3), st.lists(st.text(max_size=3), max_size=2),
    st.dictionaries(st.integers(-1, 2), st.lists(st.integers(-1, 9), max_size=2), max_size=2),
)  # fmt: skip
CALLS: dict[str, Any] = {
    "set_top_k": lambda moe, a, b, c: moe.set_top_k(a, b),
    "insert": lambda moe, a, b, c: moe.insert(a, b),
    "insert rows": lambda moe, a, b, c: moe.insert(0, [None], a),
    "replace": lambda moe, a, b, c: moe.replace(a, b, moe.layers[0].experts[1] if isinstance(c, int) else c),
    "let_in": lambda moe, a, b, c: moe.let_in(a, b, c),
    "remove": lambda moe, a, b, c: moe.remove(a, b),
    "merge": lambda moe, a, b, c: moe.merge(a, b, c),
    "reorder": lambda moe, a, b, c: moe.reorder(a, b),
    "add_role": lambda moe, a, b, c: moe.add_role(a, b),
    "lora": lambda moe, a, b, c: moe.lora(a, rank=b, alpha=c),
    "lora name": lambda moe, a, b, c: moe.lora({0: [1]}, rank=1, name=a, role=b, seed=c),
    "train_experts": lambda moe, a, b, c: moe.train_experts(a, name=b, role=c),
    "train_only": lambda moe, a, b, c: moe.train_only(a, b),
    "pack_experts": lambda moe, a, b, c: moe.pack_experts(a),
    "merge_adapter": lambda moe, a, b, c: moe.merge_adapter(a),
    "drop_adapter": lambda moe, a, b, c: moe.drop_adapter(a),
    "perplexity": lambda moe, a, b, c: moe.perplexity(a, max_tokens=b, role=c),
    "usage": lambda moe, a, b, c: moe.usage(TEXTS, max_tokens=a, batch_size=b),
    "suggest": lambda moe, a, b, c: moe.suggest(TEXTS, a, threshold=b, over=c),
    "steer": lambda moe, a, b, c: moe.steer(a).__enter__(),
    "requests": lambda moe, a, b, c: moe.requests(a).__enter__(),
    "row requests": lambda moe, a, b, c: moe.requests([RowRequest(role=a, allow=b, deny=c)]).__enter__(),
    "set_program": lambda moe, a, b, c: moe.set_program(a),
    "apply": lambda moe, a, b, c: moe.apply(a),
    "ablate": lambda moe, a, b, c: moe.ablate(a).__enter__(),
    "top_k for a moment": lambda moe, a, b, c: moe.top_k(a, b).__enter__(),
    "suggest score": lambda moe, a, b, c: moe.suggest(TEXTS, score=a, over=b, max_tokens=c),
    "unpack_experts": lambda moe, a, b, c: moe.unpack_experts(a),
    "clone": lambda moe, a, b, c: moe.clone(a, b),
    "layers": lambda moe, a, b, c: moe.layers[a].experts[b],
    "rows_for": lambda moe, a, b, c: rows_for(moe, a, TEXTS if b is None else b),
    "compare": lambda moe, a, b, c: compare(moe, moe, a, max_tokens=b, batch_size=c),
    "transformers_plan": lambda moe, a, b, c: transformers_plan(moe, a),
    "deepspeed_config": lambda moe, a, b, c: deepspeed_config(moe, a, way="autoep" if b is None else b),
    "rule": lambda moe, a, b, c: moe.set_program(
        Program.from_mapping({"rules": [{"do": a, "experts": b, "layers": c}]})
    ),
}
FOLDER_CALLS: dict[str, Any] = {
    "read": lambda disk, a, b, c: disk.read(a, b),
    "stored": lambda disk, a, b, c: disk.stored(a, b),
    "num_experts": lambda disk, a, b, c: disk.num_experts(a),
    "set_top_k": lambda disk, a, b, c: disk.set_top_k(a),
    "replace": lambda disk, a, b, c: disk.replace(a, b, disk.read(0, 1) if c is None else c),
    "insert": lambda disk, a, b, c: disk.insert(a, disk.read(0, 1) if c is None else c, b),
    "clone": lambda disk, a, b, c: disk.clone(a, b),
    "remove": lambda disk, a, b, c: disk.remove(a, b),
    "reorder": lambda disk, a, b, c: disk.reorder(a, b),
    "merge": lambda disk, a, b, c: disk.merge(a, b, c),
    "merge shares": lambda disk, a, b, c: disk.merge(0, [1, 2], a),
    "apply": lambda disk, a, b, c: disk.apply(a),
}


@pytest.mark.filterwarnings("ignore:four bits moved the logits:UserWarning")
@pytest.mark.filterwarnings("ignore:the tokenizer had no token:UserWarning")
@pytest.mark.parametrize("call", CALLS)
@examples(6, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(a=ODD, b=ODD, c=ODD)
def test_any_value_of_a_setting_is_taken_or_refused_by_our_errors(call: str, a: Any, b: Any, c: Any) -> None:
    moe = opened()
    before = state(moe, IDS, outputs=False)
    try:
        CALLS[call](moe, a, b, c)
    except InterconnectedAIError:
        assert differing(before, state(moe, IDS, outputs=False)) == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("settings") / "model"
    MoE(make("qwen3_moe")).save(place)
    return place


@pytest.mark.parametrize("call", FOLDER_CALLS)
@examples(12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(a=ODD, b=ODD, c=ODD)
def test_any_value_is_taken_or_refused_of_a_folder_too(call: str, folder: Path, a: Any, b: Any, c: Any) -> None:
    disk = Checkpoint(folder)
    before = disk.sizes()
    try:
        FOLDER_CALLS[call](disk, a, b, c)
    except InterconnectedAIError:
        assert disk.sizes() == before
        assert disk.recipe().steps == ()


@pytest.mark.filterwarnings("ignore:the tokenizer had no token:UserWarning")
@pytest.mark.parametrize(
    "setting",
    [
        {"learning_rate": value} for value in (-1, 0, math.nan, math.inf, "fast", True)
    ] + [
        {"share": 0}, {"share": 1.5}, {"share": math.nan}, {"rank": 0}, {"steps": 0}, {"steps": 1.5}, {"batch_size": 0},
        {"seq_tokens": 2}, {"held_out": 0}, {"held_out": "a"}, {"seed": -1}, {"method": "magic"}, {"name": 3}, {"name": " "},
        {"name": "a b/c"}, {"name": "a.b"}, {"name": "keys"}, {"name": "x" * 64}, {"name": "law\n"},
        {"texts": "one text"}, {"texts": [1, 2]}, {"others": [b"x"]}, {"experts": {9: [1]}}, {"experts": {0: "a"}},
        {"experts": [1]},
    ],
)  # fmt: skip
def test_a_role_with_a_setting_that_cannot_be_is_refused_before_anything_changes(setting: dict[str, Any]) -> None:
    moe = opened()
    before = state(moe, IDS)
    with pytest.raises(InterconnectedAIError):
        make_role(moe, **{"name": "law", "texts": TEXTS, "steps": 1, "seq_tokens": 8, **setting})
    assert differing(before, state(moe, IDS)) == []


@pytest.mark.parametrize("name", ["a b/c", "../law", "a.b", "training", "", "-law"])
def test_a_name_that_becomes_a_key_is_refused_with_what_it_may_be(name: str) -> None:
    moe = opened()
    before = state(moe, IDS)
    for call in (
        lambda: moe.add_role(name),
        lambda: moe.lora({0: [1]}, rank=1, name=name),
        lambda: moe.train_experts({0: [1]}, name=name),
    ):
        with pytest.raises(ConfigError, match=r"letters, digits, '_' or '-'|choose another"):
            call()
    assert differing(before, state(moe, IDS)) == []


@pytest.mark.parametrize(
    "setting",
    [{"learning_rate": -1.0}, {"steps": 0}, {"weight_decay": -1}, {"balance_weight": math.nan}, {"batch_size": 0}],
)
def test_a_training_with_a_setting_that_cannot_be_is_refused(setting: dict[str, Any]) -> None:
    moe = opened()
    parameters = moe.train_only("router")
    with pytest.raises(InterconnectedAIError):
        tune(moe, TEXTS, parameters, **{"steps": 1, "seq_tokens": 8, **setting})


def test_two_that_change_one_folder_do_not_lose_each_others_work(tmp_path: Path) -> None:
    MoE(make("qwen3_moe")).save(tmp_path / "model")
    first, second = surgery.open(tmp_path / "model"), surgery.open(tmp_path / "model")
    disk = Checkpoint(tmp_path / "model")
    disk.set_top_k(3)
    first.set_top_k(1)
    first.save(tmp_path / "model")
    stands = version_of(tmp_path / "model")
    second.remove(0, [1])
    for late in (second, disk):
        with pytest.raises(ConflictError, match="by someone else"):
            late.save(tmp_path / "model")
    assert version_of(tmp_path / "model") == stands
    assert [step.do for step in second.steps] == ["remove"]
    second.save(tmp_path / "other")
    first.set_top_k(2)
    first.save(tmp_path / "model")  # its own folder, as it left it
    assert surgery.open(tmp_path / "model").layers[0].top_k == 2
    with pytest.raises(ConflictError, match="replaced by someone else while it was read"):
        disk.save(tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(ConflictError):
        first.save(tmp_path / "other", replaces=None)


def test_a_folder_that_is_replaced_while_it_is_opened_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from interconnected_ai.surgery.checkpoints import loading

    moe = MoE(make("qwen3_moe"))
    moe.save(tmp_path / "model")
    read, times = loading._vanilla, []

    def replaced_meanwhile(*given: Any) -> Any:
        times.append(1)
        if len(times) == 1:
            moe.insert(0, [None], closed=False)
            moe.insert(1, [None], closed=False)
            moe.save(tmp_path / "model", verify=False)
        return read(*given)

    monkeypatch.setattr(loading, "_vanilla", replaced_meanwhile)
    again = surgery.open(tmp_path / "model")
    assert [layer.num_experts for layer in again.layers] == [9, 9]
    with torch.no_grad():
        torch.testing.assert_close(again.model(IDS).logits, moe.model(IDS).logits)
    again.save(tmp_path / "model", verify=False)
