"""Configs of pretrained MoEs: of every family, random and fixed, and published ones; and their models."""

from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from interconnected_ai.planner.pretrained import PretrainedMoE, TrainingWay, read_pretrained, size_ways
from properties import examples

few = examples(6)

# the families whose activations are compared tensor by tensor; `test_pretrained_recent` has the others
MEASURED = (
    "deepseek_v2", "deepseek_v3", "glm4_moe", "gpt_oss", "granitemoe", "minimax_m2", "mixtral", "olmoe", "phimoe",
    "qwen2_moe", "qwen3_moe", "qwen3_next",
)  # fmt: skip
Draw = Callable[[st.SearchStrategy[Any]], Any]
Config = dict[str, Any]

SLIDING, FULL = "sliding_attention", "full_attention"


def sizes(*values: int) -> st.SearchStrategy[int]:
    return st.sampled_from(values)


def common(draw: Draw, *, n_layers: int = 3) -> Config:
    n_heads = draw(sizes(2, 4))
    return {
        "vocab_size": draw(st.integers(20, 70)),
        "hidden_size": n_heads * draw(sizes(8, 16)),
        "num_hidden_layers": draw(st.integers(1, n_layers)),
        "num_attention_heads": n_heads,
        "num_key_value_heads": n_heads // draw(sizes(1, 2)),
        "num_experts_per_tok": draw(st.integers(1, 3)),
        "tie_word_embeddings": draw(st.booleans()),
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }


def one_size(draw: Draw, experts: str) -> Config:
    return {"intermediate_size": draw(sizes(8, 24)), experts: draw(st.integers(3, 6))}


def qwen(draw: Draw) -> Config:
    n_layers = draw(st.integers(2, 4))
    dense = draw(st.sets(st.integers(0, n_layers - 2), max_size=1))
    return {
        "num_hidden_layers": n_layers,
        "intermediate_size": draw(sizes(8, 24)),
        "moe_intermediate_size": draw(sizes(8, 16)),
        "num_experts": draw(st.integers(3, 6)),
        "mlp_only_layers": sorted(dense),
        "decoder_sparse_step": 1 if dense else draw(st.integers(1, n_layers)),
    }


def deepseek(draw: Draw) -> Config:
    groups = draw(sizes(1, 2))
    return {
        "num_hidden_layers": 3,
        "intermediate_size": draw(sizes(8, 24)),
        "moe_intermediate_size": draw(sizes(8, 16)),
        "n_routed_experts": groups * draw(sizes(3, 4)),
        "n_shared_experts": draw(sizes(1, 2)),
        "first_k_dense_replace": draw(st.integers(0, 2)),
        "n_group": groups,
        "topk_group": 1,
    }


def latent(draw: Draw, config: Config) -> Config:
    return {
        "num_key_value_heads": config["num_attention_heads"],
        "kv_lora_rank": draw(sizes(6, 10)),
        "q_lora_rank": draw(st.sampled_from([None, 8, 14])),
        "qk_nope_head_dim": draw(sizes(6, 12)),
        "qk_rope_head_dim": draw(sizes(4, 8)),
        "v_head_dim": draw(sizes(6, 8)),
    }


@st.composite
def configs(draw: Draw, model_type: str) -> Config:
    """A small valid config.json of this family."""
    config = common(draw)
    bias = {"attention_bias": draw(st.booleans())}
    if model_type in ("qwen3_moe", "qwen2_moe", "qwen3_next"):
        config |= qwen(draw)
    if model_type in ("deepseek_v2", "deepseek_v3"):
        config |= deepseek(draw) | bias
        config |= latent(draw, config)
    config |= {
        "qwen3_moe": lambda: bias | draw(st.sampled_from([{}, {"head_dim": 6}])),
        "qwen2_moe": lambda: {"qkv_bias": draw(st.booleans()), "shared_expert_intermediate_size": draw(sizes(8, 20))},
        "qwen3_next": lambda: (
            bias
            | {
                "head_dim": draw(sizes(8, 16)),
                "shared_expert_intermediate_size": draw(sizes(8, 20)),
                "linear_num_key_heads": 2,
                "linear_num_value_heads": draw(sizes(2, 4)),
                "linear_key_head_dim": draw(sizes(6, 8)),
                "linear_value_head_dim": draw(sizes(6, 10)),
                "linear_conv_kernel_dim": draw(sizes(2, 4)),
                "layer_types": [FULL, *(["linear_attention"] * (config["num_hidden_layers"] - 1))],
            }
        ),
        "mixtral": lambda: (
            one_size(draw, "num_local_experts") | {"sliding_window": draw(st.sampled_from([None, 1, 5]))}
        ),
        "olmoe": lambda: one_size(draw, "num_experts") | bias,
        "minimax_m2": lambda: one_size(draw, "num_local_experts") | {"head_dim": draw(sizes(8, 16))},
        "gpt_oss": lambda: one_size(draw, "num_local_experts") | bias | {"head_dim": 8, "sliding_window": 4},
        "phimoe": lambda: one_size(draw, "num_local_experts") | bias | {"lm_head_bias": draw(st.booleans())},
        "granitemoe": lambda: one_size(draw, "num_local_experts") | bias,
        "glm4_moe": lambda: deepseek(draw) | bias | {"use_qk_norm": draw(st.booleans())},
        "deepseek_v2": lambda: {"mlp_bias": draw(st.booleans())},
        "deepseek_v3": dict,
    }[model_type]()
    if model_type == "phimoe":  # its router always picks two
        config["num_experts_per_tok"] = 2
    return {"model_type": model_type, **config}


def example(model_type: str, **changes: Any) -> Config:
    """One fixed small config of each family, big enough that activations are not all small change."""
    config: Config = {
        "vocab_size": 64,
        "hidden_size": 128,
        "intermediate_size": 96,
        "moe_intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "num_experts_per_tok": 2,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    shared = {"num_experts": 8, "shared_expert_intermediate_size": 56, "mlp_only_layers": [1]}
    groups = {"n_routed_experts": 8, "n_shared_experts": 1, "first_k_dense_replace": 1, "n_group": 2, "topk_group": 1}
    latents = {"kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 24}
    latents |= groups | {"num_key_value_heads": 8}
    linear = {"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_conv_kernel_dim": 4}
    linear |= {"linear_key_head_dim": 16, "linear_value_head_dim": 16}
    own: dict[str, Config] = {
        "qwen3_moe": {"num_experts": 8, "head_dim": 16, "mlp_only_layers": [1]},
        "qwen2_moe": shared,
        "qwen3_next": {
            **shared,
            **linear,
            "head_dim": 16,
            "layer_types": ["linear_attention", FULL, "linear_attention"],
        },
        "mixtral": {"num_local_experts": 8, "sliding_window": 5},
        "olmoe": {"num_experts": 8},
        "minimax_m2": {"num_local_experts": 8, "head_dim": 16},
        "gpt_oss": {"num_local_experts": 8, "head_dim": 16, "sliding_window": 6},
        "phimoe": {"num_local_experts": 8, "sliding_window": 5},
        "granitemoe": {"num_local_experts": 8},
        "glm4_moe": {**groups, "use_qk_norm": True},
        "deepseek_v2": {**latents, "q_lora_rank": None},
        "deepseek_v3": {**latents, "q_lora_rank": 48},
    }
    return {"model_type": model_type, **config, **own[model_type], **changes}


def build(config: Config, **more: Any) -> nn.Module:
    """The model transformers makes of it."""
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(**config), **more)


def on_meta(config: Config) -> nn.Module:
    with torch.device("meta"):
        return build(config)


PUBLISHED: dict[str, Config] = {
    "Qwen3-30B-A3B": {
        "model_type": "qwen3_moe",
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "num_hidden_layers": 48,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "head_dim": 128,
        "moe_intermediate_size": 768,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "vocab_size": 151936,
        "torch_dtype": "bfloat16",
    },
    "Qwen3-235B-A22B": {
        "model_type": "qwen3_moe",
        "hidden_size": 4096,
        "num_hidden_layers": 94,
        "num_attention_heads": 64,
        "num_key_value_heads": 4,
        "head_dim": 128,
        "moe_intermediate_size": 1536,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "vocab_size": 151936,
        "torch_dtype": "bfloat16",
    },
    "Qwen1.5-MoE-A2.7B": {
        "model_type": "qwen2_moe",
        "hidden_size": 2048,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "moe_intermediate_size": 1408,
        "shared_expert_intermediate_size": 5632,
        "num_experts": 60,
        "num_experts_per_tok": 4,
        "vocab_size": 151936,
        "torch_dtype": "bfloat16",
    },
    "Mixtral-8x7B": {
        "model_type": "mixtral",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
        "sliding_window": None,
        "vocab_size": 32000,
        "torch_dtype": "bfloat16",
    },
    "OLMoE-1B-7B": {
        "model_type": "olmoe",
        "hidden_size": 2048,
        "intermediate_size": 1024,
        "num_hidden_layers": 16,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "num_experts": 64,
        "num_experts_per_tok": 8,
        "vocab_size": 50304,
        "torch_dtype": "bfloat16",
    },
    "gpt-oss-20b": {
        "model_type": "gpt_oss",
        "hidden_size": 2880,
        "intermediate_size": 2880,
        "num_hidden_layers": 24,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "num_local_experts": 32,
        "num_experts_per_tok": 4,
        "sliding_window": 128,
        "vocab_size": 201088,
        "quantization_config": {"quant_method": "mxfp4"},
    },
    "DeepSeek-V2-Lite": {
        "model_type": "deepseek_v2",
        "hidden_size": 2048,
        "intermediate_size": 10944,
        "moe_intermediate_size": 1408,
        "num_hidden_layers": 27,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "n_shared_experts": 2,
        "n_routed_experts": 64,
        "num_experts_per_tok": 6,
        "first_k_dense_replace": 1,
        "kv_lora_rank": 512,
        "q_lora_rank": None,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
        "vocab_size": 102400,
        "torch_dtype": "bfloat16",
    },
    "DeepSeek-V3": {
        "model_type": "deepseek_v3",
        "hidden_size": 7168,
        "intermediate_size": 18432,
        "moe_intermediate_size": 2048,
        "num_hidden_layers": 61,
        "num_attention_heads": 128,
        "num_key_value_heads": 128,
        "n_shared_experts": 1,
        "n_routed_experts": 256,
        "num_experts_per_tok": 8,
        "n_group": 8,
        "topk_group": 4,
        "first_k_dense_replace": 3,
        "kv_lora_rank": 512,
        "q_lora_rank": 1536,
        "qk_nope_head_dim": 128,
        "qk_rope_head_dim": 64,
        "v_head_dim": 128,
        "vocab_size": 129280,
        "num_nextn_predict_layers": 1,
        "torch_dtype": "bfloat16",
        "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
    },
    "Phi-3.5-MoE": {
        "model_type": "phimoe",
        "hidden_size": 4096,
        "intermediate_size": 6400,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "num_local_experts": 16,
        "num_experts_per_tok": 2,
        "attention_bias": True,
        "lm_head_bias": True,
        "sliding_window": 131072,
        "vocab_size": 32064,
        "torch_dtype": "bfloat16",
    },
}
PUBLISHED["gpt-oss-120b"] = {**PUBLISHED["gpt-oss-20b"], "num_hidden_layers": 36, "num_local_experts": 128}


def published(name: str) -> PretrainedMoE:
    return read_pretrained({**PUBLISHED[name], "_name_or_path": name})


def ways(model: PretrainedMoE, **settings_: Any) -> dict[str, TrainingWay]:
    return {way.name: way for way in size_ways(model, **settings_)}
