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


SPARSE = {"mlp_layer_types": ["sparse", "sparse"]}
GROUPS = {"n_group": 2, "topk_group": 1}
INDEXER = {"index_topk": 64, "index_head_dim": 8, "index_n_heads": 2}
DSA = {**DEEPSEEK, **GROUPS, **INDEXER, "n_routed_experts": 8}
FULL = {"layer_types": ["full_attention", "full_attention"]}
SLIDING = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 64}
MIXED = {"layer_types": ["linear_attention", "full_attention"]}
SHARED = {"num_experts": 8, "shared_expert_intermediate_size": 16}

# the rest, on which `family_suite` alone runs; None leaves a size out
MORE: dict[str, tuple[str, str, dict[str, Any]]] = {
    "flex_olmo": ("FlexOlmoForCausalLM", "FlexOlmoConfig", {"num_experts": 8}),
    "mellum": ("MellumForCausalLM", "MellumConfig", {"num_experts": 8}),
    "qwen4_exp": (
        "Qwen4ExpForCausalLM", "Qwen4ExpTextConfig",
        {**SHARED, **LINEAR, "layer_types": ["linear_attention", "indexed_attention"], "hc_count": 2, "hc_lowrank": 4,
            "indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 8, "indexer_budget": 64,
            "indexer_compress_ratio": 4},
    ),
    "deepseek_v32": ("DeepseekV32ForCausalLM", "DeepseekV32Config", DSA),
    "glm_moe_dsa": ("GlmMoeDsaForCausalLM", "GlmMoeDsaConfig", {**DSA, "indexer_types": ["full", "full"]}),
    "hy_v4": ("HYV4ForCausalLM", "HYV4Config", {**DSA, **SPARSE, "indexer_types": ["full", "full"], "hc_mult": 2}),
    "axk1": ("AXK1ForCausalLM", "AXK1Config", {**DEEPSEEK, **GROUPS, **SPARSE, "n_routed_experts": 8}),
    "axk2": ("AXK2ForCausalLM", "AXK2Config", {**DSA, **SPARSE, "gated_norm_rank": 4}),
    "glm4_moe_lite": (
        "Glm4MoeLiteForCausalLM", "Glm4MoeLiteConfig", {**DEEPSEEK, **GROUPS, **SPARSE, "n_routed_experts": 8}
    ),
    "dots1": (
        "Dots1ForCausalLM", "Dots1Config",
        {**GROUPS, "n_routed_experts": 8, "n_shared_experts": 1, "first_k_dense_replace": 0},
    ),
    "dots3_note": (
        "Dots3NoteForCausalLM", "Dots3NoteTextConfig",
        {**DSA, **SPARSE, **FULL, "use_dsa": False, "shared_experts_intermediate_size": 16},
    ),
    "deepseek_v4": (
        "DeepseekV4ForCausalLM", "DeepseekV4Config",
        {
            "n_routed_experts": 8, "mlp_layer_types": ["moe", "moe"], "num_key_value_heads": 1, "head_dim": 16,
            "layer_types": ["sliding_attention", "sliding_attention"], "q_lora_rank": 16, "o_groups": 2,
            "o_lora_rank": 8, "hc_mult": 2, "sliding_window": 64, **INDEXER, "partial_rotary_factor": 0.5,
        },
    ),
    "bailing_hybrid": (
        "BailingHybridForCausalLM", "BailingHybridConfig",
        {**LATENT, **GROUPS, **SPARSE, **MIXED, "num_key_value_heads": 4, "num_local_experts": 8, "num_mtp_layers": 0},
    ),
    "kimi_linear": (
        "KimiLinearForCausalLM", "KimiLinearConfig",
        {
            **LATENT, **GROUPS, **SPARSE, **MIXED, "q_lora_rank": None, "num_key_value_heads": 4,
            "num_local_experts": 8, "linear_head_dim": 8, "linear_num_heads": 4, "linear_conv_kernel_dim": 2,
        },
    ),
    "exaone_moe": ("ExaoneMoeForCausalLM", "ExaoneMoeConfig", {**GROUPS, **SPARSE, **SLIDING, "num_experts": 8}),
    "solar_open": (
        "SolarOpenForCausalLM", "SolarOpenConfig", {**GROUPS, "n_routed_experts": 8, "n_shared_experts": 1}
    ),
    "mimo_v2_flash": (
        "MiMoV2FlashForCausalLM", "MiMoV2FlashConfig",
        {**GROUPS, **SPARSE, **SLIDING, "n_routed_experts": 8, "v_head_dim": 8},
    ),
    "nemotron_h": (
        "NemotronHForCausalLM", "NemotronHConfig",
        {
            **GROUPS, "num_hidden_layers": None, "layers_block_type": ["moe", "full_attention", "moe"],
            "n_routed_experts": 8, "moe_shared_expert_intermediate_size": 16, "moe_latent_size": 24,
            "use_mamba_kernels": False,
        },
    ),
    "beam": ("BeamForCausalLM", "BeamConfig", {**GROUPS, **SPARSE, **SLIDING, "num_experts": 8}),
    "hy_v3": ("HYV3ForCausalLM", "HYV3Config", {**SPARSE, "num_experts": 8, "num_shared_experts": 1}),
    "minimax_m2": ("MiniMaxM2ForCausalLM", "MiniMaxM2Config", {"num_local_experts": 8}),
    "minimax_m3_vl": (
        "MiniMaxM3VLForCausalLM", "MiniMaxM3VLTextConfig",
        {"num_local_experts": 8, "dense_intermediate_size": 24, "shared_intermediate_size": 16, "rotary_dim": 4},
    ),
    "minimax": ("MiniMaxForCausalLM", "MiniMaxConfig", {**MIXED, "num_local_experts": 8, "block_size": 8}),
    "afmoe": ("AfmoeForCausalLM", "AfmoeConfig", {"num_experts": 8, "num_dense_layers": 0, "num_shared_experts": 1}),
    "lfm2_moe": (
        "Lfm2MoeForCausalLM", "Lfm2MoeConfig",
        {"num_experts": 8, "num_dense_layers": 0, "layer_types": ["conv", "full_attention"]},
    ),
    "laguna": ("LagunaForCausalLM", "LagunaConfig", {**SHARED, **SPARSE, "moe_router_logit_softcapping": 5.0}),
    "flint": ("FlintForCausalLM", "FlintConfig", {**SHARED, "mlp_only_layers": []}),
    "kolibri1": ("Kolibri1ForCausalLM", "Kolibri1Config", {**SHARED, "norm_topk_prob": True}),
    "inkling2": (
        "Inkling2ForCausalLM", "Inkling2TextConfig",
        {
            "unpadded_vocab_size": 96, "swa_num_attention_heads": 4, "swa_num_key_value_heads": 2, "swa_head_dim": 8,
            "sliding_window_size": 64, "d_rel": 4, "rel_extent": 16, "layer_types": ["hybrid", "hybrid_sliding"],
            "conv_kernel_size": 2, "n_routed_experts": 8, "n_layers_per_attn_res_block": 2,
        },
    ),
    "ernie4_5_moe": (
        "Ernie4_5_MoeForCausalLM", "Ernie4_5_MoeConfig",
        {"moe_num_experts": 8, "moe_k": 2, "moe_num_shared_experts": 1, "moe_layer_start_index": 0},
    ),
    "hunyuan_v1_moe": ("HunYuanMoEV1ForCausalLM", "HunYuanMoEV1Config", {"num_experts": 8, "moe_topk": 2}),
    "jamba": (
        "JambaForCausalLM", "JambaConfig",
        {
            "num_experts": 8, "expert_layer_period": 1, "expert_layer_offset": 0, "attn_layer_period": 2,
            "attn_layer_offset": 1, "use_mamba_kernels": False, "mamba_d_state": 16, "mamba_dt_rank": 16,
        },
    ),
    "aria": (
        "AriaTextForCausalLM", "AriaTextConfig", {"moe_num_experts": 8, "moe_topk": 2, "moe_num_shared_experts": 1}
    ),
    "cohere2_moe": ("Cohere2MoeForCausalLM", "Cohere2MoeConfig", {**SLIDING, "num_experts": 8, "num_shared_experts": 1}),
    "granitemoehybrid": (
        "GraniteMoeHybridForCausalLM", "GraniteMoeHybridConfig",
        {
            **MIXED, "num_local_experts": 8, "shared_intermediate_size": 16, "mamba_n_heads": 4, "mamba_d_state": 4,
            "mamba_chunk_size": 8,
        },
    ),
    "granitemoeshared": (
        "GraniteMoeSharedForCausalLM", "GraniteMoeSharedConfig", {"num_local_experts": 8, "shared_intermediate_size": 16}
    ),
    "granitemoe_swa": ("GraniteMoeSWAForCausalLM", "GraniteMoeSWAConfig", {**SLIDING, "num_local_experts": 8}),
    "gemma4": (
        "Gemma4ForCausalLM", "Gemma4TextConfig",
        {
            **SLIDING, "enable_moe_block": True, "num_experts": 8, "top_k_experts": 2, "global_head_dim": 8,
            "hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 96,
        },
    ),
}  # fmt: skip

ALL = {**TINY, **MORE}


def make(family: str, seed: int = 0, **settings: Any) -> Any:
    """The model, in evaluation, every parameter random (biases and norms too)."""
    import transformers

    model_class, config_class, more = ALL[family]
    sizes = {**SIZES, **more, **settings}
    left_out = {key for key, value in sizes.items() if value is None and key in SIZES}
    config = getattr(transformers, config_class)(**{key: sizes[key] for key in sizes if key not in left_out})
    torch.manual_seed(seed)
    model = getattr(transformers, model_class)(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if (".experts." in name and tensor.ndim == 3) or name.endswith(ROUTERS):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
            elif name.endswith(BIASES):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.1)
            elif name.endswith("per_expert_scale"):
                tensor.copy_(1 + torch.randn(tensor.shape, generator=generator) * 0.1)
    return model.eval()


ROUTERS = ("gate.weight", "router.weight", "router.proj.weight", "gate.wg.weight")
BIASES = ("correction_bias", "expert_bias", "proj_bias", "router.bias")


def prompts(rows: int = 2, tokens: int = 9, seed: int = 3) -> torch.Tensor:
    """Random token ids."""
    return torch.randint(3, 90, (rows, tokens), generator=torch.Generator().manual_seed(seed))
