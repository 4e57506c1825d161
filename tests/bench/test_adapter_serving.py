"""The bench of many adapters on a tiny base: contestants give the same tokens, and every figure is of what it says."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from interconnected_ai.bench.adapter_serving import NUM_ROWS, _Ours, _Work, bench_adapter_serving, random_adapter
from interconnected_ai.experts import CausalLM, SharedBase, find_base
from interconnected_ai.text import Tokenizer

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # PEFT asks by the old name


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    shape = {
        "vocab_size": 300,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    config = LlamaConfig(**shape, num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.2)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer = Tokenizer.train(["The experts answer."], 300)
    end = tokenizer.token(tokenizer.end_id)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer.fast, eos_token=end).save_pretrained(folder)
    return folder


def test_mixed_rows_say_what_they_say_alone_and_what_pefts_say(base: Path) -> None:
    found: dict[str, Any] = bench_adapter_serving(base, num_adapters=3, rank=4, num_prompt=5, num_new=4, repeats=1)
    assert found["same_tokens"] == found["peft_same_tokens"] == 1.0
    for key in ("mixed_over_single", "over_peft_mixed", "peft_mixed_over_single", "reload_ms", "peft_reload_ms"):
        assert found[key] > 0
    assert found["switch_ms"] >= 0
    assert math.isfinite(found["bytes_64_over_sum"])  # of kilobytes beside a process
    assert found["num_adapters"] == 3


def test_random_adapters_are_on_all_linear_layers_but_the_head(base: Path) -> None:
    weights = random_adapter(CausalLM.from_pretrained(find_base(base)), 0, 4)
    assert len(weights.modules) == 14
    assert "lm_head" not in weights.modules
    assert weights.rank == 4


def test_no_token_ends_a_measured_answer(base: Path, tmp_path: Path) -> None:
    """As PEFT is asked for so many tokens, whatever they are."""
    model = AutoModelForCausalLM.from_pretrained(base)
    torch.nn.init.zeros_(model.lm_head.weight)  # the first token is always the likeliest
    model.save_pretrained(tmp_path / "ending")
    words = PreTrainedTokenizerFast.from_pretrained(base)
    words.eos_token = words.convert_ids_to_tokens(0)
    words.save_pretrained(tmp_path / "ending")
    linears = random_adapter(CausalLM.from_pretrained(find_base(tmp_path / "ending")), 0, 4)
    with SharedBase.open(tmp_path / "ending") as shared:
        assert 0 in shared.engine.end_ids
        shared.add("a", linears)
        ours = _Ours(shared, [[5, 6]] * NUM_ROWS, _Work(2, 7), [Path("a")] * NUM_ROWS)
        for rows in (ours.mixed(), ours.single(), ours.alone()):
            assert rows == [[0] * 7] * NUM_ROWS
