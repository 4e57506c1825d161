"""Mixtures of experts in GGUF: which llama.cpp computes as transformers does, what their files say beyond a dense model's.

llama.cpp's rule of the router is part of an architecture, not of the file: a model whose config asks for another is refused.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from interconnected_ai.errors import EngineError

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Mixture:
    """How one family of transformers stands in GGUF.

    architecture: GGUF's. width: the config key of the experts' inner width. renormalised: the only
    value of `norm_topk_prob` that llama.cpp knows there, None where the family has no such setting. biased: whether the
    attention may have biases. expert_width: whether the file says the experts' width apart from the dense one.
    """

    architecture: str
    width: str
    renormalised: bool | None = None
    biased: bool = False
    expert_width: bool = False


MIXTURES = {
    "mixtral": Mixture("llama", "intermediate_size", biased=True),
    "qwen2_moe": Mixture("qwen2moe", "moe_intermediate_size", False, biased=True, expert_width=True),
    "qwen3_moe": Mixture("qwen3moe", "moe_intermediate_size", True, expert_width=True),
    "olmoe": Mixture("olmoe", "intermediate_size", False),
    "granitemoe": Mixture("granitemoe", "intermediate_size", biased=True),
}  # fmt: skip

# a module of a layer → GGUF's
PLACES = {
    "mlp.gate": "ffn_gate_inp",
    "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
    "mlp.shared_expert.gate_proj": "ffn_gate_shexp",
    "mlp.shared_expert.up_proj": "ffn_up_shexp",
    "mlp.shared_expert.down_proj": "ffn_down_shexp",
    "block_sparse_moe.router": "ffn_gate_inp",
}
ROUTERS = ("ffn_gate_inp", "ffn_gate_inp_shexp")  # in float32 always: a choice that rounding turns is another answer
_COUNTS = ("num_experts", "num_local_experts")  # transformers' configs differ in which they write
_STACKS = ("mlp.experts.", "block_sparse_moe.experts.")


def mixture_of(config: Config) -> Mixture | None:
    """The row of a config's family, None for a dense one; raises `EngineError` for what llama.cpp would compute otherwise."""
    found = MIXTURES.get(str(config.get("model_type")))
    if found is not None:
        _refuse_other_rules(found, config)
    return found


def add_mixture(writer: Any, mixture: Mixture, config: Config) -> None:
    """What the file says of the experts."""
    writer.add_expert_count(int(next(config[key] for key in _COUNTS if key in config)))
    writer.add_expert_used_count(int(config["num_experts_per_tok"]))
    if mixture.expert_width:
        writer.add_expert_feed_forward_length(int(config[mixture.width]))
    if config.get("shared_expert_intermediate_size"):
        writer.add_expert_shared_feed_forward_length(int(config["shared_expert_intermediate_size"]))
    scales: dict[str, Callable[[float], None]] = {
        "attention_multiplier": writer.add_attention_scale,
        "embedding_multiplier": writer.add_embedding_scale,
        "residual_multiplier": writer.add_residual_scale,
        "logits_scaling": writer.add_logit_scale,
    }
    for key, add in scales.items():
        if key in config:
            add(float(config[key]))


def expert_tensors(layer: str, place: str, stack: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a stack, (experts, out, in), gate and up apart; none where `place` is no stack. layer: blk.3."""
    name = next((place.removeprefix(prefix) for prefix in _STACKS if place.startswith(prefix)), None)
    if name == "gate_up_proj":
        gate, up = stack.chunk(2, dim=1)
        yield f"{layer}.ffn_gate_exps.weight", gate
        yield f"{layer}.ffn_up_exps.weight", up
    elif name == "down_proj":
        yield f"{layer}.ffn_down_exps.weight", stack


def _refuse_other_rules(mixture: Mixture, config: Config) -> None:
    there = mixture.architecture
    scaled = bool(config.get("norm_topk_prob", False))
    if mixture.renormalised is not None and scaled is not mixture.renormalised:
        does = "always" if mixture.renormalised else "never"
        raise EngineError(
            f"GGUF's {there} {does} scales the chosen experts' weights to sum to 1, and this model says norm_topk_prob = "
            f"{scaled}: llama.cpp would answer otherwise. Serve it on torch"
        )
    if config.get("attention_bias") and not mixture.biased:
        raise EngineError(
            f"GGUF's {there} has no biases in its attention, this model has (attention_bias); serve it on torch"
        )
    heads = config["num_attention_heads"]
    if there == "olmoe" and config.get("num_key_value_heads", heads) != heads:
        raise EngineError(
            f"GGUF's {there} has as many heads of keys as of queries ({heads}), this model {config['num_key_value_heads']} "
            "(num_key_value_heads); serve it on torch"
        )
    if config.get("clip_qkv") is not None:
        raise EngineError(f"GGUF's {there} clips no queries and keys, this model does (clip_qkv); serve it on torch")
    if config.get("mlp_only_layers") or int(config.get("decoder_sparse_step") or 1) != 1:
        raise EngineError(
            f"GGUF's {there} has experts in every layer, this model has dense ones between (mlp_only_layers, "
            "decoder_sparse_step); serve it on torch"
        )
