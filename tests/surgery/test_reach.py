"""How many experts a token takes: by row, by probability, after its best expert; each row of a batch as if it were alone."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from interconnected_ai import surgery
from interconnected_ai.bench.tiny_moes import TINY, make, prompts
from interconnected_ai.errors import ConfigError, DataError, UnknownNameError
from interconnected_ai.surgery import MoE, Program, RowRequest, Rule

IDS = prompts()
FREE = [family for family in TINY if family != "phimoe"]  # its router takes two, whatever it is told
families = pytest.mark.parametrize("family", FREE)


@torch.no_grad()
def logits(moe: Any, ids: Tensor = IDS) -> Tensor:
    out: Tensor = (moe.model if isinstance(moe, MoE) else moe)(ids).logits
    return out


def same(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@families
def test_rows_of_one_batch_take_different_numbers_of_experts_as_if_each_were_alone(family: str) -> None:
    moe, alone = MoE(make(family)), MoE(make(family))
    with moe.requests([RowRequest(top_k=1), RowRequest(top_k=3)]):
        together = logits(moe)
    for row, top_k in enumerate((1, 3)):
        alone.set_top_k(top_k)
        same(together[row : row + 1], logits(alone, IDS[row : row + 1]))
    same(logits(moe), logits(MoE(make(family))))  # nothing is left of it
    assert moe.plain


@families
def test_a_part_of_the_probability_that_is_never_reached_is_top_k_and_a_tiny_one_is_top_1(family: str) -> None:
    moe, whole = MoE(make(family)), MoE(make(family))
    moe.set_top_p(1.0)
    same(logits(moe), logits(whole))
    moe.set_top_p(1e-6)
    whole.set_top_k(1)
    same(logits(moe), logits(whole))
    moe.set_top_p(1e-6, at_least=2)
    whole.set_top_k(2)
    same(logits(moe), logits(whole))
    assert not moe.plain
    moe.set_top_p(None)
    assert moe.plain


def test_a_token_takes_as_few_experts_as_reach_the_part() -> None:
    moe = MoE(make("qwen3_moe"))
    moe.set_top_p(0.5, at_most=6)
    with moe.watch() as seen:
        logits(moe)
    for routed in seen.passes:
        probabilities = routed.logits.softmax(dim=-1)
        for token, chosen in zip(probabilities, routed.indices.tolist(), strict=True):
            ranked = token.sort(descending=True)
            wanted = min(int((ranked.values.cumsum(0) < 0.5).sum()) + 1, 6)
            taken = [expert for expert in chosen if expert < 8]
            assert taken == ranked.indices[:wanted].tolist()
    taken = torch.cat([(routed.indices < 8).sum(dim=1) for routed in seen.passes])
    assert 1 < float(taken.double().mean()) < 6


def test_the_best_expert_of_a_token_says_how_many_it_takes_and_renumbering_follows() -> None:
    moe = MoE(make("mixtral"))
    with moe.watch() as seen:
        logits(moe)
    first = int(seen.passes[0].indices[0, 0])
    moe.set_top_k_after({first: 1}, layers=[0])
    with moe.watch() as seen:
        logits(moe)
    for chosen in seen.passes[0].indices.tolist():
        taken = [expert for expert in chosen if expert < 8]
        assert len(taken) == (1 if taken[0] == first else 2)
    gone = next(expert for expert in range(8) if expert != first)
    moe.remove(0, [gone])
    assert dict(moe.layers[0].state.reach.led) == {first - (gone < first): 1}
    moe.undo()
    assert dict(moe.layers[0].state.reach.led) == {first: 1}
    moe.undo()
    assert moe.plain
    same(logits(moe), logits(MoE(make("mixtral"))))


@families
def test_what_is_saved_opens_with_it_and_vanilla_transformers_without_it_is_told(family: str, tmp_path: Path) -> None:
    moe = MoE(make(family))
    moe.set_top_p(0.4)
    moe.set_top_k_after({0: 1}, layers=[1])
    saved = moe.save(tmp_path / "model")
    assert not saved.vanilla
    assert "top-p" in str(saved.words)
    same(logits(surgery.open(tmp_path / "model")), logits(moe))
    same(logits(AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()), logits(MoE(make(family))))
    other = MoE(make(family))
    other.apply(tmp_path / "model" / "recipe.yaml")
    same(logits(other), logits(moe))


def test_counting_knows_that_tokens_take_fewer() -> None:
    moe = MoE(make("qwen3_moe"))
    moe.set_top_p(1e-6)
    with moe.watch() as seen:
        logits(moe)
    assert seen.balance_loss() > 0
    assert all(int((routed.indices < 8).sum()) == IDS.numel() for routed in seen.passes)


@pytest.mark.filterwarnings("ignore:four bits moved the logits")
def test_adapters_and_packed_experts_take_fewer_too() -> None:
    moe, whole = MoE(make("qwen3_moe")), MoE(make("qwen3_moe"))
    for each in (moe, whole):
        each.pack_experts([0])
        each.lora({1: [0, 1, 2]}, rank=2)
        for parameter in each.adapters["lora"].parameters():
            torch.nn.init.constant_(parameter, 0.05)
    with moe.requests([RowRequest(top_k=1)] * 2):
        together = logits(moe)
    whole.set_top_k(1)
    same(together, logits(whole))


@families
def test_generated_rows_equal_each_row_alone_with_roles_rules_and_numbers_of_their_own(family: str) -> None:
    moe = MoE(make(family))
    moe.set_program(Program(roles={"code": 5}, rules=(Rule(do="prefer", experts=(1,), role="code", bias=3.0),)))
    rows = [IDS[0].tolist(), IDS[1].tolist()[:5], IDS[0].tolist()[:7]]
    requests = [
        RowRequest(top_k=1),
        RowRequest(role="code"),
        RowRequest(rules=(Rule(do="forbid", experts=(2, 3)), Rule(do="prefer", experts=(6,), tokens=(7,), bias=5.0))),
    ]
    settings = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    together = moe.generate(rows, requests, **settings)
    alone = [moe.generate([row], [request], **settings)[0] for row, request in zip(rows, requests, strict=True)]
    assert together == alone
    assert len(together[0]) == 6
    assert moe.generate(rows[:1], **settings)[0] == moe.model.generate(IDS[:1], **settings)[0, 9:].tolist()


def test_a_rows_own_rule_holds_for_no_other_row() -> None:
    moe = MoE(make("qwen3_moe"))
    before = logits(moe)
    rule = Rule(do="force", experts=(4,))
    with moe.requests([RowRequest(), RowRequest(rules=(rule,))]), moe.watch() as seen:
        after = logits(moe)
    same(after[0], before[0])
    for routed in seen.passes:
        assert bool((routed.indices[9:] == 4).any(dim=1).all())
        assert not bool((routed.indices[:9] == 4).any(dim=1).all())


def test_what_a_request_cannot_ask_for_is_refused() -> None:
    moe = MoE(make("qwen3_moe"))
    row = [IDS[0].tolist()]
    cases: list[tuple[RowRequest, type[Exception], str]] = [
        (RowRequest(top_k=9), ConfigError, "8 experts in reach"),
        (RowRequest(top_k=0), ConfigError, "at least 1"),
        (RowRequest(top_k=5, allow=frozenset({1, 2, 3})), ConfigError, "needs 5"),
        (RowRequest(rules=(Rule(do="only", experts=(1,)),)), ConfigError, "leaves 1 experts"),
        (RowRequest(rules=(Rule(do="forbid", experts=(9,)),)), ConfigError, "expert 9"),
        (RowRequest(rules=(Rule(do="prefer", experts=(1,), role="law"),)), UnknownNameError, "law"),
    ]
    for request, error, told in cases:
        with pytest.raises(error, match=told):
            moe.generate(row, [request], max_new_tokens=1)
    with pytest.raises(ConfigError, match="2 requests for 1 prompts"):
        moe.generate(row, [RowRequest()] * 2)
    with pytest.raises(DataError, match="every prompt needs a token"):
        moe.generate([[]])
    with pytest.raises(ConfigError, match="num_beams"):
        moe.generate(row, num_beams=2)
    assert moe.plain


def test_what_top_p_cannot_ask_for_is_refused() -> None:
    moe = MoE(make("qwen3_moe"))
    for settings, told in [
        ({"at_most": 9}, "8 experts"),
        ({"at_least": 3}, "at most 2"),
        ({"at_least": 0}, "at_least"),
    ]:
        with pytest.raises(ConfigError, match=told):
            moe.set_top_p(0.5, **settings)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="top_p"):
        moe.set_top_p(1.5)
    with pytest.raises(ConfigError, match="expert 8"):
        moe.set_top_k_after({8: 1})
    moe.set_top_p(0.5, at_most=6)
    with pytest.raises(ConfigError, match="may take up to 6"):
        moe.remove(0, [0, 1, 2])
    phi = MoE(make("phimoe"))
    with pytest.raises(ConfigError, match="always takes 2"):
        phi.set_top_p(0.5)
