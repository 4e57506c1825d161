"""GGUF files on torch: the same weights and logits as the model that was written, refused where they would be wrong."""

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("gguf")

from tests.experts.gguf_files import PROMPT, ROPES, entries, network

from interconnected_ai.errors import EngineError, IntegrityError
from interconnected_ai.experts import CausalLM
from interconnected_ai.experts.export.gguf_causal import write_causal_gguf

SHAPES: dict[str, dict[str, Any]] = {
    "tied": {"tie_word_embeddings": True},
    "apart": {"tie_word_embeddings": False},
    "wide heads": {"head_dim": 16, "tie_word_embeddings": False},
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3"])
def test_a_file_gives_the_network_that_it_was_written_from(tmp_path: Path, family: str, shape: str) -> None:
    if family == "qwen2" and shape == "wide heads":
        pytest.skip("its heads share the model's width")
    made = network(family, **SHAPES[shape])
    write_causal_gguf(made, entries(), tmp_path / "model.gguf")
    model, ids = CausalLM.from_pretrained(tmp_path / "model.gguf"), torch.tensor([PROMPT])
    with torch.no_grad():
        torch.testing.assert_close(model(ids), made(ids).logits, rtol=1e-5, atol=1e-5)
    assert model.config.max_seq_len == 256
    assert model.hf_config.tie_word_embeddings == made.config.tie_word_embeddings
    model.save_pretrained(tmp_path / "folder")
    with torch.no_grad():
        assert torch.equal(CausalLM.from_pretrained(tmp_path / "folder")(ids), model(ids))


def test_loading_leaves_the_random_numbers_of_others_alone(tmp_path: Path) -> None:
    write_causal_gguf(network(), entries(), tmp_path / "model.gguf")
    before = torch.random.get_rng_state()
    CausalLM.from_pretrained(tmp_path / "model.gguf")
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("rope", ROPES)
def test_stretched_positions_are_refused_where_they_would_be_left_out(tmp_path: Path, rope: str) -> None:
    write_causal_gguf(network(rope_parameters=ROPES[rope]), entries(), tmp_path / "model.gguf")
    with pytest.raises(EngineError, match=r"positions are stretched.*the engine llamacpp runs it"):
        CausalLM.from_pretrained(tmp_path / "model.gguf")


def test_a_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "model.gguf"
    write_causal_gguf(network(), entries(), place)
    whole = place.read_bytes()
    for kept in (10, len(whole) // 2, len(whole) - 100):
        place.write_bytes(whole[:kept])
        with pytest.raises(IntegrityError):
            CausalLM.from_pretrained(place)
