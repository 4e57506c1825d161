"""A tiny Llama in memory, to train adapters on."""

from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

VOCABULARY = 96


def tiny_llama(*, dtype: torch.dtype = torch.float32, **changes: Any) -> Any:
    """Two layers of width 32 with grouped queries, random weights."""
    shape = {
        "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "initializer_range": 0.3,
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2,
    }  # fmt: skip
    random = torch.random.get_rng_state()
    torch.manual_seed(0)
    network = LlamaForCausalLM(LlamaConfig(**{**shape, **changes})).to(dtype)
    torch.random.set_rng_state(random)
    return network
