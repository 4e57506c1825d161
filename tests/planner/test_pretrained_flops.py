"""FLOPs of reading tokens: those that PyTorch counts in transformers' own pass, and slow definitions where it computes more."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from published_mixtures import PUBLISHED_MIXTURES
from torch.utils.flop_counter import FlopCounterMode

from interconnected_ai.bench.tiny_moes import make
from interconnected_ai.errors import ConfigError
from interconnected_ai.planner.pretrained import read_pretrained
from interconnected_ai.planner.pretrained.attention import GatedDeltaNet, GroupedQueryAttention, pairs_seen
from interconnected_ai.planner.pretrained.hybrids import Mamba, Mamba2
from properties import examples

PROMPT = torch.randint(3, 90, (1, 9), generator=torch.Generator().manual_seed(0))
WINDOW = {"sliding_window": 4}
# the family among the tiny models → what makes its windows shorter than the prompt
STEPPED: dict[str, dict[str, Any]] = {
    "qwen3_moe": {}, "qwen2_moe": {}, "mixtral": WINDOW, "olmoe": {}, "glm4_moe": {}, "granitemoe": {}, "dots1": {},
    "gpt_oss": {**WINDOW, "layer_types": ["sliding_attention", "full_attention"]}, "ernie4_5_moe": {},
    "hunyuan_v1_moe": {}, "mimo_v2_flash": WINDOW, "gemma4": {**WINDOW, "global_head_dim": 16},
}  # fmt: skip
LATENT = ("deepseek_v2", "deepseek_v3", "glm4_moe_lite")


def counted(model: Any, token_ids: torch.Tensor, cache: Any = None) -> int:
    """What PyTorch counts in a pass, without the angles of rotary positions, which transformers multiplies as matrices."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(token_ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    angles = sum(sum(each.values()) for name, each in counter.get_flop_counts().items() if name.endswith("rotary_emb"))
    return int(counter.get_total_flops()) - angles


def tiny(family: str, **settings: Any) -> Any:
    model = make(family, **settings)
    model.set_attn_implementation("eager")
    model.set_experts_implementation("eager")
    return model


@pytest.mark.parametrize("family", STEPPED)
def test_a_token_takes_what_pytorch_counts(family: str) -> None:
    model = tiny(family, **STEPPED[family])
    planned = read_pretrained(model.config.to_dict())
    with torch.no_grad():
        cache = model(PROMPT, use_cache=True).past_key_values
    assert planned.forward_flops(1, 9) == counted(model, PROMPT[:, :1], cache)


@pytest.mark.parametrize("family", [*STEPPED, *LATENT])
def test_a_prompt_of_one_token_takes_what_pytorch_counts(family: str) -> None:
    model = tiny(family, **STEPPED.get(family, {}))
    planned = read_pretrained(model.config.to_dict())
    assert planned.forward_flops(1) == counted(model, PROMPT[:, :1])
    assert planned.forward_flops(1, batch=3) == 3 * planned.forward_flops(1)


def seen(place: int, most: int | None, chunk: int | None) -> int:
    """Positions that one sees, one by one."""
    return sum(
        (most is None or place - other < most) and (chunk is None or place // chunk == other // chunk)
        for other in range(place + 1)
    )


@given(
    st.integers(1, 30), st.integers(0, 30), st.one_of(st.none(), st.integers(1, 40)), st.one_of(st.none(), st.integers(1, 9))
)  # fmt: skip
@examples(200)
def test_pairs_are_those_that_the_mask_lets_through(new: int, cached: int, most: int | None, chunk: int | None) -> None:
    assert pairs_seen(new, cached, most) == sum(seen(cached + i, most, None) for i in range(new))
    heads = GroupedQueryAttention(n_heads=3, num_kv_heads=1, head_dim=2, chunk=chunk)
    assert heads.mixing_flops(new, cached) == 2 * 3 * 4 * sum(seen(cached + i, None, chunk) for i in range(new))


@pytest.mark.parametrize("name", PUBLISHED_MIXTURES)
def test_a_prompt_takes_the_sum_of_its_tokens_and_a_token_twice_its_parameters(name: str) -> None:
    model = read_pretrained(PUBLISHED_MIXTURES[name].config)
    head = 2 * model.vocab_size * model.d_model
    parameters = 2 * (model.num_active_params - model.num_embedding_params - model.num_head_params) + head
    assert model.forward_flops(1) == pytest.approx(parameters, rel=0.03)
    latent = any(hasattr(attention, "kv_rank") for attention in model.blueprint.attentions)
    if not latent:  # whose later tokens are read another way
        steps = [model.forward_flops(1, cached) - head for cached in range(40)]
        assert model.forward_flops(40) - head == sum(steps)
    later = [model.forward_flops(1, cached) for cached in (1, 100, 10_000, 100_000)]
    assert all(a <= b for a, b in pairwise(later))


def test_a_state_is_read_and_written_as_its_rule_says() -> None:
    """Each rule once in products, counted by PyTorch."""
    net = GatedDeltaNet(num_key_heads=2, num_value_heads=4, d_key=3, d_value=5, kernel=2)
    state, key, value = torch.zeros(4, 3, 5), torch.zeros(4, 3, 1), torch.zeros(4, 1, 5)
    with FlopCounterMode(display=False) as rule:
        told = key.transpose(1, 2) @ state
        state = state + key @ (value - told)
        key.transpose(1, 2) @ state
    assert net.mixing_flops(1, 7) == rule.get_total_flops()
    assert net.mixing_flops(10, 0) == 10 * net.mixing_flops(1, 7)
    for mamba in (
        Mamba(d_inner=6, d_state=4, kernel=2, dt_rank=1),
        Mamba2(n_heads=3, head_dim=2, d_state=4, num_groups=1, kernel=2),
    ):
        states, moved, said = torch.zeros(6, 4), torch.zeros(6, 1), torch.zeros(4, 1)
        with FlopCounterMode(display=False) as scan:
            states = states + moved @ said.T
            states @ said
        assert mamba.mixing_flops(1, 7) == scan.get_total_flops()


def test_what_an_indexer_does_not_choose_costs_its_score_alone() -> None:
    model = read_pretrained(PUBLISHED_MIXTURES["DeepSeek-V3.2-Exp"].config)
    far, farther = model.forward_flops(1, 50_000), model.forward_flops(1, 60_000)
    assert farther - far == 61 * 2 * 64 * 128 * 10_000
    near, nearer = model.forward_flops(1, 1000), model.forward_flops(1, 900)
    assert (near - nearer) / 100 > (farther - far) / 10_000


@pytest.mark.parametrize("wrong", [(0, 0), (-1, 0), (1, -1), (1.5, 0), (True, 0), (1, None)])
def test_numbers_that_are_none_are_refused(wrong: tuple[Any, Any]) -> None:
    model = read_pretrained(PUBLISHED_MIXTURES["MiniMax-M2"].config)
    with pytest.raises(ConfigError, match="needs a whole number"):
        model.forward_flops(*wrong)
