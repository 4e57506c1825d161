"""What a pretrained model's layers keep for the backward pass."""

from collections.abc import Iterator

from interconnected_ai.planner.pretrained.adapters import Adapters
from interconnected_ai.planner.pretrained.load import Load
from interconnected_ai.planner.pretrained.model import PretrainedMoE


def kept_in_layer(model: PretrainedMoE, load: Load, number: int, *, full: bool, router: bool) -> tuple[float, float]:
    """Bytes a token leaves in this layer for the backward pass: in its attention, and in what follows."""
    blueprint, each, d = model.blueprint, load.each, model.d_model
    norm = blueprint.norm_kept_bytes(each, full=full)
    attention = norm + each * d * full + blueprint.attentions[number].kept_bytes(load.seq_tokens, each, full=full)
    if number in blueprint.moe_layers:
        return attention, norm + blueprint.experts.kept_bytes(d, each, full=full, router=router)
    return attention, norm + each * (d * full + blueprint.d_ff_dense * (3 + full))


def _kept_by_layers(
    model: PretrainedMoE, load: Load, adapters: Adapters, *, full: bool, router: bool
) -> Iterator[float]:
    """Bytes each layer keeps for the backward pass, which ends at the first weight that learns."""
    in_attention = full or not (router or adapters.after_attention)
    first = 0 if full else min(adapters.token_bytes, default=min(model.blueprint.moe_layers))
    for number in range(model.n_layers):
        attention, rest = kept_in_layer(model, load, number, full=full, router=router)
        reached = (attention if number > first or in_attention else 0.0) + rest
        own = load.tokens * adapters.token_bytes.get(number, 0.0) + adapters.layer_bytes.get(number, 0)
        yield load.tokens * reached + own if number >= first else 0.0


def activation_bytes_of(
    model: PretrainedMoE, load: Load, adapters: Adapters, *, full: bool = False, router: bool = False
) -> int:
    """The peak of activations in a training step; `size_ways` says how it is counted."""
    tokens, each, d = load.tokens, load.each, model.d_model
    layers = list(_kept_by_layers(model, load, adapters, full=full, router=router))
    # logits, their log-softmax and its gradient (both float32)
    head = model.blueprint.norm_kept_bytes(each, full=full) + each * d * full + model.vocab_size * (each + 8)
    if not load.checkpointing:
        return round(sum(layers) + tokens * head)
    inputs = tokens * model.n_layers * each * d
    return round(inputs + max(tokens * head, tokens * each * model.vocab_size + max(layers)))
