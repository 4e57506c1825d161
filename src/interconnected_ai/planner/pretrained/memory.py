"""Every way to use or train a pretrained model, in bytes on one device."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from interconnected_ai.errors import ConfigError
from interconnected_ai.planner.checks import require_count
from interconnected_ai.planner.precision import BYTES, FLOAT_PRECISIONS
from interconnected_ai.planner.pretrained.activations import activation_bytes_of, kept_in_layer
from interconnected_ai.planner.pretrained.adapters import (
    Adapters,
    attention_adapters,
    expert_adapters,
    single_expert_adapters,
)
from interconnected_ai.planner.pretrained.attention import GroupedQueryAttention
from interconnected_ai.planner.pretrained.load import Load, require_float, require_precision
from interconnected_ai.planner.pretrained.model import PretrainedMoE
from interconnected_ai.planner.pretrained.weights import Weight, held_bytes, is_expert_matrix

# AdamW: two float32 states, and a float32 master copy of a weight held in 16 bits (Rajbhandari et al. 2020, ZeRO, section 3.1).
ADAMW_BYTES, MASTER_BYTES = 8, 4


@dataclass(frozen=True)
class TrainingWay:
    """One way to use or train a model, with the bytes it takes on a device that holds everything.

    num_trainable_params: with adapters, theirs. expert_bytes: the share of weights, gradients and optimiser states that
    belongs to routed FFN experts. gathered_bytes: what FSDP holds undivided on each device while a layer computes.
    """

    name: str
    load: Load
    num_trainable_params: int
    weights_bytes: int
    gradient_bytes: int
    optimizer_bytes: int
    activation_bytes: int
    kv_cache_bytes: int
    expert_bytes: int
    gathered_bytes: int
    notes: tuple[str, ...] = ()

    @property
    def state_bytes(self) -> int:
        """What stays from step to step: weights, gradients and optimiser states."""
        return self.weights_bytes + self.gradient_bytes + self.optimizer_bytes

    @property
    def total_bytes(self) -> int:
        """Everything at the peak of a step."""
        return self.state_bytes + self.activation_bytes + self.kv_cache_bytes

    @property
    def num_passes(self) -> int:
        """How often a step goes through the layers: forward, backward, and once more with gradient checkpointing."""
        return 1 if self.name == "inference" else 2 + self.load.checkpointing


def _learning_bytes(load: Load, num_params: int) -> tuple[int, int, int]:
    """Weights, gradients and optimiser states of the model's own parameters that learn."""
    optimizer = ADAMW_BYTES + (0 if load.computing == "float32" else MASTER_BYTES)
    return num_params * load.each, num_params * int(BYTES[load.gradient_precision]), num_params * optimizer


def _gathered_bytes(model: PretrainedMoE, load: Load, learns: Callable[[Weight], bool], quantised_experts: bool) -> int:
    """Embedding and head, two layers' weights (one computes, the next is fetched) and one layer's gradients."""
    layers: dict[int | None, list[Weight]] = {}
    for weight in model.weights:
        layers.setdefault(weight.layer, []).append(weight)
    outside = held_bytes(layers.pop(None), load.precision, quantised_experts)
    largest = max(layers.values(), key=lambda weights: sum(weight.num_params for weight in weights))
    gradients = sum(weight.num_params for weight in largest if learns(weight)) * int(BYTES[load.gradient_precision])
    return outside + 2 * held_bytes(largest, load.precision, quantised_experts) + gradients


def _way(
    model: PretrainedMoE,
    load: Load,
    name: str,
    *notes: str,
    learns: Callable[[Weight], bool] = lambda weight: False,
    adapters: Adapters | None = None,
    quantised_experts: bool = True,
) -> TrainingWay:
    """A way to train. learns: which of the model's own weights do."""
    adapters = adapters or Adapters()
    frozen = [weight for weight in model.weights if not learns(weight)]
    frozen_experts = [weight for weight in frozen if weight.part == "expert"]
    learning = [weight for weight in model.weights if learns(weight)]
    num_learning = sum(weight.num_params for weight in learning)
    num_in_experts = sum(weight.num_params for weight in learning if weight.part == "expert")
    weights, gradients, optimizer = _learning_bytes(load, num_learning)
    in_experts = sum(_learning_bytes(load, num_in_experts)) + 16 * adapters.num_params * adapters.in_experts
    held = held_bytes(frozen, load.precision, quantised_experts) + model.buffer_bytes(load.computing)
    return TrainingWay(
        name=name,
        load=load,
        num_trainable_params=num_learning + adapters.num_params,
        weights_bytes=weights + held + 4 * adapters.num_params,
        gradient_bytes=gradients + 4 * adapters.num_params,
        optimizer_bytes=optimizer + ADAMW_BYTES * adapters.num_params,
        activation_bytes=activation_bytes_of(model, load, adapters, full=not frozen, router=bool(learning)),
        kv_cache_bytes=0,
        expert_bytes=held_bytes(frozen_experts, load.precision, quantised_experts) + in_experts,
        gathered_bytes=_gathered_bytes(model, load, learns, quantised_experts),
        notes=notes,
    )


def _inference(model: PretrainedMoE, load: Load) -> TrainingWay:
    """Weights, the KV cache, and the largest layer while the whole text is read at once."""
    largest = max(sum(kept_in_layer(model, load, n, full=False, router=False)) for n in range(model.n_layers))
    last_logits = load.batch * model.vocab_size * (load.each + 4)
    way = _way(model, load, "inference", *_inference_notes(model, load))
    return replace(
        way,
        activation_bytes=round(load.tokens * (largest + 3 * load.each * model.d_model) + last_logits),
        kv_cache_bytes=model.kv_cache_bytes(load.seq_tokens, load.batch, load.computing),
    )


def in_gb(num_bytes: float) -> str:
    """A size in words."""
    return f"{num_bytes / 1e9:,.1f} GB"


def _inference_notes(model: PretrainedMoE, load: Load) -> Iterator[str]:
    yield from _frozen_notes(load)
    if model.quantization and model.stored_bytes:
        stored = in_gb(model.stored_bytes)
        yield f"the {model.quantization} checkpoint takes {stored}; kernels that run it as it is need no more"
    windows = [a.window for a in model.blueprint.attentions if isinstance(a, GroupedQueryAttention) and a.window]
    if windows:
        yield f"{len(windows)} of {model.n_layers} layers cache only their last {max(windows) - 1} positions"


def _frozen_notes(load: Load) -> Iterator[str]:
    if load.precision not in FLOAT_PRECISIONS:
        yield f"{load.precision} experts need a library that quantises fused experts; bitsandbytes leaves them in bfloat16"


def _full_notes(load: Load) -> Iterator[str]:
    if load.precision not in FLOAT_PRECISIONS:
        yield f"{load.precision} weights cannot learn: counted in bfloat16"


def _router_notes(model: PretrainedMoE, load: Load) -> Iterator[str]:
    yield from _frozen_notes(load)
    if model.top_k == 1:
        yield "with one chosen expert and renormalised weights (Mixtral) the router gets no gradient from the text"


def size_ways(
    model: PretrainedMoE,
    *,
    batch: int = 1,
    seq_tokens: int = 2048,
    precision: str | None = None,
    gradient_precision: str | None = None,
    lora_rank: int = 16,
    single_expert_layers: int | None = None,
    checkpointing: bool = True,
) -> tuple[TrainingWay, ...]:
    """Every way to use or train the model, on one device.

    - inference: weights, the KV cache of `seq_tokens`, and the largest layer of a prefill over them.
    - full: every parameter learns.
    - lora: adapters on every `nn.Linear` of attention (q, k, v, o; DeepSeek's q_a, q_b, kv_a, kv_b, o).
    - lora with experts: adapters on all routed experts' gate-and-up and down, nothing else (PEFT's `target_parameters`).
    - single-expert lora: adapters on gate, up and down of one FFN expert in `single_expert_layers` layers.
    - qlora: lora over int4 weights as it is today, routed experts in bfloat16 (bitsandbytes sees only `nn.Linear`).
    - qlora with 4-bit experts: the same as one would hope.
    - router-only: the token routers learn and nothing else.

    batch: rows on one device. precision: of frozen weights, None for the config's; over int8 or int4 activations are bfloat16,
    and full training is counted in bfloat16. gradient_precision: of the model's own weights, None for the activations'.
    single_expert_layers: None for all MoE layers. checkpointing: keep each layer's input and compute the rest again (Chen et
    al. 2016).

    Training takes weights + gradients + AdamW's two float32 states + a float32 master copy of each 16-bit weight that learns
    (Rajbhandari et al. 2020, ZeRO, section 3.1). Adapters are float32 throughout, and need no copy.

    Activations are what transformers' layers keep for the backward pass, tensor by tensor, with its default backends
    (grouped_mm experts, fused attention; plain attention in gpt-oss): without checkpointing the sum over layers; with it all
    layers' inputs and the larger of the head and one layer (the scheme of Korthikanti et al. 2022, sections 4 and 5). The head
    keeps logits, their float32 log-softmax and its gradient. A frozen matrix keeps no input. Temporary tensors inside a layer,
    the allocator's gaps and, in batches with padding, keys and values repeated for every head come on top.
    """
    precision = precision or model.precision
    layers = model.num_moe_layers if single_expert_layers is None else single_expert_layers
    require_precision(precision)
    asked = {"batch": batch, "seq_tokens": seq_tokens, "lora_rank": lora_rank, "single_expert_layers": layers}
    for name, count in asked.items():
        require_count(name, count)
    if layers > model.num_moe_layers:
        raise ConfigError(
            f"single_expert_layers = {layers}: there are {model.num_moe_layers} MoE layers; ask for fewer"
        )
    load = Load(batch, seq_tokens, precision, "", lora_rank, layers, checkpointing)
    load = replace(load, gradient_precision=gradient_precision or load.computing)
    require_float("gradient_precision", load.gradient_precision)

    int4, own = replace(load, precision="int4"), replace(load, precision=load.computing)
    attention, experts = attention_adapters(model, load), expert_adapters(model, load)
    stack = max(experts.layer_bytes.values())
    peft = f"PEFT builds each layer's whole adapted expert stack: {in_gb(stack)} a layer, of all layers without checkpointing"
    frozen = tuple(_frozen_notes(load))
    left = sum(weight.num_params for weight in model.weights if is_expert_matrix(weight)) * 2
    today = f"bitsandbytes turns only nn.Linear into 4 bits: {in_gb(left)} of fused experts stay bfloat16"
    hoped = "hoped for: plain transformers with bitsandbytes gives the row 'qlora'; this needs 4-bit fused experts"
    return (
        _inference(model, load),
        _way(model, own, "full", *_full_notes(load), learns=lambda weight: True),
        _way(model, load, "lora", *frozen, adapters=attention),
        _way(model, load, "lora with experts", *frozen, peft, adapters=experts),
        _way(model, load, "single-expert lora", *frozen, adapters=single_expert_adapters(model, load)),
        _way(model, int4, "qlora", today, adapters=attention, quantised_experts=False),
        _way(model, int4, "qlora with 4-bit experts", hoped, adapters=attention),
        _way(model, load, "router-only", *_router_notes(model, load), learns=lambda weight: weight.part == "router"),
    )
