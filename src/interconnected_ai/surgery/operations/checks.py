"""What must hold before a layer's experts are changed: enough of them, in the groups that its router knows."""

from collections.abc import Sequence

from interconnected_ai.errors import ConfigError
from interconnected_ai.surgery.anatomy.layer import Layer


def check_top_k(layer: Layer, top_k: int) -> None:
    """Raise `ConfigError` unless a token can take that many experts in this layer."""
    if isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1:
        raise ConfigError(f"top_k = {top_k!r}: needs a whole number of at least 1")
    fixed = layer.family.routing.fixed_top_k
    if fixed is not None and top_k != fixed:
        raise ConfigError(f"top_k = {top_k}: the router of {layer.family.name} always takes {fixed}")
    in_reach = layer.num_experts - len(layer.closed)
    if top_k > in_reach:
        raise ConfigError(
            f"top_k = {top_k}: layer {layer.number} has {in_reach} experts in reach; take that many or fewer"
        )
    num_groups, chosen = layer.groups
    allowed = in_reach // num_groups * chosen
    if top_k > allowed:
        raise ConfigError(
            f"top_k = {top_k}: in layer {layer.number} a token may use {chosen} of {num_groups} groups with {allowed} experts "
            "together; transformers would take masked experts without a word. Take fewer"
        )


def check_remaining(layer: Layer, order: Sequence[int]) -> None:
    """Raise `ConfigError` unless the layer still works with these experts alone."""
    if not order:
        raise ConfigError(f"layer {layer.number} would have no expert left; keep at least top-k = {layer.top_k}")
    in_reach = [each for each in order if each not in layer.closed]
    if len(in_reach) < layer.state.reach.most(layer.top_k):
        if len(in_reach) >= layer.top_k:
            raise ConfigError(
                f"layer {layer.number} would have {len(in_reach)} experts in reach, and a token may take up to "
                f"{layer.state.reach.most(layer.top_k)} (top-p, or the number after its best expert); change that first "
                "(set_top_p, set_top_k_after)"
            )
        raise ConfigError(
            f"layer {layer.number} would have {len(in_reach)} experts in reach, and a token takes {layer.top_k}; lower "
            f"top-k first (set_top_k({max(len(in_reach), 1)}, layers=[{layer.number}]))"
        )
    num_groups, chosen = layer.groups
    size = layer.num_experts // num_groups
    left = [sum(each // size == group for each in order) for group in range(num_groups)]
    if len(set(left)) > 1 or (num_groups > 1 and left[0] < 2):
        raise ConfigError(
            f"layer {layer.number} chooses among {num_groups} groups of {size}, which would keep {left}; remove as many from "
            "each group, and leave two or more"
        )
    if layer.top_k > left[0] * chosen and num_groups > 1:
        raise ConfigError(
            f"layer {layer.number}: {chosen} groups of {left[0]} cannot give a token {layer.top_k}; lower top-k first"
        )


def check_order(layer: Layer, order: Sequence[int]) -> None:
    """Raise `ConfigError` unless this is every expert once, each within its group."""
    if sorted(order) != list(range(layer.num_experts)):
        raise ConfigError(f"order {list(order)}: needs every number from 0 to {layer.num_experts - 1} once")
    num_groups, _ = layer.groups
    size = layer.num_experts // num_groups
    homes = [{each // size for each in order[g * size : (g + 1) * size]} for g in range(num_groups)]
    if any(len(home) > 1 for home in homes):
        raise ConfigError(
            f"order {list(order)} moves experts between the {num_groups} groups that the router chooses first; keep them"
        )
