"""What may be done at once with an edited model, and what goes when it is let go."""

import copy
import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
import torch
from torch import Tensor

from interconnected_ai.bench.tiny_moes import make, prompts
from interconnected_ai.surgery import MoE, Program, RowRequest, Rule

ROLE, THREADS = 7, 16
IDS = prompts()


def edited(family: str = "qwen3_moe") -> MoE:
    """Roles, rules, an adapter that waits for a role, and one that acts always."""
    moe = MoE(make(family))
    rules = (Rule(do="only", experts=(0, 1, 2, 3), role="code"), Rule(do="forbid", experts=(4,), tokens=(9, 10, 11)))
    moe.set_program(Program(roles={"code": ROLE, "talk": 6}, rules=rules))
    for name, experts, role in (("waiting", {0: [1]}, "code"), ("acting", {0: [5], 1: [2, 6]}, None)):
        adapter = moe.lora(experts, rank=2, name=name, role=role)
        with torch.no_grad():
            for parameter in adapter.parameters():
                parameter.add_(0.2)
    return moe


def prompt(seed: int) -> Tensor:
    ids = prompts(2, 8, seed=seed).clamp_min(12)
    ids[seed % 2, 3] = ROLE
    return ids


def request_of(seed: int) -> list[RowRequest]:
    return [RowRequest(deny=frozenset({seed % 4 + 4})), RowRequest(role="code" if seed % 3 else None)]


def generated(moe: MoE, seed: int) -> tuple[list[Any], list[Any]]:
    """What is written for a prompt under the requests of its own, and what the routers chose meanwhile."""
    with moe.requests(request_of(seed)), moe.watch(keep_graph=False) as seen, torch.no_grad():
        out = moe.model.generate(
            prompt(seed), max_new_tokens=6, do_sample=False, num_beams=1 + seed % 2, use_cache=True, pad_token_id=0,
            eos_token_id=None,
        )  # fmt: skip
    return out.tolist(), [(each.layer, each.indices.tolist()) for each in seen.passes]


def at_once(act: Any) -> list[Any]:
    barrier = Barrier(THREADS)

    def begin(number: int) -> Any:
        barrier.wait()
        return act(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(begin, range(THREADS)))


@pytest.mark.parametrize("family", ["qwen3_moe", "gpt_oss", "llama4"])
def test_sixteen_threads_write_at_once_each_with_its_own_requests_roles_and_record(family: str) -> None:
    moe = edited(family)
    alone = [generated(moe, seed) for seed in range(THREADS)]
    assert len({str(each) for each in alone}) > THREADS // 2
    assert at_once(lambda seed: generated(moe, seed)) == alone
    assert moe.hooks.holding == 0


def test_perplexity_and_usage_may_run_beside_each_other() -> None:
    moe = edited()
    moe.session.tokenizer = lambda text, add_special_tokens: {"input_ids": [12 + len(word) for word in text.split()]}
    texts = [["a bb ccc dddd a ccc"] * 3, ["eeeee bb a ffffff bb"] * 2]

    def measured(number: int) -> Any:
        if number % 2:
            return moe.perplexity(texts[number % 4 // 2])
        return moe.usage(texts[number % 4 // 2]).to_dict()

    alone = [measured(number) for number in range(THREADS)]
    assert at_once(measured) == alone


def test_operations_of_two_threads_wait_for_each_other() -> None:
    moe = MoE(make("qwen3_moe"))
    numbers = at_once(lambda number: moe.insert(number % 2, [None])[0])
    assert sorted(numbers) == sorted([*range(8, 16)] * 2)
    assert [layer.num_experts for layer in moe.layers] == [16, 16]
    at_once(lambda number: moe.undo())
    assert [layer.num_experts for layer in moe.layers] == [8, 8]
    assert moe.plain


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("family", ["qwen3_moe", "qwen3_next"])
def test_a_cache_with_roles_goes_with_its_last_reference(family: str, beams: int) -> None:
    moe = edited(family)
    ids = prompt(1)
    gone = []
    gc.collect()
    gc.disable()
    try:
        with torch.no_grad():
            cache = moe.model(ids, use_cache=True).past_key_values
            gone.append(weakref.ref(cache))
            if family == "qwen3_moe":  # transformers' linear attention knows no repetition
                cache.batch_repeat_interleave(beams)
            else:
                beams = 1
            cache.reorder_cache(torch.arange(2 * beams).flip(0))
            moe.model(ids[:, :1].repeat_interleave(beams, 0), past_key_values=cache)
        keys: Any = [each.keys for each in cache.layers if getattr(each, "keys", None) is not None]
        gone += map(weakref.ref, keys)
        del cache, keys
        assert [each() for each in gone] == [None] * len(gone)
    finally:
        gc.enable()


def test_a_copy_of_a_cache_has_roles_of_its_own() -> None:
    moe, ids = edited(), prompt(1)
    with torch.no_grad():
        cache = moe.model(ids, use_cache=True).past_key_values
        other = copy.deepcopy(cache)
        assert torch.equal(other.surgery_roles, cache.surgery_roles)
        other.reorder_cache(torch.tensor([1, 0]))
        assert torch.equal(other.surgery_roles, cache.surgery_roles.flip(0))
        assert not torch.equal(other.surgery_roles, cache.surgery_roles)
        after = moe.model(ids[:, -1:], past_key_values=cache).logits
        swapped = moe.model(ids[:, -1:].flip(0), past_key_values=other).logits
    torch.testing.assert_close(after.flip(0), swapped, rtol=1e-4, atol=1e-4)
