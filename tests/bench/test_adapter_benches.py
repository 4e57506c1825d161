"""Adapter training beside PEFT on a tiny base, and the quickstart of three adapters."""

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from interconnected_ai.bench import bench_adapter_training, run_adapter_quickstart
from interconnected_ai.bench.adapter_training import Batch
from interconnected_ai.bench.expert_quickstart import DOMAINS
from interconnected_ai.errors import NotAModelError
from interconnected_ai.experts import read_adapter
from interconnected_ai.text import Tokenizer


@pytest.fixture(scope="module")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=300, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=2, pad_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer = Tokenizer.train(["Return the sum of the array.", "Applies a linear map."], 300)
    words = PreTrainedTokenizerFast(tokenizer_object=tokenizer.fast, eos_token=tokenizer.token(tokenizer.end_id))
    words.save_pretrained(folder)
    return folder


def test_adapter_training_is_measured_beside_peft_on_the_same_batch(tiny_base: Path) -> None:
    pytest.importorskip("peft")
    found = bench_adapter_training(
        str(tiny_base), precision="float32", steps=1, rounds=1, batch=Batch(blocks=2, seq_len=32, document=10)
    )
    assert found["precision"] == "float32"
    assert set(found["tokens_per_second"]) == set(found["peak_bytes"]) == {"ours", "peft"}
    speeds, peaks = found["tokens_per_second"], found["peak_bytes"]
    assert found["train_over_peft"] == speeds["ours"] / speeds["peft"]
    assert found["train_memory_over_peft"] == peaks["ours"] / peaks["peft"]
    assert min(peaks.values()) > 10_000_000


def test_a_base_that_is_not_there_is_told_before_anything_is_read_or_written(tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(NotAModelError, match="is no base to stand on"):
        run_adapter_quickstart(tmp_path / "experts", str(tmp_path / "nothing"), say=told.append)
    assert not told
    assert not (tmp_path / "experts").exists()


@pytest.mark.slow
def test_the_quickstart_leaves_three_adapters_and_a_table_of_who_knows_what(tiny_base: Path, tmp_path: Path) -> None:
    told: list[str] = []
    done = run_adapter_quickstart(tmp_path / "experts", str(tiny_base), steps=20, say=told.append)
    assert set(done.bits_per_byte) == set(done.alone) == set(done.scratch) == set(done.answers) == set(DOMAINS)
    assert done.over_base < 1.0
    for domain in DOMAINS:
        assert done.bits_per_byte[domain][domain] < done.alone[domain]
        assert read_adapter(tmp_path / "experts" / domain).card.bits_per_byte is not None
    assert done.to_dict()["adapted_over_base_bpb"] == done.over_base
    assert any("from nothing for the same" in line for line in told)
