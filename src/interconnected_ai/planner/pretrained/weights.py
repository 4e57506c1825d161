"""Parameter tensors by name and shape, as transformers v5 holds them, and their bytes in a precision."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Literal, NamedTuple

from interconnected_ai.planner.precision import FLOAT_PRECISIONS, weight_bytes

Part = Literal["embedding", "attention", "router", "expert", "shared expert", "dense", "norm", "head"]


@dataclass(frozen=True)
class Weight:
    """One parameter tensor, named and shaped as transformers v5 holds it.

    layer: None outside the stack of layers. linear: an `nn.Linear` holds it, so adapters and bitsandbytes find it; the fused
    experts and most routers are plain parameters. Experts of a layer share one tensor whose first axis counts them.
    """

    name: str
    part: Part
    shape: tuple[int, ...]
    layer: int | None = None
    linear: bool = False

    @property
    def num_params(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


class Piece(NamedTuple):
    """A weight before it is given its layer's name."""

    name: str
    shape: tuple[int, ...]
    linear: bool = False


def linear(name: str, d_in: int, d_out: int, *, bias: bool = False) -> list[Piece]:
    """The pieces of an `nn.Linear`."""
    weight = Piece(f"{name}.weight", (d_out, d_in), linear=True)
    return [weight, Piece(f"{name}.bias", (d_out,))] if bias else [weight]


def feed_forward(
    name: str, d_model: int, d_ff: int, *, bias: bool = False, gated: bool = True, fused: bool = False
) -> list[Piece]:
    """The pieces of an FFN, gated (SwiGLU, Shazeer 2020) or plain. fused: gate and up are one matrix."""
    if fused:
        both = linear(f"{name}.gate_up_proj", d_model, 2 * d_ff, bias=bias)
        return [*both, *linear(f"{name}.down_proj", d_ff, d_model, bias=bias)]
    return [
        *(linear(f"{name}.gate_proj", d_model, d_ff, bias=bias) if gated else []),
        *linear(f"{name}.up_proj", d_model, d_ff, bias=bias),
        *linear(f"{name}.down_proj", d_ff, d_model, bias=bias),
    ]


def held_bytes(weights: Iterable[Weight], precision: str, quantised_experts: bool = True) -> int:
    """Bytes of these weights in a precision; int8 and int4 hold only matrices, see `PretrainedMoE.weights_bytes`."""
    packed, plain = 0, 0
    for weight in weights:
        if (weight.linear and weight.part != "head") or (quantised_experts and is_expert_matrix(weight)):
            packed += weight.num_params
        else:
            plain += weight.num_params
    rest = precision if precision in FLOAT_PRECISIONS else "bfloat16"
    return weight_bytes(packed, precision, scales=True) + weight_bytes(plain, rest)


def is_expert_matrix(weight: Weight) -> bool:
    """Whether it is a stack of matrices of routed experts, not of their biases."""
    return weight.part == "expert" and len(weight.shape) == 3
