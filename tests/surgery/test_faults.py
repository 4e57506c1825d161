"""An operation that fails anywhere, for lack of memory or by Ctrl-C, leaves the model as it was; so does its undo."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from faults import differing, fail_everywhere, faults, state
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from interconnected_ai.bench.tiny_moes import make, prompts
from interconnected_ai.errors import ConfigError
from interconnected_ai.surgery import MoE, Program, Recipe, RowRequest, Rule, make_role

IDS = prompts()
WORDS = 90
pytestmark = [
    pytest.mark.filterwarnings("ignore:four bits moved the logits:UserWarning"),
    pytest.mark.filterwarnings("ignore:the tokenizer had no token:UserWarning"),
]
Act = Callable[[MoE], Any]


def opened(family: str = "qwen3_moe") -> MoE:
    """A tiny model whose embeddings have no free row, with an adapter, a rule, a closed expert and a warm-up."""
    words = Tokenizer(
        models.WordLevel({"<pad>": 0, "<eos>": 1, "<unk>": 2, **{f"w{i}": i for i in range(3, WORDS)}}, "<unk>")
    )
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")
    moe = MoE(make(family, vocab_size=WORDS), tokenizer)
    moe.set_program(Program(roles={"talk": 6}, rules=(Rule(do="prefer", experts=(5,), role="talk"),)))
    moe.lora({1: [3]}, rank=2, name="waiting", role="talk")
    groups = moe.layers[1].groups[0]
    moe.let_in(1, moe.insert(1, [None] * groups), steps=3)
    return moe


def text(number: int) -> str:
    return " ".join(f"w{3 + (number * 7 + i) % 40}" for i in range(12))


RULED = Program(roles={"talk": 6, "code": 7}, rules=(Rule(do="forbid", experts=(1,)),))
TEXTS = [text(number) for number in range(5)]


def recipe_of(act: Act) -> Recipe:
    moe = opened()
    moe.session.start_log()
    act(moe)
    return moe.recipe()


def unpacked(moe: MoE) -> None:
    moe.pack_experts([0])


def adapted(moe: MoE) -> None:
    adapter = moe.lora({0: [1, 4]}, rank=2)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.1)


def closed_expert(moe: MoE) -> None:
    moe.insert(0, [moe.layers[0].experts[2]])


def nothing(moe: MoE) -> None:
    pass


def several(moe: MoE) -> None:
    moe.set_top_k(1, [0])
    moe.remove(0, [2])
    moe.replace(1, 0, moe.layers[1].experts[4])


# what is done, after what
STEPS: dict[str, tuple[Act, Act]] = {
    "top-k": (nothing, lambda moe: moe.set_top_k(3)),
    "replace": (nothing, lambda moe: moe.replace(0, 1, [moe.layers[0].experts[2], moe.layers[1].experts[3]])),
    "insert": (nothing, lambda moe: moe.insert(0, [moe.layers[0].experts[2], None])),
    "insert open": (nothing, lambda moe: moe.insert(1, [None], closed=False)),
    "let in": (closed_expert, lambda moe: moe.let_in(0, [8])),
    "let in by steps": (closed_expert, lambda moe: moe.let_in(0, [8], steps=4)),
    "remove": (nothing, lambda moe: moe.remove(1, [0, 2])),
    "merge": (nothing, lambda moe: moe.merge(1, [0, 2], [0.25, 0.75])),
    "reorder": (nothing, lambda moe: moe.reorder(1, [8, 1, 2, 3, 4, 5, 6, 7, 0])),
    "rule": (
        nothing,
        lambda moe: moe.set_program(Program(roles={"talk": 6, "code": 7}, rules=(Rule(do="forbid", experts=(1,)),))),
    ),
    "role of a known token": (nothing, lambda moe: moe.add_role("code", "w9")),
    "role of a new token": (nothing, lambda moe: moe.add_role("code")),
    "merge adapter": (adapted, lambda moe: moe.merge_adapter("lora")),
    "pack": (nothing, lambda moe: moe.pack_experts()),
    "unpack": (unpacked, lambda moe: moe.unpack_experts()),
}


def check_step(name: str, family: str, most: int | None) -> None:
    prepare, act = STEPS[name]
    moe, other = opened(family), opened(family)
    prepare(moe)
    prepare(other)
    before, _ = state(moe, IDS), state(other, IDS)  # the first pass makes what later ones keep
    with faults() as counted:
        act(other)
    assert fail_everywhere(moe, act, counted.inside, IDS, most) > 3
    act(moe)
    done = state(moe, IDS)
    assert len(done["steps"]) == len(before["steps"]) + 1
    with faults() as counted:
        other.undo()
    fail_everywhere(moe, MoE.undo, counted.inside, IDS, most)
    assert differing(done, state(moe, IDS)) == []
    moe.undo()
    other_objects = ["objects"] if name == "role of a new token" else []  # transformers makes a new head
    assert differing(before, state(moe, IDS)) == other_objects
    act(moe)  # and it can be done again
    redone = state(moe, IDS)
    assert [key for key in differing(done, redone) if key not in ("objects", "warmups", "tokenizer")] == []


@pytest.mark.parametrize("name", STEPS)
def test_a_step_that_fails_anywhere_leaves_all_as_it_was_and_so_does_its_undo(name: str) -> None:
    check_step(name, "qwen3_moe", most=24)


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_a_step_that_fails_at_any_allocation_of_all_leaves_all_as_it_was(name: str) -> None:
    check_step(name, "qwen3_moe", most=None)


@pytest.mark.parametrize("name", ["replace", "insert open", "merge", "reorder", "pack"])
def test_experts_with_biases_that_lie_transposed_come_back_too(name: str) -> None:
    check_step(name, "gpt_oss", most=10)


def steering(moe: MoE) -> None:
    with moe.steer({0: {1: 0.5, 2: torch.ones(32)}}):
        moe.model(IDS)


def rerouting(moe: MoE) -> None:
    with moe.ablate({0: [1]}, reroute=True):
        moe.model(IDS)


def asking(moe: MoE) -> None:
    with moe.requests([RowRequest(deny=frozenset({1})), RowRequest(role="talk")]):
        moe.model(IDS)


def for_a_moment(moe: MoE) -> None:
    with moe.top_k(3):
        moe.model(IDS)


def learning_role(method: str) -> Act:
    def act(moe: MoE) -> None:
        make_role(
            moe,
            "code",
            TEXTS,
            method=method,
            experts={0: [1]},
            steps=2,
            batch_size=2,
            seq_tokens=8,
            rank=2,
            learning_rate=0.1,
        )  # type: ignore[arg-type]

    return act


def saving(folder: str, tmp_path: Path) -> Act:
    return lambda moe: moe.save(tmp_path / folder)


# what is no step of the log
OTHERS: dict[str, tuple[Act, Act]] = {
    "lora": (nothing, lambda moe: moe.lora({0: [1], 1: [2]}, rank=2)),
    "whole experts": (nothing, lambda moe: moe.train_experts({0: [1], 1: [2]})),
    "recipe": (MoE.settle_opened, lambda moe: moe.apply(recipe_of(several))),
    "steer": (nothing, steering),
    "reroute": (nothing, rerouting),
    "requests": (nothing, asking),
    "top-k for a moment": (nothing, for_a_moment),
    "gradient": (lambda moe: moe.drop_adapter("waiting"), lambda moe: moe.suggest(TEXTS, score="gradient")),
    "usage": (nothing, lambda moe: moe.usage(TEXTS, generate_tokens=2)),
    "perplexity": (nothing, lambda moe: moe.perplexity(TEXTS)),
    "role by lora": (nothing, learning_role("lora")),
    "role by whole experts": (nothing, learning_role("full")),
    "role by routers": (nothing, learning_role("router")),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_step_leaves_all_as_it_was_too_when_it_fails(name: str) -> None:
    prepare, act = OTHERS[name]
    moe, other = opened(), opened()
    prepare(moe)
    prepare(other)
    state(other, IDS)
    with faults() as counted:
        act(other)
    assert fail_everywhere(moe, act, counted.inside, IDS, most=12) > 0


@pytest.mark.parametrize("kind", ["vanilla", "side-car"])
def test_a_save_that_fails_leaves_the_model_and_the_folder_as_they_were(kind: str, tmp_path: Path) -> None:
    def prepared() -> MoE:
        moe = opened()
        if kind == "vanilla":
            while moe.steps:
                moe.drop_adapter("waiting") if "waiting" in moe.adapters else moe.undo()
            moe.replace(0, 1, moe.layers[1].experts[2])
        return moe

    moe, other = prepared(), prepared()
    with faults() as counted:
        other.save(tmp_path / "counted")
    allocations = counted.inside[: len(counted.inside) * 9 // 10]  # transformers keeps some things from save to save
    assert fail_everywhere(moe, saving("out", tmp_path), allocations, IDS, most=12) > 5
    assert [path.name for path in tmp_path.iterdir()] == ["counted"]
    assert moe.save(tmp_path / "out").vanilla == (kind == "vanilla")


def test_a_step_that_cannot_even_be_taken_back_is_finished_by_undo(monkeypatch: pytest.MonkeyPatch) -> None:
    from interconnected_ai.surgery.adapters.offload import OffloadFolder

    moe = opened()
    before = state(moe, IDS)
    taken = OffloadFolder.take

    def unreadable(folder: OffloadFolder, name: str) -> Any:
        raise MemoryError

    monkeypatch.setattr(OffloadFolder, "take", unreadable)
    monkeypatch.setattr("interconnected_ai.surgery.operations.holding.near", unreadable)
    with pytest.raises(MemoryError) as failed:
        moe.pack_experts()
    assert any("call undo()" in note for note in failed.value.__notes__)
    for operation in (lambda: moe.set_top_k(1), lambda: moe.lora({0: [1]}), lambda: moe.remove(0, [1])):
        with pytest.raises(ConfigError, match="call undo"):
            operation()
    with pytest.raises(MemoryError):
        moe.undo()
    monkeypatch.setattr(OffloadFolder, "take", taken)
    assert moe.undo().do == "pack_experts"
    assert differing(before, state(moe, IDS)) == []
    moe.set_top_k(1)


def test_a_config_is_what_it_was_after_an_operation_that_failed() -> None:
    moe = opened()
    moe.undo()
    moe.undo()
    config = moe.model.config.to_dict()
    with pytest.raises(MemoryError), faults(at=None):
        broken(moe)
    assert moe.model.config.to_dict() == config
    assert moe.model.config.num_experts_per_tok == 2
    assert moe.model.num_experts_per_tok == 2


def broken(moe: MoE) -> None:
    """Top-k in all layers, which the config follows, and a block that fails when it is run afterwards."""
    block = moe.layers[1].place.block

    def fail(module: Any, args: Any) -> None:
        if moe.model.config.num_experts_per_tok == 3:
            raise MemoryError

    handle = block.register_forward_pre_hook(fail)
    try:
        moe.set_top_k(3)
    finally:
        handle.remove()


def edit(moe: MoE) -> None:
    """Follows all decoder layers where nobody did, and rules for all layers are to hold for the new numbers of one."""
    moe.remove(0, [0])


def adapter(moe: MoE) -> None:
    moe.lora({0: [1]}, rank=2)


def ruled(moe: MoE) -> None:
    moe.set_program(Program(rules=(Rule(do="prefer", experts=(2, 5)),)))


@pytest.mark.parametrize(("prepare", "act"), [(nothing, edit), (nothing, adapter), (nothing, ruled), (ruled, edit)])
def test_what_reaches_beyond_its_layer_is_taken_back_in_all(prepare: Act, act: Act) -> None:
    def fresh() -> MoE:
        moe = MoE(make("qwen3_moe", vocab_size=WORDS, num_hidden_layers=3))
        prepare(moe)
        return moe

    moe, other = fresh(), fresh()
    _, hooks = state(moe, IDS), len(moe.session.anatomy.backbone._forward_hooks)
    state(other, IDS)
    with faults() as counted:
        act(other)
    assert fail_everywhere(moe, act, counted.inside, IDS, most=12) > 3
    assert len(moe.session.anatomy.backbone._forward_hooks) == hooks
    act(moe)
    assert torch.equal(moe.model(IDS).logits, other.model(IDS).logits)
