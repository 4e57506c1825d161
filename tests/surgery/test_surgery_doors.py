"""Opening, upcycling and pruning with settings that cannot be: refused by our errors, whatever a library beneath would say."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from interconnected_ai import surgery
from interconnected_ai.bench.tiny_moes import make
from interconnected_ai.errors import ConfigError, InterconnectedAIError
from interconnected_ai.surgery import MoE, prune_by, upcycle

ODD = [-1, 2**70, 0.5, float("nan"), b"a", "law", "", [], [1], {0: [1]}, torch.float16, Path("x")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("doors") / "model"
    MoE(make("qwen3_moe")).save(place, verify=False)
    return place


@pytest.mark.parametrize("setting", ["device_map", "attn_implementation"])
def test_a_setting_that_transformers_cannot_take_is_refused_in_our_words(setting: str, folder: Path) -> None:
    for value in (True, *ODD):
        try:
            surgery.open(folder, **{setting: value})
        except InterconnectedAIError as error:
            assert "could not be loaded by transformers" in str(error)  # noqa: PT017  some values are taken


@pytest.mark.parametrize("value", [-1, 2**70, 0.5, b"a", "law", "", [1], Path("x")])
def test_a_model_that_is_run_offloaded_needs_a_device(value: Any, folder: Path) -> None:
    with pytest.raises(ConfigError, match="device"):
        surgery.open_offloaded(folder, 1 << 20, device=value)


@pytest.mark.parametrize("value", [True, -1, b"a", "law", "", [1], {0: 1}, Path("x")])
def test_a_model_that_is_run_offloaded_needs_a_precision(value: Any, folder: Path) -> None:
    with pytest.raises(InterconnectedAIError, match="could not be loaded by transformers"):
        surgery.open_offloaded(folder, 1 << 20, dtype=value)


def test_more_experts_than_a_layer_could_have_are_refused_before_anything_is_built() -> None:
    dense = Qwen3ForCausalLM(
        Qwen3Config(vocab_size=90, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    )
    with pytest.raises(ConfigError, match="4096 or fewer"):
        upcycle(dense, 2**70)


@pytest.mark.parametrize("ranking", [None, 3, "reap", {}])
def test_what_is_no_ranking_prunes_nothing(ranking: Any) -> None:
    moe = MoE(make("qwen3_moe"))
    with pytest.raises(ConfigError, match="needs a Ranking"):
        prune_by(moe, ranking, keep=0.5)
    assert [layer.num_experts for layer in moe.layers] == [8, 8]
