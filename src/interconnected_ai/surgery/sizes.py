"""How large an edited model is, in memory or as it would be written: what an edit changes is the difference of two of these."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Numbers of a mixture of experts. num_params, size_bytes: of all that is kept, tied tensors once.

    num_experts, top_k: layer → how many FFN experts it has, and how many a token takes. adapter_params: of its adapters.
    """

    num_params: int
    size_bytes: int
    num_experts: dict[int, int]
    top_k: dict[int, int]
    adapter_params: int = 0
