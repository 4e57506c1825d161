"""The families of pretrained MoE models that can be operated on: one row each.

Where blocks, experts and routers stand in a model is found by structure (`anatomy`); a row says only what the structure
cannot: how the router chooses, what the config calls its numbers, and which dense family it can be grown from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.surgery.routing import token_routing
from interconnected_ai.surgery.routing.token_routing import TokenRouting


@dataclass(frozen=True)
class Family:
    """What is known of a family beyond the structure of its modules.

    count_keys: what config.json calls the number of routed FFN experts, transformers' present name first. transposed: the
    stacked matrices are (experts, in, out). dense: model types of dense models whose layers fit (`upcycle`).
    disk: the names of gate, up and down in a checkpoint that keeps experts apart.
    """

    name: str
    model_types: tuple[str, ...]
    routing: TokenRouting
    count_keys: tuple[str, ...] = ("num_experts", "num_local_experts")
    transposed: bool = False
    dense: tuple[str, ...] = ()
    disk: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj")


_DEEPSEEK_KEYS = ("n_routed_experts", "num_local_experts", "num_experts")
_LOCAL_KEYS = ("num_local_experts", "num_experts")
_W = ("w1", "w3", "w2")

FAMILIES = (
    Family("Qwen3-MoE", ("qwen3_moe",), token_routing.SOFTMAX, dense=("qwen3",)),
    Family("Qwen2-MoE", ("qwen2_moe",), token_routing.SOFTMAX),
    Family("Qwen3.5-MoE", ("qwen3_5_moe_text", "qwen3_5_moe"), token_routing.SOFTMAX_RENORMALISED),
    Family("Qwen3-Next", ("qwen3_next",), token_routing.SOFTMAX),
    Family("Mixtral", ("mixtral",), token_routing.MIXTRAL, _LOCAL_KEYS, dense=("mistral", "llama"), disk=_W),
    Family("OLMoE", ("olmoe",), token_routing.SOFTMAX),
    Family("DeepSeek-V2", ("deepseek_v2",), token_routing.DEEPSEEK_V2, _DEEPSEEK_KEYS),
    Family("DeepSeek-V3", ("deepseek_v3",), token_routing.DEEPSEEK_V3, _DEEPSEEK_KEYS),
    Family("GLM4-MoE", ("glm4_moe",), token_routing.DEEPSEEK_V3, _DEEPSEEK_KEYS),
    Family("gpt-oss", ("gpt_oss",), token_routing.TOP_K_SOFTMAX, _LOCAL_KEYS, transposed=True),
    Family("Phi-MoE", ("phimoe",), token_routing.SPARSE_MIXER, _LOCAL_KEYS, disk=_W),
    Family("GraniteMoE", ("granitemoe",), token_routing.GRANITE, _LOCAL_KEYS),
    Family("Llama 4", ("llama4_text", "llama4"), token_routing.LLAMA4, _LOCAL_KEYS, transposed=True),
)


def family_of(config: Mapping[str, Any], source: str = "the model") -> Family:
    """The row for a config's `model_type`; raises `UnknownNameError` with the known types, nearest first."""
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise ConfigError(f"{source} has no model_type; needs the config.json that belongs to the weights")
    for family in FAMILIES:
        if model_type in family.model_types:
            return family
    known = [each for family in FAMILIES for each in family.model_types]
    raise UnknownNameError("mixture-of-experts family", model_type, known)
