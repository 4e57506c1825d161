"""Matrix products: what FLOPs, gradients and time are counted in. Everything a model multiplies is a list of these."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Product:
    """`count` products of a (rows, d_in) by a (d_in, d_out) matrix: 2 · rows · d_in · d_out FLOPs each.

    The convention of `torch.utils.flop_counter`: a multiplication and an addition are two; nothing else is counted.

    part: what it belongs to, such as "encoder" or "moe". weight: "trained" and "frozen" when the right matrix is a
    parameter, "none" when both are activations (attention). input_grad: whether training needs the gradient of the left
    matrix (for "none": of both), since something before it learns. num_matrices: over how many right matrices the rows
    are spread (FFN experts).
    """

    part: str
    rows: int
    d_in: int
    d_out: int
    count: int = 1
    weight: Literal["trained", "frozen", "none"] = "frozen"
    input_grad: bool = False
    num_matrices: int = 1

    @property
    def forward_flops(self) -> int:
        """FLOPs of one forward pass."""
        return 2 * self.rows * self.d_in * self.d_out * self.count

    @property
    def backward_flops(self) -> int:
        """FLOPs of one backward pass: a product for each gradient that somebody needs."""
        if self.weight == "none":
            return 2 * self.forward_flops if self.input_grad else 0
        return self.forward_flops * ((self.weight == "trained") + self.input_grad)

    @property
    def weight_numbers(self) -> int:
        """How many parameters a forward pass reads (0 when both matrices are activations)."""
        return 0 if self.weight == "none" else self.d_in * self.d_out * self.count * self.num_matrices


def forward_flops(products: Iterable[Product]) -> int:
    """FLOPs of one forward pass through all of them."""
    return sum(product.forward_flops for product in products)


def backward_flops(products: Iterable[Product]) -> int:
    """FLOPs of one backward pass through all of them."""
    return sum(product.backward_flops for product in products)
