"""Published mixtures: the numbers of their config.json that matter for sizes, what their publishers say, and where both stand.

Where a source is a configuration class of transformers 5.23, its defaults are those of the checkpoint that it names.
"""

from dataclasses import dataclass
from typing import Any

FULL, SLIDING, LINEAR = "full_attention", "sliding_attention", "linear_attention"
_LATENT = {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "dtype": "bfloat16"}
_DEEPSEEK = {
    **_LATENT, "hidden_size": 7168, "intermediate_size": 18432, "moe_intermediate_size": 2048, "num_hidden_layers": 61,
    "n_shared_experts": 1, "num_experts_per_tok": 8, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "v_head_dim": 128,
}  # fmt: skip


@dataclass(frozen=True)
class Published:
    """One model. total, active: as published, digit for digit; figures: where they stand; config_source: where sizes do."""

    config: dict[str, Any]
    config_source: str
    total: str
    active: str
    figures: str


PUBLISHED_MIXTURES = {
    "Kimi-K2": Published(
        {
            **_DEEPSEEK, "model_type": "kimi_k2", "vocab_size": 163840, "num_attention_heads": 64,
            "num_key_value_heads": 64, "n_routed_experts": 384, "first_k_dense_replace": 1,
        },
        "github.com/MoonshotAI/Kimi-K2, README, model summary; vocabulary 163,840 of its config.json",
        "1T", "32B", "README: 1T, 32B activated",
    ),
    "DeepSeek-V3.2-Exp": Published(
        {
            **_DEEPSEEK, "model_type": "deepseek_v32", "vocab_size": 129280, "num_attention_heads": 128,
            "num_key_value_heads": 128, "n_routed_experts": 256, "n_group": 8, "topk_group": 4,
            "first_k_dense_replace": 3, "index_n_heads": 64, "index_head_dim": 128,
        },
        "transformers.DeepseekV32Config", "671B", "37B",
        "model card of deepseek-ai/DeepSeek-V3 (V3.2 adds the indexer alone): 671B, 37B activated",
    ),
    "GLM-5": Published(
        {
            **_LATENT, "model_type": "glm_moe_dsa", "vocab_size": 154880, "hidden_size": 6144,
            "intermediate_size": 12288, "moe_intermediate_size": 2048, "num_hidden_layers": 78,
            "num_attention_heads": 64, "num_key_value_heads": 64, "n_shared_experts": 1, "n_routed_experts": 256,
            "num_experts_per_tok": 8, "q_lora_rank": 2048, "qk_nope_head_dim": 192, "v_head_dim": 256,
            "first_k_dense_replace": 3, "index_n_heads": 32, "index_head_dim": 128,
        },
        "transformers.GlmMoeDsaConfig", "744B", "40B", "GLM-5 technical report (arXiv:2602.15763): 744B, 40B activated",
    ),
    "MiniMax-M2": Published(
        {
            "model_type": "minimax_m2", "vocab_size": 200064, "hidden_size": 3072, "intermediate_size": 1536,
            "num_hidden_layers": 62, "num_attention_heads": 48, "num_key_value_heads": 8, "head_dim": 128,
            "num_local_experts": 256, "num_experts_per_tok": 8, "dtype": "bfloat16",
        },
        "transformers.MiniMaxM2Config", "230B", "10B", "github.com/MiniMax-AI/MiniMax-M2, README: 230B, 10B active",
    ),
    "MiniMax-M3": Published(
        {
            "model_type": "minimax_m3_vl_text", "vocab_size": 200064, "hidden_size": 6144, "intermediate_size": 3072,
            "num_hidden_layers": 60, "num_attention_heads": 64, "num_key_value_heads": 4, "head_dim": 128,
            "num_local_experts": 128, "num_experts_per_tok": 4, "dense_intermediate_size": 12288,
            "shared_intermediate_size": 3072, "moe_layer_freq": [0] * 3 + [1] * 57, "dtype": "bfloat16",
            "sparse_attention_config": {"sparse_attention_freq": [0] * 3 + [1] * 57},
        },
        "transformers.MiniMaxM3VLTextConfig; that the first three layers are dense: its test fixtures", "428B", "23B",
        "model card of MiniMaxAI/MiniMax-M3: ~428B, ~23B activated, with the vision tower",
    ),
    "MiMo-V2-Flash": Published(
        {
            "model_type": "mimo_v2_flash", "vocab_size": 152576, "hidden_size": 4096, "intermediate_size": 16384,
            "moe_intermediate_size": 2048, "num_hidden_layers": 48, "num_attention_heads": 64,
            "num_key_value_heads": 4, "head_dim": 192, "v_head_dim": 128, "sliding_window": 129,
            "n_routed_experts": 256, "num_experts_per_tok": 8, "dtype": "bfloat16",
        },
        "transformers.MiMoV2FlashConfig", "309B", "15B", "model card of XiaomiMiMo/MiMo-V2-Flash: 309B, 15B active",
    ),
    "Llama-4-Scout": Published(
        {
            "model_type": "llama4",
            "text_config": {
                "model_type": "llama4_text", "vocab_size": 202048, "hidden_size": 5120, "intermediate_size": 8192,
                "intermediate_size_mlp": 16384, "num_hidden_layers": 48, "num_attention_heads": 40,
                "num_key_value_heads": 8, "head_dim": 128, "num_local_experts": 16, "num_experts_per_tok": 1,
                "interleave_moe_layer_step": 1,
            },
        },
        "transformers.Llama4TextConfig", "109B", "17B",
        "ai.meta.com/blog/llama-4-multimodal-intelligence: 109B with the vision tower, 17B active",
    ),
    "Llama-4-Maverick": Published(
        {
            "model_type": "llama4",
            "text_config": {
                "model_type": "llama4_text", "vocab_size": 202048, "hidden_size": 5120, "intermediate_size": 8192,
                "intermediate_size_mlp": 16384, "num_hidden_layers": 48, "num_attention_heads": 40,
                "num_key_value_heads": 8, "head_dim": 128, "num_local_experts": 128, "num_experts_per_tok": 1,
                "interleave_moe_layer_step": 2,
            },
        },
        "LLAMA_4_MAVERICK config in TensorRT-LLM's tests (github.com/NVIDIA/TensorRT-LLM)", "400B", "17B",
        "ai.meta.com/blog/llama-4-multimodal-intelligence: 400B with the vision tower, 17B active",
    ),
    "Qwen3.5-35B-A3B": Published(
        {
            "model_type": "qwen3_5_moe",
            "text_config": {
                "model_type": "qwen3_5_moe_text", "vocab_size": 248320, "hidden_size": 2048, "num_hidden_layers": 40,
                "num_attention_heads": 16, "num_key_value_heads": 2, "head_dim": 256, "linear_conv_kernel_dim": 4,
                "linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_num_key_heads": 16,
                "linear_num_value_heads": 32, "moe_intermediate_size": 512, "shared_expert_intermediate_size": 512,
                "num_experts_per_tok": 8, "num_experts": 256,
            },
        },
        "transformers.Qwen3_5MoeTextConfig", "35B", "3B", "qwen.ai/blog?id=qwen3.5: 35B, 3B active",
    ),
    "Qwen3-VL-30B-A3B": Published(
        {
            "model_type": "qwen3_vl_moe",
            "text_config": {
                "model_type": "qwen3_vl_moe_text", "vocab_size": 151936, "hidden_size": 2048,
                "intermediate_size": 6144, "num_hidden_layers": 48, "num_attention_heads": 32,
                "num_key_value_heads": 4, "head_dim": 128, "moe_intermediate_size": 768, "num_experts": 128,
                "num_experts_per_tok": 8, "decoder_sparse_step": 1,
            },
        },
        "text_config of Qwen/Qwen3-VL-30B-A3B-Instruct: the sizes of Qwen3-30B-A3B, on which it stands", "30.5B", "3.3B",
        "model card of Qwen/Qwen3-30B-A3B: 30.5B, 3.3B activated; the vision tower (0.6B) is not counted here",
    ),
    "Gemma-4-26B-A4B": Published(
        {
            "model_type": "gemma4",
            "text_config": {
                "model_type": "gemma4_text", "vocab_size": 262144, "hidden_size": 2816, "intermediate_size": 2112,
                "moe_intermediate_size": 704, "num_hidden_layers": 30, "num_attention_heads": 16,
                "num_key_value_heads": 8, "num_global_key_value_heads": 2, "head_dim": 256, "global_head_dim": 512,
                "num_experts": 128, "top_k_experts": 8, "enable_moe_block": True, "attention_k_eq_v": True,
                "sliding_window": 1024, "hidden_size_per_layer_input": 0, "tie_word_embeddings": True,
            },
        },
        "config.json of google/gemma-4-26B-A4B-it", "25.2B", "3.8B", "model card of google/gemma-4-26B-A4B: 25.2B, 3.8B active",
    ),
    "Nemotron-3-Nano": Published(
        {
            "model_type": "nemotron_h", "vocab_size": 131072, "hidden_size": 2688, "num_hidden_layers": 52,
            "hybrid_override_pattern": "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME",
            "num_attention_heads": 32, "num_key_value_heads": 2, "head_dim": 128, "mamba_num_heads": 64,
            "mamba_head_dim": 64, "ssm_state_size": 128, "n_groups": 8, "conv_kernel": 4, "n_routed_experts": 128,
            "num_experts_per_tok": 6, "moe_intermediate_size": 1856, "moe_shared_expert_intermediate_size": 3712,
            "intermediate_size": 1856, "torch_dtype": "bfloat16",
        },
        "config.json of nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "31.6B", "3.2B",
        "Nemotron 3 Nano technical report: 31.6B, 3.2B active without embeddings (3.6B with)",
    ),
    "ERNIE-4.5-21B-A3B": Published(
        {
            "model_type": "ernie4_5_moe", "vocab_size": 103424, "hidden_size": 2560, "intermediate_size": 12288,
            "num_hidden_layers": 28, "num_attention_heads": 20, "num_key_value_heads": 4, "moe_intermediate_size": 1536,
            "moe_k": 6, "moe_num_experts": 64, "moe_num_shared_experts": 2, "moe_layer_start_index": 1,
            "moe_layer_end_index": 27, "moe_layer_interval": 1, "tie_word_embeddings": True, "dtype": "bfloat16",
        },
        "transformers.Ernie4_5_MoeConfig", "21B", "3B", "model card of baidu/ERNIE-4.5-21B-A3B-PT: 21B, 3B activated",
    ),
    "Hunyuan-A13B": Published(
        {
            "model_type": "hunyuan_v1_moe", "vocab_size": 128167, "hidden_size": 4096, "intermediate_size": 3072,
            "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
            "num_experts": 64, "moe_topk": [8] * 32, "num_shared_expert": [1] * 32, "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
        },
        "config.json of tencent/Hunyuan-A13B-Instruct", "80B", "13B",
        "model card of tencent/Hunyuan-A13B-Instruct: 80B, 13B active",
    ),
    "dots.llm1": Published(
        {
            "model_type": "dots1", "vocab_size": 152064, "hidden_size": 4096, "intermediate_size": 10944,
            "moe_intermediate_size": 1408, "num_hidden_layers": 62, "num_attention_heads": 32,
            "num_key_value_heads": 32, "n_shared_experts": 2, "n_routed_experts": 128, "num_experts_per_tok": 6,
            "first_k_dense_replace": 1, "torch_dtype": "bfloat16",
        },
        "config.json of rednote-hilab/dots.llm1.inst", "142B", "14B",
        "dots.llm1 technical report (arXiv:2506.05767): 142B, 14B activated",
    ),
    "LFM2-8B-A1B": Published(
        {
            "model_type": "lfm2_moe", "vocab_size": 65536, "hidden_size": 2048, "intermediate_size": 7168,
            "moe_intermediate_size": 1792, "num_hidden_layers": 24, "num_attention_heads": 32,
            "num_key_value_heads": 8, "conv_L_cache": 3, "num_dense_layers": 2, "num_experts": 32,
            "num_experts_per_tok": 4, "torch_dtype": "bfloat16",
            "layer_types": [FULL if n in (2, 6, 10, 14, 18, 21) else "conv" for n in range(24)],
        },
        "config.json of LiquidAI/LFM2-8B-A1B", "8.3B", "1.5B", "model card of LiquidAI/LFM2-8B-A1B: 8.3B, 1.5B active",
    ),
    "Jamba-v0.1": Published(
        {
            "model_type": "jamba", "vocab_size": 65536, "hidden_size": 4096, "intermediate_size": 14336,
            "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "num_experts": 16,
            "num_experts_per_tok": 2, "expert_layer_period": 2, "expert_layer_offset": 1, "attn_layer_period": 8,
            "attn_layer_offset": 4, "mamba_d_state": 16, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_dt_rank": 256,
            "torch_dtype": "bfloat16",
        },
        "transformers.JambaConfig", "52B", "12B", "Jamba (arXiv:2403.19887): 52B available, 12B active",
    ),
    "Step-3.7-Flash": Published(
        {
            "model_type": "step3p7",
            "text_config": {
                "model_type": "step3p5", "vocab_size": 128896, "hidden_size": 4096, "intermediate_size": 11264,
                "num_hidden_layers": 45, "num_attention_heads": 64, "num_attention_groups": 8, "head_dim": 128,
                "moe_num_experts": 288, "moe_top_k": 8, "moe_intermediate_size": 1280, "share_expert_dim": 1280,
                "moe_layers_enum": ",".join(map(str, range(3, 45))), "sliding_window": 512,
                "attention_other_setting": {"num_attention_heads": 96, "num_attention_groups": 8, "head_dim": 128},
                "layer_types": [FULL if n % 4 == 0 else SLIDING for n in range(48)], "num_nextn_predict_layers": 3,
                "torch_dtype": "bfloat16",
            },
        },
        "transformers.Step3p7TextConfig; experts, heads of sliding layers and vocabulary as vLLM's and ATOM's tests have them",
        "198B", "11B",
        "model card of stepfun-ai/Step-3.7-Flash: 198B, a language model of 196B and an encoder of 1.8B; 11B active",
    ),
}  # fmt: skip
