"""Tiny causal language models of several families, random weights, built in memory with transformers."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

VOCABULARY = 97
_SHAPE = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "initializer_range": 0.2, "bos_token_id": None,
    "eos_token_id": None, "pad_token_id": None,
}  # fmt: skip


def _rope(kind: str, **more: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10_000.0, **more}}


LEAN: dict[str, tuple[type, type, dict[str, Any]]] = {
    "llama": (LlamaForCausalLM, LlamaConfig, {}),
    "llama, tied": (LlamaForCausalLM, LlamaConfig, {"tie_word_embeddings": True}),
    "llama, no groups, biases": (
        LlamaForCausalLM, LlamaConfig, {"num_key_value_heads": 4, "attention_bias": True, "mlp_bias": True},
    ),
    "llama, wide heads": (LlamaForCausalLM, LlamaConfig, {"head_dim": 16, "num_key_value_heads": 1}),
    "llama, linear rope": (LlamaForCausalLM, LlamaConfig, _rope("linear", factor=2.0)),
    "llama, llama3 rope": (
        LlamaForCausalLM, LlamaConfig,
        _rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16),
    ),
    "llama, yarn": (LlamaForCausalLM, LlamaConfig, _rope("yarn", factor=4.0, original_max_position_embeddings=16)),
    "mistral, window of 5": (MistralForCausalLM, MistralConfig, {"sliding_window": 5}),
    "mistral, no window": (MistralForCausalLM, MistralConfig, {"sliding_window": None}),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, {"tie_word_embeddings": True}),
    "qwen2, windows in some layers": (
        Qwen2ForCausalLM, Qwen2Config, {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1},
    ),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {"head_dim": 16}),
}  # fmt: skip
GENERIC: dict[str, tuple[type, type, dict[str, Any]]] = {
    "gpt2": (GPT2LMHeadModel, GPT2Config, {"n_inner": 48}),
    "gpt-neox": (GPTNeoXForCausalLM, GPTNeoXConfig, {"rotary_pct": 0.5}),
    "gemma3, windows of 5": (
        Gemma3ForCausalLM, Gemma3TextConfig,
        {"head_dim": 16, "sliding_window": 5, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    ),
    "llama, dynamic rope": (
        LlamaForCausalLM, LlamaConfig, _rope("dynamic", factor=2.0, original_max_position_embeddings=64),
    ),
}  # fmt: skip


def network(name: str, seed: int = 0) -> nn.Module:
    """The model of this name, every bias and norm away from its initial value."""
    kind, config, changes = (LEAN | GENERIC)[name]
    torch.manual_seed(seed)
    made: nn.Module = kind(config(**{**_SHAPE, **changes})).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part, weight in made.named_parameters():
            if part.endswith("bias") or "norm" in part or ".ln" in part:
                weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
    return made


def logits_of(model: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """(batch, seq) ids → (batch, seq, vocab) logits, everything computed anew."""
    return lambda rows: model(rows, use_cache=False).logits
