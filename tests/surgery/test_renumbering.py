"""What names experts by number follows them: rules, adapters and warm-ups, through every operation and back."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from interconnected_ai import surgery
from interconnected_ai.bench.tiny_moes import TINY, make, prompts
from interconnected_ai.errors import ConfigError
from interconnected_ai.surgery import MoE, Program, RowRequest, Rule
from properties import examples

IDS = prompts()
ROLE = int(IDS[0, 3])
families = pytest.mark.parametrize("family", TINY)

experts = st.lists(st.integers(0, 7), min_size=1, max_size=5, unique=True).map(tuple)
rules = st.builds(
    Rule,
    do=st.sampled_from(["prefer", "forbid", "only"]),
    experts=experts,
    layers=st.sampled_from([None, (0,), (1,), (0, 1)]),
    tokens=st.sampled_from([None, tuple(IDS[0, :4].tolist())]),
    role=st.sampled_from([None, "code"]),
)
forced = st.builds(
    Rule, do=st.just("force"), experts=st.tuples(st.integers(0, 7)), layers=st.sampled_from([None, (1,)])
)


@torch.no_grad()
def logits(moe: MoE) -> Tensor:
    out: Tensor = moe.model(IDS).logits
    return out


def programmed(moe: MoE, *given_rules: Rule) -> Tensor:
    """Outputs under a program, where it can be."""
    program = Program(roles={"code": ROLE}, rules=given_rules)
    try:
        moe.set_program(program)
        return logits(moe)
    except ConfigError:  # too many or too few experts for a token
        assume(False)
        raise


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@examples(30)
@given(st.lists(rules, max_size=3), st.lists(forced, max_size=1), st.permutations(range(8)), st.integers(0, 1))
def test_a_programs_effect_follows_reordered_experts(
    some: list[Rule], one: list[Rule], order: list[int], layer: int
) -> None:
    moe = MoE(make("qwen3_moe"))
    before = programmed(moe, *some, *one)
    program = moe.program
    moe.reorder(layer, order)
    close(logits(moe), before)
    for rule in moe.program.rules:
        assert rule.layers is None or set(rule.layers) <= {0, 1}
    moe.undo()
    assert torch.equal(logits(moe), before)
    assert moe.program == program


@examples(20)
@given(st.lists(rules, max_size=3), st.sets(st.integers(0, 7), min_size=1, max_size=4), st.integers(0, 1))
def test_removed_experts_are_missing_and_the_rules_on_others_hold(some: list[Rule], gone: set[int], layer: int) -> None:
    moe = MoE(make("qwen3_moe"))
    expected = programmed(moe, *some, Rule(do="forbid", experts=tuple(gone), layers=(layer,)))
    moe.undo()
    before = programmed(moe, *some)
    lost = [rule for rule in some if layer in (rule.layers or (0, 1)) and set(rule.experts) <= gone]
    if lost:
        with pytest.raises(ConfigError, match=rf"{lost[0].do} experts .* none left in layer {layer}"):
            moe.remove(layer, gone)
        assert torch.equal(logits(moe), before)
        return
    moe.remove(layer, gone)
    close(logits(moe), expected)
    moe.undo()
    assert torch.equal(logits(moe), before)


@families
def test_rules_hold_to_the_last_bit_beside_inserted_experts(family: str) -> None:
    moe = MoE(make(family))
    groups = moe.layers[0].groups[0]
    before = programmed(
        moe,
        Rule(do="forbid", experts=(6,)),
        Rule(do="prefer", experts=(5,), role="code"),
        Rule(do="force", experts=(7,), tokens=tuple(IDS[1, 2:5].tolist())),
    )
    program = moe.program
    numbers = moe.insert(0, [moe.layers[0].experts[6]] * groups)
    assert torch.equal(logits(moe), before)
    named = [rule.experts[0] for rule in moe.program.rules if rule.layers in (None, (0,))]
    assert named == [each + each * groups // 8 for each in (6, 5, 7)]  # each group before theirs grew by one
    assert not set(named) & set(numbers)
    moe.undo()
    assert moe.program == program
    assert torch.equal(logits(moe), before)


def test_a_rule_names_all_experts_that_become_one_or_none() -> None:
    moe = MoE(make("qwen3_moe"))
    moe.set_program(Program(rules=(Rule(do="forbid", experts=(2, 5, 7)), Rule(do="prefer", experts=(6,), layers=(0,)))))
    with pytest.raises(ConfigError, match=r"forbid experts 2, 5, 7 names some of the experts \[2, 3\] of layer 0"):
        moe.merge(0, [2, 3])
    before, program = logits(moe), moe.program
    assert moe.merge(0, [5, 2]) == 4
    first, second, third = moe.program.rules
    assert (first.layers, first.experts) == ((1,), (2, 5, 7))
    assert (second.layers, set(second.experts)) == ((0,), {4, 6})
    assert third.experts == (5,)
    with moe.watch() as seen:
        logits(moe)
    assert not torch.isin(seen.passes[0].indices, torch.tensor([4, 6])).any()
    moe.undo()
    assert moe.program == program
    assert torch.equal(logits(moe), before)


def test_operations_that_would_leave_rules_too_few_experts_are_refused() -> None:
    moe = MoE(make("qwen3_moe"))
    moe.set_program(Program(rules=(Rule(do="only", experts=(1, 2)),)))
    with pytest.raises(ConfigError, match="leaves 1 experts in layer 1"):
        moe.remove(1, [2])
    with pytest.raises(ConfigError, match="leaves 1 experts in layer 0"):
        moe.merge(0, [1, 2])


@families
def test_adapters_follow_their_experts(family: str, tmp_path: Path) -> None:
    moe = MoE(make(family))
    groups = moe.layers[0].groups[0]
    size = 8 // groups
    adapters = [moe.lora({0: [1, 6], 1: [3]}, rank=2), moe.train_experts({0: [2]})]
    with torch.no_grad():
        for parameter in (each for adapter in adapters for each in adapter.parameters()):
            parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(1))
    before = logits(moe)
    turned = [group * size + (i + 1) % size for group in range(groups) for i in range(size)]
    moe.reorder(0, turned)
    assert adapters[0].spec.experts == {0: (turned.index(1), turned.index(6)), 1: (3,)}
    close(logits(moe), before)
    numbers = moe.insert(0, [None] * groups)
    close(logits(moe), before)
    moe.save(tmp_path / "saved")
    assert torch.equal(logits(surgery.open(tmp_path / "saved")), logits(moe))
    moe.let_in(0, numbers)
    moe.remove(0, numbers)
    close(logits(moe), before)
    assert adapters[1].spec.experts == {0: (turned.index(2),)}
    moe.undo()
    moe.undo()
    close(logits(moe), before)


@families
def test_adapters_come_back_to_their_numbers_and_bits_when_a_step_is_undone(family: str) -> None:
    moe = MoE(make(family))
    groups = moe.layers[0].groups[0]
    adapter = moe.lora({0: [1, 6]}, rank=2)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(1))
    before, spec = logits(moe), adapter.spec
    numbers = moe.insert(0, [None] * groups)
    later = moe.train_experts({0: [numbers[0]]}, name="later")
    with pytest.raises(ConfigError, match=rf"undoing insert: the adapter 'later' stands in for expert {numbers[0]}"):
        moe.undo()
    assert [step.do for step in moe.steps] == ["insert"]
    assert later.modules()
    moe.drop_adapter("later")
    moe.undo()
    assert torch.equal(logits(moe), before)
    assert adapter.spec == spec


def test_a_warm_up_follows_its_expert() -> None:
    moe = MoE(make("qwen3_moe"))
    (new,) = moe.insert(0, [moe.layers[0].experts[1]])
    warmup = moe.let_in(0, [new], steps=4)
    warmup.step()
    moe.reorder(0, [new, *range(new)])
    assert moe.layers[0].state.bias == {0: -7.5}
    warmup.step()
    assert moe.layers[0].state.bias == {0: -5.0}
    moe.undo()
    warmup.step()
    assert moe.layers[0].state.bias == {new: -2.5}
    moe.remove(0, [new])
    warmup.step()
    assert moe.layers[0].state.bias == {}


def test_a_warm_up_goes_on_after_a_replay_and_a_save_and_ends_with_its_step(tmp_path: Path) -> None:
    moe, other = MoE(make("qwen3_moe")), MoE(make("qwen3_moe"))
    (first,) = moe.insert(0, [moe.layers[0].experts[1]])
    (second,) = moe.insert(1, [moe.layers[1].experts[1]])
    one, two = moe.let_in(0, [first], steps=2), moe.let_in(1, [second], steps=4)
    for warmup in (one, two, one, two):
        warmup.step()
    moe.recipe().save(tmp_path / "recipe.yaml")
    moe.save(tmp_path / "saved")
    other.apply(tmp_path / "recipe.yaml")
    again = surgery.open(tmp_path / "saved")
    for each in (other, again):
        assert torch.equal(logits(each), logits(moe))
        (left,) = each.warmups
        assert (left.layer, left.experts, left.taken) == (1, (second,), 2)
    two.step()
    for each in (other, again):
        each.warmups[0].step()
        assert torch.equal(logits(each), logits(moe))
    undone = other.warmups[0]
    other.undo()
    before = logits(other)
    undone.step()
    assert other.warmups == []
    assert torch.equal(logits(other), before)
    with pytest.raises(ConfigError, match="no more taken than those"):
        other.let_in(1, [second], steps=1, taken=2)


def test_numbers_that_nobody_can_change_keep_experts_where_they_are() -> None:
    moe = MoE(make("qwen3_moe"))
    moe.set_program(Program(), [lambda hidden, chosen, forward: chosen])
    for operation in (
        lambda: moe.remove(0, [1]),
        lambda: moe.merge(0, [1, 2]),
        lambda: moe.insert(0, [None]),
        lambda: moe.reorder(0, range(8)),
    ):
        with pytest.raises(ConfigError, match="function in Python may name experts by number"):
            operation()
    moe.replace(0, 1, moe.layers[0].experts[2])  # numbers nothing anew
    moe.set_program(Program())
    contexts: list[Any] = [
        moe.requests([RowRequest(deny=frozenset({1}))] * 2),
        moe.ablate({0: [1]}),
        moe.ablate({0: [1]}, reroute=True),
        moe.steer({0: {1: 2.0}}),
    ]
    for context in contexts:
        with context, pytest.raises(ConfigError, match="operate outside their `with` blocks"):
            moe.remove(0, [2])
    moe.remove(0, [2])


def test_requests_hold_through_operations_that_number_nothing_anew() -> None:
    moe = MoE(make("qwen3_moe"))
    with moe.requests([RowRequest(deny=frozenset({1, 2, 3}))] * 2):
        moe.set_program(Program(rules=(Rule(do="forbid", experts=(5,), layers=(0,)),)))
        with moe.watch() as seen:
            logits(moe)
    for routed in seen.passes:
        assert not torch.isin(routed.indices, torch.tensor([1, 2, 3])).any()


def test_a_recipe_replays_renumbered_rules_and_a_saved_model_keeps_them(tmp_path: Path) -> None:
    moe, other = MoE(make("qwen3_moe")), MoE(make("qwen3_moe"))
    programmed(moe, Rule(do="only", experts=(1, 2, 3), role="code"), Rule(do="prefer", experts=(6,)))
    moe.reorder(1, [7, 6, 5, 4, 3, 2, 1, 0])
    moe.remove(0, [0])
    moe.recipe().save(tmp_path / "recipe.yaml")
    other.apply(tmp_path / "recipe.yaml")
    assert other.program == moe.program
    assert torch.equal(logits(other), logits(moe))
    moe.save(tmp_path / "saved")
    again = surgery.open(tmp_path / "saved")
    assert again.program == moe.program
    assert torch.equal(logits(again), logits(moe))
