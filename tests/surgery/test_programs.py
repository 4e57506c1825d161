"""Router programs: right under caches, padding, batches, checkpointing and generation."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from interconnected_ai.bench.tiny_moes import TINY, make, prompts
from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.surgery import Forward, MoE, Program, RowRequest, Rule
from properties import examples

families = pytest.mark.parametrize("family", TINY)
ROLE = 7  # the token that begins the role
PROGRAM = Program(
    roles={"code": ROLE, "talk": 6},
    rules=(
        Rule(do="only", experts=(0, 1, 2, 3), role="code"),
        Rule(do="prefer", experts=(5,), role="talk", bias=3.0),
        Rule(do="forbid", experts=(4,), tokens=(9, 10, 11)),
    ),
)
GROUPED = Program(roles={"code": ROLE, "talk": 6}, rules=(Rule(do="prefer", experts=(5,), role="code", bias=3.0),))


def programmed(family: str) -> MoE:
    moe = MoE(make(family))
    moe.set_program(PROGRAM if moe.layers[0].groups[0] == 1 else GROUPED)
    return moe


def with_roles(rows: int = 3, tokens: int = 12) -> Tensor:
    ids = prompts(rows, tokens).clamp_min(12)
    ids[0, 3] = ROLE
    ids[-1 if rows == 2 else rows // 2, 5] = ROLE
    ids[rows // 2, min(8, tokens - 1)] = 6
    return ids


@families
def test_token_by_token_with_a_cache_is_all_at_once(family: str) -> None:
    moe, ids = programmed(family), with_roles()
    with torch.no_grad():
        whole = moe.model(ids).logits
        cache, steps = None, []
        for position in range(ids.shape[1]):
            out = moe.model(ids[:, position : position + 1], past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            steps.append(out.logits)
    torch.testing.assert_close(torch.cat(steps, dim=1), whole, rtol=1e-3, atol=1e-3)


@families
def test_left_padding_does_not_change_an_answer(family: str) -> None:
    moe, ids = programmed(family), with_roles(2, 8)
    padded = torch.cat([torch.zeros(2, 4, dtype=torch.long), ids], dim=1)
    mask = (torch.arange(12) >= 4).long().expand(2, -1)
    with torch.no_grad():
        plain = moe.model(ids).logits
        positions = (mask.cumsum(dim=1) - 1).clamp_min(0)
        out = moe.model(padded, attention_mask=mask, position_ids=positions).logits[:, 4:]
    torch.testing.assert_close(out, plain, rtol=1e-3, atol=1e-3)


@families
def test_a_role_restricts_the_choice_from_its_token_on_and_in_its_row_alone(family: str) -> None:
    moe, ids = programmed(family), with_roles()
    plain = MoE(make(family))
    with moe.watch() as seen, torch.no_grad():
        now = moe.model(ids).logits
    with torch.no_grad():
        before = plain.model(ids).logits
    torch.testing.assert_close(now[2], before[2], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(now[0, :3], before[0, :3], rtol=1e-4, atol=1e-4)
    if moe.program == PROGRAM:
        for routed in seen.passes:
            chosen = routed.indices.view(3, 12, -1)
            assert (chosen[0, 3:] < 4).all()
            assert (chosen[1, 5:8] < 4).all()


@pytest.mark.parametrize("family", ["qwen3_moe", "mixtral", "deepseek_v3", "gpt_oss"])
def test_generation_follows_the_program_greedily_and_with_beams(family: str) -> None:
    moe, ids = programmed(family), with_roles()
    out = moe.model.generate(ids, max_new_tokens=5, do_sample=False, use_cache=True, eos_token_id=None)
    slow = moe.model.generate(ids, max_new_tokens=5, do_sample=False, use_cache=False, eos_token_id=None)
    assert torch.equal(out, slow)
    beams = moe.model.generate(ids, max_new_tokens=4, num_beams=3, do_sample=False, eos_token_id=None)
    slow = moe.model.generate(ids, max_new_tokens=4, num_beams=3, do_sample=False, use_cache=False, eos_token_id=None)
    assert torch.equal(beams, slow)


@pytest.mark.parametrize("family", ["qwen3_moe", "deepseek_v2", "granitemoe", "llama4"])
def test_gradient_checkpointing_recomputes_with_the_right_tokens(family: str) -> None:
    first, second = with_roles(), with_roles().flip(0)
    grads = []
    for checkpointing in (False, True):
        moe = programmed(family)
        moe.train_only("router")
        moe.model.train()
        if checkpointing:
            moe.model.activation_checkpointing_enable({"use_reentrant": False})
        # both forward passes before the one backward pass: the recomputation must not take the second's tokens for the first's
        loss = (
            moe.model(first, labels=first, use_cache=False).loss
            + moe.model(second, labels=second, use_cache=False).loss
        )
        loss.backward()
        grads.append([row.grad.clone() for layer in moe.layers for row in layer.router.parameters()])
    for plain, recomputed in zip(*grads, strict=True):
        torch.testing.assert_close(recomputed, plain, rtol=1e-4, atol=1e-6)


@families
def test_router_logits_can_be_had_with_a_program(family: str) -> None:
    moe, ids = programmed(family), with_roles()
    with torch.no_grad():
        out = moe.model(ids, labels=ids, output_router_logits=True)
    recorded = getattr(out, "router_logits", None)
    if recorded is not None:
        assert [tuple(each.shape) for each in recorded] == [(36, 8)] * 2
        if moe.program == PROGRAM:
            assert (recorded[0].view(3, 12, 8)[0, 3:, 4:] == float("-inf")).all()
    assert torch.isfinite(out.loss)


def test_requests_allow_and_deny_row_by_row() -> None:
    moe, ids = MoE(make("qwen3_moe")), prompts(3, 10)
    with torch.no_grad():
        before = moe.model(ids).logits
        with moe.requests([RowRequest(allow=frozenset({0, 1, 5})), RowRequest(deny=frozenset({2, 3})), RowRequest()]):
            with moe.watch() as seen:
                now = moe.model(ids).logits
            beams = moe.model.generate(ids, max_new_tokens=3, num_beams=2, do_sample=False)
        after = moe.model(ids).logits
    for routed in seen.passes:
        chosen = routed.indices.view(3, 10, -1)
        assert torch.isin(chosen[0], torch.tensor([0, 1, 5])).all()
        assert not torch.isin(chosen[1], torch.tensor([2, 3])).any()
    torch.testing.assert_close(now[2], before[2], rtol=1e-4, atol=1e-4)
    assert torch.equal(after, before)
    assert len(beams) == 3
    assert moe.plain
    with pytest.raises(ConfigError, match="one request for each row"), moe.requests([RowRequest()] * 2):
        moe.model(ids)
    with pytest.raises(ConfigError, match="leaves 1 experts"), moe.requests([RowRequest(allow=frozenset({1}))]):
        pass


def test_prompts_and_adapter_flags_switch_rules() -> None:
    moe, ids = MoE(make("qwen3_moe")), prompts(3, 10)
    rules = (
        Rule(do="force", experts=(6,), prompt="review", layers=(0,)),
        Rule(do="force", experts=(7,), adapter="x", layers=(1,)),
    )
    moe.set_program(Program(rules=rules))
    with (
        moe.requests([RowRequest(prompt="review"), RowRequest(adapter="x"), RowRequest()]),
        moe.watch() as seen,
        torch.no_grad(),
    ):
        moe.model(ids)
    first, second = (each.indices.view(3, 10, -1) for each in seen.passes)
    assert (first[0] == 6).any(dim=-1).all()
    assert (second[1] == 7).any(dim=-1).all()
    assert not (first[2] == 6).any(dim=-1).all()


def test_a_role_may_be_given_with_the_request_instead_of_a_token() -> None:
    moe, ids = programmed("qwen3_moe"), prompts(2, 8).clamp_min(12)
    with moe.requests([RowRequest(role="code"), RowRequest()]), moe.watch() as seen, torch.no_grad():
        moe.model(ids)
    assert all((routed.indices.view(2, 8, -1)[0] < 4).all() for routed in seen.passes)


def test_a_python_function_may_decide() -> None:
    moe, ids = MoE(make("mixtral")), prompts(2, 8)

    def even_tokens_avoid_expert_0(hidden: Tensor, logits: Tensor, forward: Forward) -> Tensor:
        even = forward.ids() % 2 == 0
        return logits - 1e4 * (even[:, None] & (torch.arange(8) == 0))

    moe.set_program(Program(), [even_tokens_avoid_expert_0])
    with moe.watch() as seen, torch.no_grad():
        moe.model(ids)
    for routed in seen.passes:
        assert not (routed.indices[ids.flatten() % 2 == 0] == 0).any()
    with pytest.raises(ConfigError, match="cannot stand in a recipe"):
        moe.recipe()
    with pytest.raises(ConfigError, match="cannot be saved"):
        moe.save("anywhere")
    moe.set_program(Program(), [lambda hidden, logits, forward: logits[:, :3]])
    with pytest.raises(ConfigError, match="needs"), torch.no_grad():
        moe.model(ids)


def test_embeddings_alone_cannot_answer_a_rule_about_tokens() -> None:
    moe = programmed("qwen3_moe")
    with pytest.raises(ConfigError, match="inputs_embeds alone"):
        moe.model(inputs_embeds=torch.randn(1, 4, 32))


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (Rule(do="force", experts=(8,)), "experts 0 to 7"),
        (Rule(do="force", experts=(1, 2, 3)), "forces 3 experts"),
        (Rule(do="only", experts=(1,)), "leaves 1 experts"),
        (Rule(do="forbid", experts=(0, 1, 2, 3, 4, 5, 6)), "leaves 1 experts"),
        (Rule(do="force", experts=(1,), layers=(5,)), "names layer 5"),
    ],
)
def test_rules_that_cannot_hold_are_refused(rule: Rule, said: str) -> None:
    moe = MoE(make("qwen3_moe"))
    with pytest.raises(ConfigError, match=said):
        moe.set_program(Program(rules=(rule,)))
    assert moe.program == Program()
    with pytest.raises(ConfigError, match="no token begins"):
        Program.from_mapping({"rules": [{"do": "force", "experts": [1], "role": "ghost"}]})


def test_what_rules_and_adapters_wait_for_stays() -> None:
    moe = programmed("qwen3_moe")
    with pytest.raises(ConfigError, match="leaves 4 experts"):
        moe.set_top_k(5)
    with pytest.raises(UnknownNameError, match=r"role 'ode'.*'code'"), moe.requests([RowRequest(role="ode")]):
        pass
    moe.lora({0: [1]}, role="code")
    with pytest.raises(ConfigError, match="wait for roles"):
        moe.set_program(Program())
    moe.drop_adapter("lora")
    moe.set_program(Program())


def test_rules_that_together_leave_too_few_are_caught_when_they_meet() -> None:
    moe = MoE(make("qwen3_moe"))
    rules = (Rule(do="only", experts=(0, 1), tokens=(20,)), Rule(do="forbid", experts=(1,), tokens=(20, 21)))
    moe.set_program(Program(rules=rules))
    with torch.no_grad():
        moe.model(torch.tensor([[21, 22]]))
        with pytest.raises(ConfigError, match="fewer than 2 experts"):
            moe.model(torch.tensor([[20, 22]]))


@examples(25)
@given(st.lists(st.sampled_from([5, 6, ROLE, 20, 21]), min_size=1, max_size=14), st.integers(1, 14))
def test_the_role_at_a_position_is_that_of_the_last_role_token(ids: list[int], cut: int) -> None:
    from interconnected_ai.surgery.routing.context import Hooks

    hooks = Hooks(role_tokens={ROLE: 0, 6: 1}, role_names=("code", "talk"))
    expected, role = [], -1
    for token in ids:
        role = {ROLE: 0, 6: 1}.get(token, role)
        expected.append(role)
    found = hooks._roles(torch.tensor([ids]), (), None, 0)
    assert found is not None
    assert found[0].tolist() == expected


def test_a_cache_that_is_cropped_forgets_the_roles_that_went_with_it() -> None:
    moe = programmed("qwen3_moe")
    ids = with_roles(1, 10)
    with torch.no_grad():
        cache = moe.model(ids[:, :6], use_cache=True).past_key_values
        cache.crop(-4)  # before the role token at 3
        again = moe.model(ids[:, 2:3], past_key_values=cache, use_cache=True).logits
        fresh = moe.model(ids[:, :3]).logits[:, -1:]
    torch.testing.assert_close(again, fresh, rtol=1e-3, atol=1e-3)


def test_the_balance_loss_is_one_when_use_is_even_in_every_family() -> None:
    from interconnected_ai.surgery.anatomy.families import FAMILIES
    from interconnected_ai.surgery.routing.losses import Routed, RouterRecord

    logits = torch.eye(8).repeat(4, 1) * 40.0  # token i prefers expert i: all are used alike
    for family in FAMILIES:
        indices = torch.stack([torch.arange(8), (torch.arange(8) + 1) % 8], dim=1).repeat(4, 1)
        even = RouterRecord(family.routing, [Routed(0, logits, torch.ones(32, 2) / 2, indices, None, True)])
        torch.testing.assert_close(even.balance_loss(), torch.tensor(1.0), rtol=1e-4, atol=1e-4)
        collapsed = torch.zeros(32, 8)
        collapsed[:, :2] = 40.0
        same = torch.tensor([[0, 1]]).repeat(32, 1)
        worst: Any = RouterRecord(family.routing, [Routed(0, collapsed, torch.ones(32, 2) / 2, same, None, True)])
        assert worst.balance_loss().item() == pytest.approx(4.0 if not family.routing.sigmoid else 1.6, abs=0.3)
