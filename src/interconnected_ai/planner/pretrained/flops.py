"""FLOPs of a pretrained model reading tokens: products with its weights, and what mixes positions.

The convention of `torch.utils.flop_counter`: a multiplication and an addition are two, norms and activations none.
"""

from collections.abc import Iterable

from interconnected_ai.planner.pretrained.blueprint import Blueprint
from interconnected_ai.planner.pretrained.weights import Weight, is_expert_matrix

_CONVOLUTION = 3  # axes of its kernel: (channels, 1, positions)
_MATRIX = 2


def weight_flops(weights: Iterable[Weight], blueprint: Blueprint) -> tuple[int, int]:
    """Of one token in all layers, the experts it does not choose left out; and of the head for one position."""
    layers = head = 0
    for weight in weights:
        if is_expert_matrix(weight):
            layers += 2 * weight.num_params * blueprint.experts.top_k // blueprint.experts.num_experts
        elif weight.part == "head":
            head += 2 * weight.num_params * (len(weight.shape) == _MATRIX)
        elif _is_multiplied(weight):
            layers += 2 * weight.num_params
    return (
        layers,
        head or 2 * blueprint.vocab_size * blueprint.d_model,
    )  # a head that is the embedding stands in no list


def _is_multiplied(weight: Weight) -> bool:
    """Whether every token's numbers are multiplied with it as with a matrix, or as in a convolution."""
    shape = len(weight.shape)
    if weight.part == "router":
        return shape == _MATRIX and weight.name.endswith(".weight")
    return (shape == _MATRIX and weight.linear) or (shape == _CONVOLUTION and weight.part == "attention")


def mixing_flops(blueprint: Blueprint, num_tokens: int, cached_tokens: int) -> int:
    """Of what mixes positions, in all layers, for so many tokens of one sequence behind those in its cache."""
    return sum(attention.mixing_flops(num_tokens, cached_tokens) for attention in blueprint.attentions)
