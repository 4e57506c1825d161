"""Tiny mixtures that also see: transformers' own classes, a vision tower of one or two layers."""

from typing import Any

import torch

from interconnected_ai.bench.tiny_moes import LINEAR, MORE, ROUTERS, SIZES, TINY

_PATCHES = {"patch_size": 4, "num_heads": 2, "depth": 2, "hidden_size": 16, "intermediate_size": 16, "in_channels": 3}
_QWEN_VISION = {
    **_PATCHES,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "out_hidden_size": 32,
    "num_position_embeddings": 16,
}
_LLAMA_VISION = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64, "vision_output_dim": 16,
    "image_size": 8, "patch_size": 4, "projector_input_dim": 16, "projector_output_dim": 16,
}  # fmt: skip
_GEMMA_VISION = {
    "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
    "head_dim": 8, "patch_size": 4, "pooling_kernel_size": 1, "position_embedding_size": 8,
}  # fmt: skip
_IDS = {"image_token_id": 90, "video_token_id": 91, "vision_start_token_id": 92, "vision_end_token_id": 93}

# family → (model class, config class, its settings)
SEEING: dict[str, tuple[str, str, dict[str, Any]]] = {
    "qwen3_5_moe": (
        "Qwen3_5MoeForConditionalGeneration",
        "Qwen3_5MoeConfig",
        {
            "text_config": {**SIZES, "num_experts": 8, "shared_expert_intermediate_size": 16, **LINEAR},
            "vision_config": _QWEN_VISION,
            **_IDS,
        },
    ),
    "qwen3_vl_moe": (
        "Qwen3VLMoeForConditionalGeneration",
        "Qwen3VLMoeConfig",
        {
            "text_config": {
                **SIZES,
                "num_experts": 8,
                "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]},
            },
            "vision_config": {**_QWEN_VISION, "deepstack_visual_indexes": [0]},
            **_IDS,
        },
    ),
    "gemma4": (
        "Gemma4ForConditionalGeneration",
        "Gemma4Config",
        {
            "text_config": {**SIZES, **MORE["gemma4"][2]},
            "vision_config": _GEMMA_VISION,
            "audio_config": None,
            "image_token_id": 90,
            "video_token_id": 91,
        },
    ),
    "llama4": (
        "Llama4ForConditionalGeneration",
        "Llama4Config",
        {
            "text_config": {**SIZES, **TINY["llama4"][2]},
            "vision_config": _LLAMA_VISION,
            "boi_token_index": 92,
            "eoi_token_index": 93,
            "image_token_index": 90,
        },
    ),
}


def make_seeing(family: str) -> Any:
    """The model, in evaluation, routers random."""
    import transformers

    model_class, config_class, settings = SEEING[family]
    torch.manual_seed(0)
    model = getattr(transformers, model_class)(getattr(transformers, config_class)(**settings))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if tensor.ndim == 3 or name.endswith(ROUTERS):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
    return model.eval()
