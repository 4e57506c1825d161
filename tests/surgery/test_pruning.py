"""Which experts may go: each score beside its slow definition, budgets, groups, merges, the repair, the table."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from interconnected_ai import surgery
from interconnected_ai.bench.tiny_moes import TINY, make, prompts
from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.surgery import (
    PRUNING_METHODS,
    Checkpoint,
    MoE,
    Program,
    Recipe,
    Rule,
    Training,
    perplexity,
    prune,
    prune_by,
    pruning_table,
    rank_experts,
    repair,
)
from interconnected_ai.surgery.anatomy.ffn import aligned, average, mix_of
from interconnected_ai.surgery.anatomy.ffn import run as run_expert
from interconnected_ai.surgery.pruning.measuring import see
from interconnected_ai.surgery.pruning.merging import output_distances

IDS = prompts()
WORDS = [f"w{i}" for i in range(90)]
families = pytest.mark.parametrize("family", TINY)


def tokenizer() -> Any:
    vocabulary = {word: i for i, word in enumerate(["<pad>", "<bos>", "<eos>", *WORDS, "<unk>", "<a>", "<b>"])}
    fast = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    fast.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=fast, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")


def opened(family: str = "qwen3_moe", **settings: Any) -> MoE:
    return MoE(make(family, **settings), tokenizer())


def texts(first: int = 0, number: int = 6) -> list[str]:
    return [" ".join(WORDS[first + (i * j) % 12] for j in range(3 + i)) for i in range(1, number + 1)]


@torch.no_grad()
def logits(moe: Any) -> Tensor:
    out: Tensor = (moe.model if isinstance(moe, MoE) else moe)(IDS).logits
    return out


def numbers(moe: MoE) -> list[int]:
    return [layer.num_experts for layer in moe.layers]


def groups(family: str) -> dict[str, Any]:
    """Settings with which half of the experts may go: groups keep two or more."""
    return {"n_group": 2, "topk_group": 1} if family == "deepseek_v2" else {}


@families
def test_half_of_the_experts_go_and_vanilla_transformers_gives_the_same_logits(family: str, tmp_path: Path) -> None:
    moe = opened(family, **groups(family))
    done = prune(moe, texts(), keep=0.5)
    assert (done.before, done.after) == (16, 8)
    assert numbers(moe) == [4, 4]
    assert moe.save(tmp_path / "pruned").vanilla
    vanilla = AutoModelForCausalLM.from_pretrained(tmp_path / "pruned").eval()
    for tensor in [*vanilla.parameters(), *vanilla.buffers()]:
        tensor.data = tensor.data.clone()
    torch.testing.assert_close(logits(vanilla), logits(moe), rtol=0, atol=1e-6)


@families
@pytest.mark.parametrize("method", ["output", "merge", "gradient"])
def test_the_dearer_methods_work_in_every_family_and_undo_to_the_last_bit(family: str, method: Any) -> None:
    moe = opened(family, **groups(family))
    before = logits(moe)
    prune(moe, texts(), keep=0.5, method=method)
    assert numbers(moe) == [4, 4]
    assert bool(torch.isfinite(logits(moe)).all())
    while moe.steps:
        moe.undo()
    assert torch.equal(logits(moe), before)


def routed(moe: MoE, text: str) -> Any:
    with moe.watch() as seen, torch.no_grad():
        moe.model(torch.tensor([moe.tokenizer(text)["input_ids"]]))
    return seen.passes


@families
def test_reap_is_the_mean_over_an_experts_tokens_of_weight_times_the_size_of_its_output(family: str) -> None:
    moe = opened(family)
    layer, given = moe.layers[0], []
    handle = layer.router.register_forward_hook(lambda router, args, out: given.append(args[0].reshape(-1, 32)))
    sums, counts = torch.zeros(8), torch.zeros(8)
    for text in texts():
        given.clear()
        one = next(each for each in routed(moe, text) if each.layer == 0)
        for token, (chosen, weights) in enumerate(zip(one.indices.tolist(), one.weights.tolist(), strict=True)):
            for expert, weight in zip(chosen, weights, strict=True):
                hidden = given[0][token]
                with torch.no_grad():
                    if family == "llama4":
                        out = run_expert(layer.read(expert), mix_of(layer.place.experts), hidden * weight)
                    else:
                        out = weight * run_expert(layer.read(expert), mix_of(layer.place.experts), hidden)
                sums[expert] += out.norm()
                counts[expert] += 1
    handle.remove()
    seen = see(moe.session, texts(), batch_size=1)[0]
    assert seen.chosen.tolist() == counts.tolist()
    torch.testing.assert_close(seen.strength.float(), sums, rtol=1e-4, atol=1e-5)


def test_padding_counts_for_nothing() -> None:
    moe = opened()
    alone, together = see(moe.session, texts(), batch_size=1), see(moe.session, texts(), batch_size=6)
    for number, seen in alone.items():
        assert float((seen.chosen - together[number].chosen).abs().sum()) <= 2  # a near tie may fall the other way
        assert together[number].chosen.sum() == sum(len(text.split()) for text in texts()) * 2


@torch.no_grad()
def output_error(moe: MoE, gone: tuple[int, ...], hidden: Tensor) -> float:
    """How far the layer's block moves when these experts are really removed."""
    block = moe.layers[0].place.block
    before = block(hidden.unsqueeze(0))
    moe.remove(0, gone)
    after = moe.layers[0].place.block(hidden.unsqueeze(0))
    moe.undo()
    before, after = (each[0] if isinstance(each, tuple) else each for each in (before, after))
    return float((before - after).square().sum())


@pytest.mark.parametrize("family", ["qwen3_moe", "mixtral", "gpt_oss", "granitemoe", "glm4_moe", "llama4"])
def test_by_output_the_first_to_go_is_the_one_whose_removal_moves_the_layer_least(family: str) -> None:
    moe = opened(family)
    hidden = see(moe.session, texts())[0].hidden
    ranking = rank_experts(moe, texts(), "output")
    errors = [output_error(moe, (expert,), hidden) for expert in range(8)]
    first = ranking.schedules[0].moves[0].gone
    assert errors[first[0]] == pytest.approx(min(errors), rel=1e-3, abs=1e-6)
    second = ranking.schedules[0].moves[1].gone
    pairs = [output_error(moe, (first[0], other), hidden) for other in range(8) if other != first[0]]
    assert output_error(moe, (first[0], second[0]), hidden) == pytest.approx(min(pairs), rel=1e-3, abs=1e-6)


def test_the_gradient_score_is_what_the_loss_moves_by_when_an_expert_is_scaled() -> None:
    moe = opened()
    text = texts()[3:4]
    score = surgery.rank_experts(moe, text, "gradient").schedules[1]
    ids = torch.tensor([moe.tokenizer(text[0])["input_ids"]])
    slopes = []
    for expert in range(8):
        losses = []
        for factor in (1 - 1e-2, 1 + 1e-2):
            with moe.steer({1: {expert: factor}}), torch.no_grad():
                losses.append(float(moe.model(ids, labels=ids).loss))
        slopes.append(((losses[1] - losses[0]) / 2e-2) ** 2)
    costs = {move.gone[0]: move.cost for move in score.moves}
    for expert, cost in costs.items():
        assert cost == pytest.approx(slopes[expert] / sum(slopes), rel=0.05, abs=1e-3)


def test_merging_joins_an_expert_with_its_shuffled_copy_and_changes_nothing_but_rounding() -> None:
    moe = opened()
    weights = moe.layers[0].read(2)
    order = torch.randperm(weights.d_ff, generator=torch.Generator().manual_seed(1))
    shuffled = surgery.ExpertWeights(weights.gate[order], weights.up[order], weights.down[:, order])
    moe.replace(0, 6, shuffled)
    hidden = torch.randn(20, 32, generator=torch.Generator().manual_seed(2))
    assert float(output_distances(moe.layers[0], hidden)[2, 6]) < 1e-5
    torch.testing.assert_close(aligned(shuffled, weights).gate, weights.gate)
    torch.testing.assert_close(aligned(shuffled, weights).down, weights.down)
    ranking = rank_experts(moe, texts(), "merge")
    assert ranking.schedules[0].moves[0].joined == ((6, 2),)
    prune_by(moe, ranking, keep=7 / 8)
    assert moe.layers[0].num_experts == 7
    kept = moe.layers[0].read(2)
    torch.testing.assert_close(
        run_expert(kept, mix_of(moe.layers[0].place.experts), hidden),
        run_expert(weights, mix_of(moe.layers[0].place.experts), hidden),
        rtol=1e-4,
        atol=1e-5,
    )


def test_aligning_finds_biases_and_transposed_stacks_too() -> None:
    weights = opened("gpt_oss").layers[0].read(1)
    order = torch.randperm(weights.d_ff, generator=torch.Generator().manual_seed(1))
    assert weights.gate_bias is not None
    assert weights.up_bias is not None
    shuffled = surgery.ExpertWeights(
        weights.gate[order], weights.up[order], weights.down[:, order], weights.gate_bias[order], weights.up_bias[order],
        weights.down_bias,
    )  # fmt: skip
    for name, tensor in aligned(shuffled, weights).tensors().items():
        torch.testing.assert_close(tensor, weights.tensors()[name])


def test_an_aligned_merge_on_disk_is_the_one_in_memory(tmp_path: Path) -> None:
    moe = opened()
    moe.save(tmp_path / "model", verify=False)
    moe = surgery.open(tmp_path / "model")
    checkpoint = Checkpoint(tmp_path / "model")
    for layer in (0, 1):
        moe.merge(layer, [1, 5], [0.25, 0.75], align=True)
        checkpoint.merge(layer, [1, 5], [0.25, 0.75], align=True)
    checkpoint.save(tmp_path / "on disk")
    again = surgery.open(tmp_path / "on disk")
    assert torch.equal(logits(again), logits(moe))
    recipe = moe.recipe()
    recipe.save(tmp_path / "recipe.yaml")
    other = surgery.open(tmp_path / "model")
    other.apply(tmp_path / "recipe.yaml")
    assert torch.equal(logits(other), logits(moe))


@pytest.mark.parametrize("family", ["qwen3_moe", "deepseek_v3"])
def test_a_pruning_by_merging_is_replayed_on_the_files_to_the_last_bit(family: str, tmp_path: Path) -> None:
    opened(family).save(tmp_path / "model", verify=False)
    moe = surgery.open(tmp_path / "model", tokenizer())
    prune(moe, texts(), keep=0.5, method="merge")
    moe.recipe().save(tmp_path / "recipe.yaml")
    checkpoint = Checkpoint(tmp_path / "model")
    checkpoint.apply(Recipe.load(tmp_path / "recipe.yaml"))
    checkpoint.save(tmp_path / "on disk")
    again = surgery.open(tmp_path / "on disk")
    assert numbers(again) == numbers(moe)
    assert torch.equal(logits(again), logits(moe))
    assert checkpoint.recipe().steps == moe.recipe().steps


def test_a_join_on_disk_refuses_what_memory_refuses(tmp_path: Path) -> None:
    opened("deepseek_v3").save(tmp_path / "model", verify=False)  # 2 groups of 4, a token takes 2
    checkpoint = Checkpoint(tmp_path / "model")
    layer = next(iter(checkpoint.layers))
    for clusters, shares, said in (
        ([[0, 1]], None, r"would keep \[3, 4\]"),
        ([[0, 1, 2, 3], [4, 5, 6, 7]], None, r"would keep \[1, 1\]"),
        ([[0, 1], [1, 4]], None, "each in one alone"),
        ([[0]], None, "two or more different experts"),
        ([], None, "one cluster or more"),
        ([[0, 1], [4, 5]], [[0.5, 0.5]], "1 lists of shares for 2 clusters"),
        ([[0, 1], [4, 5]], [[0.5, 0.6], [0.5, 0.5]], "sum to 1"),
        ([[0, 1], [4, 5]], [[1.5, -0.5], [0.5, 0.5]], "none below 0"),
    ):
        with pytest.raises(ConfigError, match=said):
            checkpoint.join(layer, clusters, shares)
    assert checkpoint.recipe().steps == ()
    assert checkpoint.num_experts(layer) == 8


def test_routers_with_groups_lose_as_many_of_each() -> None:
    moe = opened("deepseek_v3")  # 2 groups of 4
    for method in PRUNING_METHODS:
        ranking = rank_experts(moe, texts(), method)
        left = ranking.schedules[0].after(2)
        assert len(left) == 4
        homes = [expert // 4 for cluster in left for expert in cluster[:1]]
        assert homes.count(0) == homes.count(1) == 2
        assert all(len({expert // 4 for expert in cluster}) == 1 for cluster in left)


def test_groups_that_would_keep_fewer_than_two_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"4 groups of two or more: keep 1 or more$"):
        prune(opened("deepseek_v2"), texts(), keep=0.5)


def test_several_clusters_become_one_each_at_once_and_rules_follow() -> None:
    moe = opened()
    moe.set_program(Program(rules=(Rule(do="prefer", experts=(6, 2), bias=0.5), Rule(do="forbid", experts=(7,)))))
    before, first = logits(moe), moe.layers[0].read(2).copy()
    mean = average([first, moe.layers[0].read(6)], [0.25, 0.75])
    moe.join(0, [[2, 6], [5, 1, 0]], [[0.25, 0.75], [0.5, 0.25, 0.25]])
    assert moe.layers[0].num_experts == 5  # 2, 3, 4, 5, 7
    assert torch.equal(moe.layers[0].read(0).gate, mean.gate)
    assert {rule.do: rule.experts for rule in moe.program.rules if rule.layers == (0,)} == {
        "prefer": (0,),
        "forbid": (4,),
    }
    moe.undo()
    assert torch.equal(logits(moe), before)
    with pytest.raises(ConfigError, match="one cluster alone"):
        moe.join(0, [[1, 2], [2, 3]])
    moe.set_program(Program(rules=(Rule(do="prefer", experts=(7,), bias=0.5),)))
    with pytest.raises(ConfigError, match=r"some of the experts \[0, 7\]"):
        moe.join(0, [[1, 2], [0, 7]])


def test_corrections_of_the_choice_go_with_their_experts() -> None:
    moe = opened("glm4_moe")
    before = moe.layers[0].router.e_score_correction_bias.clone()  # type: ignore[operator]
    done = prune(moe, texts(), keep=0.5)
    left = [expert for expert in range(8) if expert not in done.removed[0]]
    assert torch.equal(moe.layers[0].router.e_score_correction_bias, before[left])  # type: ignore[arg-type]


def test_a_global_budget_takes_where_it_costs_least_and_only_surgery_reads_it(tmp_path: Path) -> None:
    moe = opened()
    ranking = rank_experts(moe, texts(), "output")
    done = prune_by(moe, ranking, keep=0.625, budget="global")
    assert sum(numbers(moe)) == done.after == 10
    costs = [
        sum(move.cost for move in ranking.schedules[0].moves[:first])
        + sum(move.cost for move in ranking.schedules[1].moves[: 6 - first])
        for first in range(7)
    ]
    taken = 8 - moe.layers[0].num_experts
    assert costs[taken] <= costs[3] + 1e-9  # no dearer than the even split
    saved = moe.save(tmp_path / "global")
    assert saved.vanilla is moe.uniform
    assert torch.equal(logits(surgery.open(tmp_path / "global")), logits(moe))


@pytest.mark.parametrize("budget", ["layer", "global"])
def test_more_than_top_k_allows_is_refused_with_the_way_out(budget: Any) -> None:
    moe = opened()
    before = logits(moe)
    with pytest.raises(ConfigError, match="lower top-k first"):
        prune(moe, texts(), keep=1 / 8, budget=budget)
    assert torch.equal(logits(moe), before)
    assert not moe.steps
    moe.set_top_k(1)
    prune(moe, texts(), keep=1 / 8, budget=budget)
    assert numbers(moe) == [1, 1]


def test_a_share_that_takes_nothing_away_is_refused_before_any_text_is_read() -> None:
    moe = opened()
    moe.model.forward = lambda *args, **kwargs: pytest.fail("the model ran")
    for keep, told in ((0.99, "leaves every expert"), (1 / 8, "lower top-k first")):
        with pytest.raises(ConfigError, match=told):
            prune(moe, texts(), keep=keep)
        with pytest.raises(ConfigError, match=told):
            pruning_table(lambda: moe, texts(), texts(20), shares=(0.5, keep))


def test_nothing_is_pruned_where_a_rule_would_lose_all_its_experts() -> None:
    moe = opened()
    ranking = rank_experts(moe, texts(), "reap")
    last = ranking.schedules[1].moves[3].gone[0]
    moe.set_program(Program(rules=(Rule(do="prefer", experts=(last,), layers=(1,), bias=0.1),)))
    before, steps = logits(moe), len(moe.steps)
    with pytest.raises(ConfigError, match="would have none left"):
        prune_by(moe, ranking, keep=0.5)
    assert numbers(moe) == [8, 8]
    assert len(moe.steps) == steps
    assert torch.equal(logits(moe), before)


def test_what_is_not_settled_is_not_ranked() -> None:
    moe = opened()
    moe.clone(0, 1)
    with pytest.raises(ConfigError, match="closed or warm up"):
        rank_experts(moe, texts())
    moe = opened()
    moe.pack_experts([1])
    with pytest.raises(ConfigError, match="packed in 4 bits"):
        rank_experts(moe, texts(), "merge")
    with pytest.raises(UnknownNameError, match="reap"):
        rank_experts(moe, texts(), "reep")  # type: ignore[arg-type]
    moe = opened()
    ranking = rank_experts(moe, texts())
    prune_by(moe, ranking, keep=0.75)
    with pytest.raises(ConfigError, match="rank it again"):
        prune_by(moe, ranking, keep=0.5)


def test_random_rankings_differ_by_seed_and_by_nothing_else() -> None:
    orders = [rank_experts(opened(), texts(), "random", seed=seed).schedules for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize("what", ["router", "lora", "experts"])
def test_a_repair_lowers_the_loss_and_stands_in_the_recipe(what: Any, tmp_path: Path) -> None:
    moe = opened()
    moe.save(tmp_path / "model", verify=False)
    moe = surgery.open(tmp_path / "model")
    prune(moe, texts(), keep=0.5)
    before, requires = perplexity(moe, texts()), {p.requires_grad for p in moe.model.parameters()}
    rate = {"router": 1e-1, "lora": 2e-2, "experts": 1e-2}[what]
    done = repair(moe, texts(), what, steps=30, seq_tokens=12, learning_rate=rate, rank=4)
    assert perplexity(moe, texts()) < before
    assert done.num_params > 0
    assert not moe.adapters
    assert {p.requires_grad for p in moe.model.parameters()} == requires
    recipe = moe.recipe()
    assert recipe.lacks == ()
    recipe.save(tmp_path / "recipe.yaml")
    other = surgery.open(tmp_path / "model")
    other.apply(tmp_path / "recipe.yaml")
    assert torch.equal(logits(other), logits(moe))
    moe.save(tmp_path / "pruned")
    vanilla = AutoModelForCausalLM.from_pretrained(tmp_path / "pruned").eval()
    torch.testing.assert_close(logits(vanilla), logits(moe), rtol=0, atol=1e-6)


@pytest.mark.parametrize("what", ["router", "lora", "experts"])
def test_a_repair_that_is_undone_leaves_nothing(what: Any) -> None:
    moe = opened()
    prune(moe, texts(), keep=0.5)
    before, steps, names = logits(moe), len(moe.steps), [name for name, _ in moe.model.named_parameters()]
    repair(moe, texts(), what, steps=3, seq_tokens=12, learning_rate=1e-2, rank=4)
    assert not torch.equal(logits(moe), before)
    while len(moe.steps) > steps:
        moe.undo()
    assert torch.equal(logits(moe), before)
    assert not moe.adapters
    assert [name for name, _ in moe.model.named_parameters()] == names
    repair(moe, texts(), what, steps=3, seq_tokens=12, learning_rate=1e-2, rank=4)


def test_a_repair_that_fails_leaves_the_model_as_it_was() -> None:
    moe = opened()
    before, steps = logits(moe), len(moe.steps)
    with pytest.raises(ConfigError, match="learning_rate"):
        repair(moe, texts(), "lora", learning_rate=-1.0)
    with pytest.raises(ConfigError, match="seq_tokens"):  # looked at when the adapters are in
        repair(moe, texts(), "lora", seq_tokens=1)
    assert torch.equal(logits(moe), before)
    assert len(moe.steps) == steps
    assert not moe.adapters


def test_the_table_sets_every_method_beside_random_and_the_whole_model_trained_as_long() -> None:
    rows = pruning_table(
        opened, texts(), texts(20), methods=("reap", "random"), shares=(0.75, 0.5), random_seeds=2,
        training=Training("router", steps=2, seq_tokens=12),
    )  # fmt: skip
    told = [(row.method, row.keep, row.seed) for row in rows]
    assert told == [
        ("whole", 1.0, 0),
        *itertools.product(["reap"], [0.75, 0.5], [0]),
        ("random", 0.75, 0),
        ("random", 0.5, 0),
        ("random", 0.75, 1),
        ("random", 0.5, 1),
    ]
    assert rows[0].perplexity == pytest.approx(perplexity(opened(), texts(20)))
    assert all(row.repaired is not None and row.num_params <= rows[0].num_params for row in rows)
    moe = opened()
    prune(moe, texts(), keep=0.5)
    assert rows[2].perplexity == pytest.approx(perplexity(moe, texts(20)), rel=1e-5)


def test_the_mean_of_aligned_experts_keeps_their_dtype() -> None:
    weights = opened().layers[0].read(0)
    halves = [weights.to(torch.zeros(1, dtype=torch.bfloat16)) for _ in range(2)]
    mean = average([halves[0], aligned(halves[1], halves[0])])
    assert mean.gate.dtype == torch.bfloat16
    assert torch.equal(mean.gate, halves[0].gate)
