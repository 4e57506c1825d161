"""Every operation on a tiny random model of every family: right, verified, undone to the last bit."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import Qwen3Config, Qwen3ForCausalLM

from interconnected_ai.bench.tiny_moes import TINY, make, prompts
from interconnected_ai.errors import ConfigError, IntegrityError, UnknownNameError
from interconnected_ai.surgery import ExpertWeights, MoE, Program, Recipe, Rule
from interconnected_ai.surgery.anatomy.layer import Probe
from interconnected_ai.surgery.operations.verification import same_bits
from interconnected_ai.surgery.routing.context import dress
from interconnected_ai.surgery.routing.edited_router import EditedRouter, RouterState
from properties import examples

families = pytest.mark.parametrize("family", TINY)
CHANGES = ("insert", "let in", "remove", "merge", "reorder", "replace", "top-k", "pack", "unpack", "rule")
IDS = prompts()


@torch.no_grad()
def logits(moe: MoE, **more: Any) -> Tensor:
    out: Tensor = moe.model(IDS, **more).logits
    return out


def used_expert(moe: MoE, layer: int) -> int:
    """An expert that the test's prompt reaches in this layer."""
    with moe.watch() as seen:
        logits(moe)
    routed = next(each for each in seen.passes if each.layer == layer)
    return int(routed.indices[0, 0])


def num_groups(moe: MoE) -> int:
    return moe.layers[0].groups[0]


@families
def test_the_edited_router_chooses_what_the_familys_own_does(family: str) -> None:
    moe = MoE(make(family))
    before = logits(moe)
    for layer in moe.layers:
        layer.router.__dict__["surgery"] = RouterState(moe.family.routing)
        dress(layer.router, EditedRouter)
    assert torch.equal(logits(moe), before)
    with torch.no_grad():
        recorded = moe.model(IDS, output_router_logits=True)
    assert len(getattr(recorded, "router_logits", (1, 2))) == 2


@families
def test_an_expert_as_an_ordinary_ffn_computes_what_the_stack_does(family: str) -> None:
    moe = MoE(make(family))
    layer = moe.layers[0]
    hidden = torch.randn(5, 32, generator=torch.Generator().manual_seed(1))
    experts: Any = layer.place.experts
    number = torch.full((5, 1), 3)
    if family == "llama4":
        routed = torch.zeros(8, 5, 32).index_copy(0, torch.tensor([3]), hidden.unsqueeze(0))
        with torch.no_grad():
            expected = experts(routed.flatten(0, 1)).view(8, 5, 32)[3]
    else:
        with torch.no_grad():
            expected = experts(hidden, number, torch.ones(5, 1))
    with torch.no_grad():
        torch.testing.assert_close(layer.experts[3].ffn(hidden), expected, rtol=1e-5, atol=1e-5)


@families
def test_inserted_experts_change_nothing_to_the_last_bit_until_they_are_let_in(family: str) -> None:
    moe = MoE(make(family))
    before = logits(moe)
    source = used_expert(moe, 0)
    numbers = moe.insert(0, [moe.layers[0].experts[source]] * num_groups(moe))
    assert moe.layers[0].num_experts == 8 + num_groups(moe)
    assert torch.equal(logits(moe), before)
    assert moe.layers[0].closed == set(numbers)
    moe.let_in(0, numbers)
    assert not torch.equal(logits(moe), before)
    moe.undo()
    assert torch.equal(logits(moe), before)
    moe.undo()
    assert torch.equal(logits(moe), before)
    assert moe.plain
    assert moe.uniform
    assert not isinstance(moe.layers[0].router, EditedRouter)


@families
def test_an_inserted_expert_opens_step_by_step(family: str) -> None:
    moe = MoE(make(family))
    before = logits(moe)
    numbers = moe.insert(0, [moe.layers[0].experts[used_expert(moe, 0)]] * num_groups(moe))
    warmup = moe.let_in(0, numbers, steps=4)
    distances = []
    while not warmup.finished:
        warmup.step()
        distances.append((logits(moe) - before).abs().max().item())
    assert moe.layers[0].state.bias == {}
    assert distances[-1] > 0
    assert distances[-1] >= distances[0]


@families
def test_top_k_changes_in_every_copy_and_for_a_moment(family: str) -> None:
    moe = MoE(make(family))
    before = logits(moe)
    if family == "phimoe":
        with pytest.raises(ConfigError, match="always takes 2"):
            moe.set_top_k(3)
        return
    with moe.top_k(1):
        assert not torch.equal(logits(moe), before)
    assert torch.equal(logits(moe), before)
    moe.set_top_k(3)
    config = moe.model.config
    fresh = type(moe.model)(type(config)(**{**config.to_dict(), "num_experts_per_tok": 3})).eval()
    fresh.load_state_dict(moe.model.state_dict())
    with torch.no_grad():
        expected = fresh(IDS, labels=IDS, output_router_logits=True)
        out = moe.model(IDS, labels=IDS, output_router_logits=True)
    assert torch.equal(out.logits, expected.logits)
    assert torch.equal(out.loss, expected.loss)  # the balance loss reads a copy of its own
    assert moe.model.config.num_experts_per_tok == 3
    assert moe.undo().do == "set_top_k"
    assert torch.equal(logits(moe), before)


@families
def test_a_replaced_expert_serves_its_tokens_and_no_others(family: str) -> None:
    moe = MoE(make(family))
    before = logits(moe)
    used = used_expert(moe, 0)
    source = moe.layers[1].experts[(used + 1) % 8]
    moe.layers[0].experts[used].replace(source)
    for name, tensor in moe.layers[0].read(used).tensors().items():
        assert torch.equal(tensor, source.weights.tensors()[name])
    assert not torch.equal(logits(moe), before)
    moe.undo()
    assert torch.equal(logits(moe), before)


def test_a_history_holds_what_would_be_lost_and_no_second_copy_of_the_experts() -> None:
    moe = MoE(make("qwen3_moe"))
    before: Any = moe.layers[0].place.experts.down_proj
    whole = before.clone()
    moe.insert(0, [None])
    moe.remove(0, [2])
    moe.merge(0, [1, 3])
    assert before.numel() == 0
    while moe.steps:
        moe.undo()
    assert moe.layers[0].place.experts.down_proj is before
    assert torch.equal(before, whole)


@examples(25)
@given(st.lists(st.tuples(st.sampled_from(CHANGES), st.integers(0, 1), st.integers(0, 5)), min_size=1, max_size=6))
@pytest.mark.filterwarnings("ignore:four bits moved the logits:UserWarning")
def test_any_steps_undone_leave_every_bit_as_it_was(steps: list[tuple[str, int, int]]) -> None:
    moe = MoE(make("qwen3_moe"))
    state = {name: tensor.clone() for name, tensor in moe.model.state_dict().items()}
    before = logits(moe)
    for name, layer, number in steps:
        try:
            change(moe, name, layer, number)
        except ConfigError:  # too few experts, packed ones, nothing closed
            continue
    while moe.steps:
        moe.undo()
    after = moe.model.state_dict()
    assert list(after) == list(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in after.items())
    assert torch.equal(logits(moe), before)
    assert moe.plain


def change(moe: MoE, name: str, layer: int, number: int) -> None:
    place = moe.layers[layer]
    order = torch.randperm(place.num_experts, generator=torch.Generator().manual_seed(number)).tolist()
    match name:
        case "insert":
            moe.insert(layer, [moe.layers[1 - layer].experts[number]])
        case "let in":
            moe.let_in(layer, [max(place.closed, default=0)], steps=number)
        case "remove":
            moe.remove(layer, [number])
        case "merge":
            moe.merge(layer, [number, number + 1])
        case "reorder":
            moe.reorder(layer, order)
        case "replace":
            moe.replace(layer, number, moe.layers[1 - layer].experts[0])
        case "top-k":
            moe.set_top_k(1 + number % 3, [layer])
        case "pack":
            moe.pack_experts([layer])
        case "unpack":
            moe.unpack_experts([layer])
        case "rule":
            moe.set_program(Program(rules=(Rule(do="prefer", experts=(number,), bias=float(layer + 1)),)))


@families
def test_experts_in_another_order_give_the_same(family: str) -> None:
    moe = MoE(make(family))
    before = logits(moe)
    size = 8 // num_groups(moe)
    order = [group * size + (i + 1) % size for group in range(num_groups(moe)) for i in range(size)]
    moe.reorder(0, order)
    torch.testing.assert_close(logits(moe), before, rtol=1e-4, atol=1e-4)
    moe.undo()
    assert torch.equal(logits(moe), before)


@families
def test_layers_may_have_different_numbers_of_experts_with_a_balance_loss(family: str) -> None:
    moe = MoE(make(family))
    before = logits(moe)
    groups = num_groups(moe)
    if 8 // groups < 3:
        with pytest.raises(ConfigError, match="leave two or more"):
            moe.remove(0, range(groups))
        return
    moe.remove(0, [group * (8 // groups) for group in range(groups)])
    assert moe.layers[0].num_experts == 8 - groups
    assert not moe.uniform
    with torch.no_grad():
        out = moe.model(IDS, labels=IDS, output_router_logits=True)
    assert torch.isfinite(out.loss)
    if hasattr(moe.model, "router_aux_loss_coef"):
        plain = moe.model(IDS, labels=IDS).loss
        torch.testing.assert_close(out.loss, plain + moe.model.router_aux_loss_coef * out.aux_loss)
        assert [layer.shape[1] for layer in out.router_logits] == [8 - groups, 8]
    moe.undo()
    assert torch.equal(logits(moe), before)


@families
def test_merged_experts_become_their_mean(family: str) -> None:
    moe = MoE(make(family))
    if num_groups(moe) > 1:
        with pytest.raises(ConfigError, match="groups"):
            moe.merge(0, [0, 1])
        return
    before = logits(moe)
    first, second = (moe.layers[0].read(each).copy() for each in (2, 5))
    number = moe.merge(0, [2, 5], shares=[0.25, 0.75])
    torch.testing.assert_close(moe.layers[0].read(number).down, 0.25 * first.down + 0.75 * second.down)
    assert moe.layers[0].num_experts == 7
    moe.undo()
    assert torch.equal(logits(moe), before)


@families
def test_forced_and_forbidden_experts_are_and_are_not_chosen(family: str) -> None:
    moe = MoE(make(family))
    before = logits(moe)
    row, used = IDS[0].tolist(), used_expert(moe, 1)
    moe.set_program(
        Program(
            rules=(
                Rule(do="force", experts=(3,), tokens=tuple(row), layers=(0,)),
                Rule(do="forbid", experts=(used,), layers=(1,)),
            )
        )
    )
    with moe.watch() as seen:
        logits(moe)
    first, second = (each.indices for each in seen.passes)
    assert (first.view(2, 9, -1)[0] == 3).any(dim=-1).all()
    assert not (second == used).any()
    moe.undo()
    assert torch.equal(logits(moe), before)


@families
def test_a_recipe_replays_to_the_same_bits(family: str, tmp_path: Any) -> None:
    moe, other = MoE(make(family)), MoE(make(family))
    groups = num_groups(moe)
    numbers = moe.insert(1, [moe.layers[0].experts[2]] * groups)
    moe.let_in(1, numbers)
    moe.replace(0, 1, moe.layers[1].experts[4])
    moe.set_program(Program(rules=(Rule(do="prefer", experts=(1,), tokens=(5, 6)),)))
    moe.recipe().save(tmp_path / "recipe.yaml")
    other.apply(tmp_path / "recipe.yaml")
    assert torch.equal(logits(other), logits(moe))
    assert [step.do for step in other.steps] == [step.do for step in moe.steps]
    with pytest.raises(ConfigError, match="made for another model"):
        other.apply(Recipe.load(tmp_path / "recipe.yaml"))
    stranger = MoE(make(family, seed=9))
    with pytest.raises(ConfigError, match="other router weights"):
        stranger.apply(tmp_path / "recipe.yaml")
    assert stranger.steps == ()


@pytest.mark.parametrize("change", ["shape", "dtype", "nan"])
def test_a_replacement_that_does_not_fit_is_refused_and_nothing_changes(change: str) -> None:
    moe = MoE(make("qwen3_moe"))
    before = logits(moe)
    good = moe.layers[0].read(0).copy()
    bad = {
        "shape": lambda: ExpertWeights(good.gate[:, :-1], good.up, good.down),
        "dtype": lambda: ExpertWeights(good.gate.double(), good.up, good.down),
        "nan": lambda: ExpertWeights(good.gate * float("nan"), good.up, good.down),
    }[change]()
    said = {"shape": "needs", "dtype": "convert it first", "nan": "NaN"}[change]
    with pytest.raises(ConfigError, match=said):
        moe.replace(0, 0, bad)
    with pytest.raises(ConfigError, match=said):
        moe.insert(0, [bad])
    assert torch.equal(logits(moe), before)
    assert moe.steps == ()


def test_numbers_out_of_range_are_refused() -> None:
    moe = MoE(make("qwen3_moe"))
    with pytest.raises(ConfigError, match="layer 7 has no experts"):
        moe.layers[7]
    for number in (8, -1, True):
        with pytest.raises(ConfigError, match="experts 0 to 7"):
            moe.layers[0].experts[number]
    with pytest.raises(ConfigError, match="top-k"):
        moe.remove(0, range(7))
    with pytest.raises(ConfigError, match="no expert left"):
        moe.remove(0, range(8))
    with pytest.raises(ConfigError, match="8 experts in reach"):
        moe.set_top_k(9)
    with pytest.raises(ConfigError, match="at least 1"):
        moe.set_top_k(0)
    with pytest.raises(ConfigError, match="nothing to undo"):
        moe.undo()
    with pytest.raises(ConfigError, match="not closed"):
        moe.let_in(0, [3])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda moe: moe.insert(0, []), "no expert was given"),
        (lambda moe: moe.insert(0, [[]]), r"\[\] is no expert"),
        (lambda moe: moe.insert(0, ["x"]), "str is no expert"),
        (lambda moe: moe.insert(0, [None], torch.zeros(2, 32)), r"needs \(1, 32\)"),
        (lambda moe: moe.insert(0, [None], {"weigth": torch.zeros(1, 32)}), "'weigth'; known, nearest first: 'weight'"),
        (lambda moe: moe.insert(0, [None], torch.full((1, 32), torch.nan)), "NaN"),
        (lambda moe: moe.remove(0, []), "no expert was named"),
        (lambda moe: moe.let_in(0, []), "name some of"),
        (lambda moe: moe.merge(0, [1, 2], [-1.0, 2.0]), "none below 0"),
        (lambda moe: moe.merge(0, [1, 2], [torch.nan, 1.0]), "needs a finite number"),
        (lambda moe: moe.reorder(0, [0, 1]), "every number from 0 to 7 once"),
        (lambda moe: moe.set_top_k(2, []), "no layer was named"),
        (lambda moe: moe.pack_experts([]), "no layer was named"),
        (lambda moe: moe.lora({0: [1]}, alpha=0.0), "alpha above 0"),
    ],
)
def test_what_makes_no_sense_is_said_and_nothing_changes(wrong: Any, said: str) -> None:
    moe = MoE(make("qwen3_moe"))
    before = logits(moe)
    with pytest.raises((ConfigError, UnknownNameError), match=said):
        wrong(moe)
    assert torch.equal(logits(moe), before)
    assert moe.steps == ()
    assert moe.plain


@pytest.mark.parametrize("kind", ["expert", "ffn", "dense model", "mean"])
def test_anything_that_is_an_ffn_can_be_inserted(kind: str) -> None:
    moe = MoE(make("qwen3_moe"))
    sizes = {
        "vocab_size": 50,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
    }
    dense = Qwen3ForCausalLM(Qwen3Config(**sizes, hidden_size=32, intermediate_size=16)).model.layers[0].mlp
    other = MoE(make("qwen3_moe", seed=5)).layers[1].experts[4]
    source = {"expert": other, "ffn": other.ffn, "dense model": dense, "mean": [other, dense]}[kind]
    (new,) = moe.insert(0, [source])
    hidden = torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
    if kind == "mean":
        torch.testing.assert_close(moe.layers[0].read(new).up, (other.weights.up + dense.up_proj.weight) / 2)
    else:
        expected = other.ffn if kind == "expert" else source
        torch.testing.assert_close(moe.layers[0].experts[new].ffn(hidden), expected(hidden))


def test_top_k_beyond_the_groups_is_refused_where_transformers_takes_masked_experts() -> None:
    moe = MoE(make("deepseek_v3"))  # 2 groups of 4, of which a token may use 1
    with pytest.raises(ConfigError, match="4 experts together"):
        moe.set_top_k(5)


def test_kernels_that_round_otherwise_are_told_from_outputs_that_changed() -> None:
    class Elsewhere(Tensor):
        """A tensor that says it is on a GPU."""

        device = property(lambda self: torch.device("cuda"))  # type: ignore[assignment]

    layer = MoE(make("qwen3_moe")).layers[0]
    before, rows = layer.probe(), torch.tensor(0)
    rounded = Probe(before.out * (1 + torch.finfo(torch.float32).eps), rows, rows)
    moved = Probe(before.out * 1.01, rows, rows)
    for after in (rounded, moved):
        with pytest.raises(IntegrityError, match="outputs changed, and should not have"):
            same_bits(layer, before, after)
    elsewhere = Probe(before.out.as_subclass(Elsewhere), rows, rows)
    with pytest.warns(UserWarning, match="changed by rounding; the kernels of this cuda device"):
        same_bits(layer, elsewhere, rounded)
    with pytest.raises(IntegrityError, match="more than rounding"):
        same_bits(layer, elsewhere, moved)


def test_operations_warn_when_devices_can_no_longer_share_the_experts() -> None:
    moe = MoE(make("qwen3_moe"), expert_parallel=4)
    with pytest.warns(UserWarning, match="4 devices cannot share"):
        moe.insert(0, [None])


def test_an_interrupted_operation_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    moe = MoE(make("qwen3_moe"))
    before, probes = logits(moe), []
    probe = type(moe.layers[0]).probe

    def interrupted(layer: Any) -> Any:
        probes.append(layer)
        if len(probes) > len(moe.layers):  # the change is made, its check has begun
            raise KeyboardInterrupt
        return probe(layer)

    monkeypatch.setattr(type(moe.layers[0]), "probe", interrupted)
    with pytest.raises(KeyboardInterrupt):
        moe.set_top_k(1)
    assert torch.equal(logits(moe), before)
    assert moe.layers[0].top_k == 2


@families
def test_every_count_of_experts_that_a_layer_keeps_follows_an_operation_and_comes_back(family: str) -> None:
    moe = MoE(make(family))
    place = moe.layers[0].place
    kept = [
        (module, name)
        for module in (place.block, place.router, place.experts)
        for name in ("num_experts", "out_features")
        if getattr(module, name, None) == moe.layers[0].num_experts
    ]
    assert kept
    if num_groups(moe) > 1:
        pytest.skip("groups of two lose no expert")
    moe.remove(0, [0])
    assert {getattr(module, name) for module, name in kept} == {moe.layers[0].num_experts}
    moe.undo()
    assert {getattr(module, name) for module, name in kept} == {8}


def test_the_mean_of_all_experts_may_stand_in_a_list() -> None:
    alone, listed = MoE(make("qwen3_moe")), MoE(make("qwen3_moe"))
    (new,), (other,) = alone.insert(0, [None]), listed.insert(0, [[None]])
    for name, tensor in alone.layers[0].experts[new].weights.tensors().items():
        assert torch.equal(tensor, listed.layers[0].experts[other].weights.tensors()[name])
