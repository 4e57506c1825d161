"""LoRA beside the matrices of a pretrained model: parameters, and what they keep for the backward pass."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from interconnected_ai.planner.pretrained.load import Load
from interconnected_ai.planner.pretrained.model import PretrainedMoE


@dataclass(frozen=True)
class Adapters:
    """LoRA matrices (Hu et al. 2021), (d_in, rank) and (rank, d_out) beside each adapted matrix; float32, as PEFT makes them.

    Bytes are those kept for the backward pass, by layer number: token_bytes for each token, layer_bytes whatever the tokens.
    after_attention: they stand in the FFN experts. in_experts: they belong to all of those, and go where those go.
    """

    num_params: int = 0
    token_bytes: Mapping[int, float] = field(default_factory=dict)
    layer_bytes: Mapping[int, int] = field(default_factory=dict)
    after_attention: bool = False
    in_experts: bool = False


def attention_adapters(model: PretrainedMoE, load: Load) -> Adapters:
    """On every `nn.Linear` of attention; each copies its input to float32, unless it is float32 and shared already."""
    copied = load.computing != "float32"
    num_params, kept = 0, dict.fromkeys(range(model.n_layers), 0.0 if copied else 4.0 * model.d_model)
    for weight in model.weights:
        if weight.part == "attention" and weight.linear and len(weight.shape) == 2 and weight.layer is not None:
            d_out, d_in = weight.shape
            num_params += load.lora_rank * (d_in + d_out)
            kept[weight.layer] += 4 * (d_in * copied + load.lora_rank)
    return Adapters(num_params, kept)


def expert_adapters(model: PretrainedMoE, load: Load) -> Adapters:
    """On all routed experts through PEFT's `target_parameters`, which builds each layer's whole adapted stack."""
    experts, f = model.blueprint.experts, model.d_ff_expert
    d, matrices = experts.d_latent or model.d_model, experts.num_matrices
    stack = model.num_experts * matrices * d * f
    in_layer = model.num_experts * load.lora_rank * (2 * d + matrices * f)  # gate and up share one matrix
    layers = sorted(model.blueprint.moe_layers)
    kept = dict.fromkeys(layers, float(model.top_k * load.each * (d + f)))
    fixed = dict.fromkeys(layers, load.each * (stack + in_layer))
    return Adapters(in_layer * len(layers), kept, fixed, after_attention=True, in_experts=True)


def single_expert_adapters(model: PretrainedMoE, load: Load) -> Adapters:
    """On gate, up and down of one FFN expert, which sees its fair share of the tokens."""
    experts, f, rank = model.blueprint.experts, model.d_ff_expert, load.lora_rank
    d, matrices = experts.d_latent or model.d_model, experts.num_matrices
    layers = sorted(model.blueprint.moe_layers)[: load.single_expert_layers]
    kept = dict.fromkeys(layers, model.top_k / model.num_experts * 4 * (2 * d + f + matrices * rank))
    return Adapters(matrices * rank * (d + f) * len(layers), kept, after_attention=True)
