"""Tiny Llamas and adapters for them, built in memory."""

from pathlib import Path

import torch
from tests.experts.expert_models import TEXTS
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from interconnected_ai.experts import AdapterWeights, Base, LowRank, find_base
from interconnected_ai.text import Tokenizer

LINEARS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
           "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")  # fmt: skip


def tiny_llama(seed: int = 0, *, vocab_size: int = 300) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocab_size, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=True,
        bos_token_id=1, eos_token_id=2, pad_token_id=None, initializer_range=0.2,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def tiny_adapter(
    model: LlamaForCausalLM, seed: int, *, rank: int = 4, scale: float = 2.0, linears: tuple[str, ...] = LINEARS
) -> AdapterWeights:
    """Matrices large enough to change what is said."""
    generator = torch.Generator().manual_seed(seed)
    modules = {}
    for layer in range(model.config.num_hidden_layers):
        for linear in linears:
            name = f"model.layers.{layer}.{linear}"
            d_out, d_in = model.get_submodule(name).weight.shape
            a = torch.randn(rank, d_in, generator=generator) * d_in**-0.5
            b = torch.randn(d_out, rank, generator=generator) * 0.3
            modules[name] = LowRank(a, b, scale)
    return AdapterWeights(modules)


def saved_base(folder: Path, seed: int = 0) -> Base:
    """A folder that `find_base` knows, tokenizer included."""
    tiny_llama(seed).save_pretrained(folder)
    tokenizer = Tokenizer.train(TEXTS, 300)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.fast, eos_token=tokenizer.token(tokenizer.end_id)
    ).save_pretrained(folder)
    return find_base(folder)
