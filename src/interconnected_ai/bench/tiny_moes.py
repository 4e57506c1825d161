"""A tiny random model of every family: two layers, 32 numbers wide, transformers' own classes."""

from typing import Any

import torch

SIZES = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.2,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "tie_word_embeddings": False,
}
LATENT = {"q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8}
LINEAR = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_conv_kernel_dim": 2,
    "layer_types": ["linear_attention", "full_attention"],
}
DEEPSEEK = {**LATENT, "num_key_value_heads": 4, "n_shared_experts": 1, "first_k_dense_replace": 0}

# family → (model class, config class, what differs)
TINY: dict[str, tuple[str, str, dict[str, Any]]] = {
    "qwen3_moe": ("Qwen3MoeForCausalLM", "Qwen3MoeConfig", {"num_experts": 8, "norm_topk_prob": True}),
    "qwen2_moe": ("Qwen2MoeForCausalLM", "Qwen2MoeConfig", {"num_experts": 8, "shared_expert_intermediate_size": 16}),
    "qwen3_5_moe": (
        "Qwen3_5MoeForCausalLM",
        "Qwen3_5MoeTextConfig",
        {"num_experts": 8, "shared_expert_intermediate_size": 16, **LINEAR},
    ),
    "qwen3_next": (
        "Qwen3NextForCausalLM",
        "Qwen3NextConfig",
        {"num_experts": 8, "shared_expert_intermediate_size": 16, **LINEAR},
    ),
    "mixtral": ("MixtralForCausalLM", "MixtralConfig", {"num_local_experts": 8}),
    "olmoe": ("OlmoeForCausalLM", "OlmoeConfig", {"num_experts": 8}),
    "deepseek_v2": (
        "DeepseekV2ForCausalLM",
        "DeepseekV2Config",
        {
            **DEEPSEEK,
            "n_routed_experts": 8,
            "topk_method": "group_limited_greedy",
            "n_group": 4,
            "topk_group": 2,
            "head_dim": 8,
        },
    ),
    "deepseek_v3": (
        "DeepseekV3ForCausalLM",
        "DeepseekV3Config",
        {**DEEPSEEK, "n_routed_experts": 8, "n_group": 2, "topk_group": 1},
    ),
    "glm4_moe": (
        "Glm4MoeForCausalLM",
        "Glm4MoeConfig",
        {"n_routed_experts": 8, "n_group": 1, "topk_group": 1, "n_shared_experts": 1, "first_k_dense_replace": 0},
    ),
    "gpt_oss": (
        "GptOssForCausalLM",
        "GptOssConfig",
        {"num_local_experts": 8, "sliding_window": 64, "layer_types": ["full_attention", "full_attention"]},
    ),
    "phimoe": ("PhimoeForCausalLM", "PhimoeConfig", {"num_local_experts": 8}),
    "granitemoe": ("GraniteMoeForCausalLM", "GraniteMoeConfig", {"num_local_experts": 8}),
    "llama4": (
        "Llama4ForCausalLM",
        "Llama4TextConfig",
        {
            "num_local_experts": 8,
            "intermediate_size_mlp": 24,
            "interleave_moe_layer_step": 1,
            "attention_chunk_size": 64,
            "no_rope_layers": [1, 1],
        },
    ),
}


def make(family: str, seed: int = 0, **settings: Any) -> Any:
    """The model, in evaluation, every parameter random (biases and norms too)."""
    import transformers

    model_class, config_class, more = TINY[family]
    config = getattr(transformers, config_class)(**{**SIZES, **more, **settings})
    torch.manual_seed(seed)
    model = getattr(transformers, model_class)(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if tensor.ndim == 3 or name.endswith(("gate.weight", "router.weight")):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
            elif name.endswith(("correction_bias", "proj_bias", "router.bias")):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.1)
    return model.eval()


def prompts(rows: int = 2, tokens: int = 9, seed: int = 3) -> torch.Tensor:
    """Random token ids."""
    return torch.randint(3, 90, (rows, tokens), generator=torch.Generator().manual_seed(seed))
