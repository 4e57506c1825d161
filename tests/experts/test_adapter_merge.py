"""Adapters folded into their base: transformers alone opens the folder and computes the same."""

from pathlib import Path

import pytest
import torch
from expert_models import TEXTS
from tiny_llamas import saved_base, tiny_adapter, tiny_llama
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from interconnected_ai.errors import AdapterError
from interconnected_ai.experts import (
    AdapterWeights,
    CausalLM,
    ExpertCard,
    LowRank,
    SharedBase,
    find_base,
    merge_adapter,
    save_adapter,
)
from interconnected_ai.experts.adapters.merge import merge_weights
from interconnected_ai.text import Tokenizer

IDS = torch.tensor([[5, 9, 200, 17, 3, 42]])


def test_transformers_opens_what_is_merged_and_computes_the_same(tmp_path: Path) -> None:
    base = saved_base(tmp_path / "base")
    (tmp_path / "base" / "chat_template.jinja").write_text("{{ messages[0].content }}!")
    weights = tiny_adapter(tiny_llama(), 1)
    save_adapter(weights, tmp_path / "a", ExpertCard(base=str(tmp_path / "base"), base_sha256=base.sha256))
    merge_adapter(tmp_path / "a", tmp_path / "merged")
    opened = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    with SharedBase.open(base) as shared:
        shared.add("a", tmp_path / "a")
        found = shared.engine_with("a").decoder().start(IDS.tolist(), 10)
    with torch.no_grad():
        assert torch.allclose(opened(IDS).logits[:, -1], found, atol=1e-4)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    assert tokenizer.chat_template == "{{ messages[0].content }}!"
    assert tokenizer.decode(tokenizer.encode("The router")) == "The router"
    assert {path.name for path in (tmp_path / "merged").iterdir()} >= {"config.json", "model.safetensors"}
    assert find_base(tmp_path / "merged").sha256 != base.sha256


def test_a_tied_head_that_is_adapted_leaves_the_embedding_alone(tmp_path: Path) -> None:
    saved_base(tmp_path / "base")
    generator = torch.Generator().manual_seed(2)
    part = LowRank(torch.randn(2, 32, generator=generator), torch.randn(300, 2, generator=generator), 0.5)
    save_adapter(AdapterWeights({"lm_head": part}), tmp_path / "a", ExpertCard(base=str(tmp_path / "base")))
    merge_adapter(tmp_path / "a", tmp_path / "merged")
    opened, before = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval(), tiny_llama()
    assert torch.equal(opened.get_input_embeddings().weight, before.get_input_embeddings().weight)
    assert torch.allclose(opened.lm_head.weight, before.lm_head.weight + part.delta(), atol=1e-6)
    with SharedBase.open(tmp_path / "base") as shared:
        shared.add("a", tmp_path / "a")
        found = shared.engine_with("a").decoder().start(IDS.tolist(), 10)
    with torch.no_grad():
        assert torch.allclose(opened(IDS).logits[:, -1], found, atol=1e-4)


def test_the_base_may_stand_elsewhere_but_not_be_another_one(tmp_path: Path) -> None:
    base, other = saved_base(tmp_path / "base"), saved_base(tmp_path / "other", seed=5)
    card = ExpertCard(base="/gone", base_sha256=base.sha256)
    save_adapter(tiny_adapter(tiny_llama(), 1), tmp_path / "a", card)
    merge_adapter(tmp_path / "a", tmp_path / "merged", base=tmp_path / "base")
    with pytest.raises(AdapterError, match="another base"):
        merge_adapter(tmp_path / "a", tmp_path / "wrong", base=other)
    save_adapter(tiny_adapter(tiny_llama(), 1), tmp_path / "b", ExpertCard())
    with pytest.raises(AdapterError, match="names no base"):
        merge_adapter(tmp_path / "b", tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()


def test_transposed_matrices_are_merged_and_adapted_alike() -> None:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=300,
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=32,
        initializer_range=0.3,
        bos_token_id=1,
        eos_token_id=2,
    )
    network = GPT2LMHeadModel(config).eval()
    generator = torch.Generator().manual_seed(1)
    modules = {
        f"transformer.h.1.{name}": LowRank(
            torch.randn(2, d_in, generator=generator), torch.randn(d_out, 2, generator=generator), 0.2
        )
        for name, d_in, d_out in (("attn.c_attn", 16, 48), ("mlp.c_fc", 16, 64), ("mlp.c_proj", 64, 16))
    }
    weights = AdapterWeights(modules)
    with SharedBase(CausalLM(network), Tokenizer.train(TEXTS, 300), name="gpt2") as shared:
        shared.add("a", weights)
        found = shared.engine_with("a").decoder().start([[3, 4, 5]], 8)
    merge_weights(network, weights)
    with torch.no_grad():
        assert torch.allclose(network(torch.tensor([[3, 4, 5]])).logits[:, -1], found, atol=1e-4)
