"""One branch: a LoRA adapter on the pooled vector and a linear head, and the card that says what is known of it."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from interconnected_ai.config import BranchSpec, Record, SystemConfig
from interconnected_ai.nn import Dropout, LoRA


class Branch(nn.Module):
    """logits = W · (x + Δ(x)) + b, with Δ the branch's own LoRA. (768-wide, rank 8, 100 classes: 12,288 + 76,900.)"""

    def __init__(
        self, spec: BranchSpec, config: SystemConfig, d_model: int, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.adapter = LoRA(d_model, d_model, config.lora_rank, alpha=config.lora_alpha, generator=generator)
        self.dropout = Dropout(config.dropout)
        self.head = nn.Linear(d_model, spec.num_classes)
        nn.init.normal_(self.head.weight, std=0.02, generator=generator)
        nn.init.zeros_(self.head.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        """(batch, d_model) → (batch, num_classes)."""
        logits: Tensor = self.head(self.dropout(pooled + self.adapter(pooled)))
        return logits


class BranchCard(Record):
    """What is known of a branch beside its weights.

    temperature: logits are divided by it before the softmax, fitted on validation rows (Guo et al. 2017).
    threshold: below this confidence the answer is "unknown".
    fingerprint: SHA-256 of the branch's logits on the stored probe texts, set when its training ends.
    trained: "joint" with the trunk, "added" to a finished trunk, or None before training.
    """

    spec: BranchSpec
    temperature: Annotated[float, Field(gt=0.0)] = 1.0
    threshold: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    fingerprint: str | None = None
    trained: Literal["joint", "added"] | None = None
    num_rows: int = 0
    metrics: dict[str, float] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        """The branch's name."""
        return self.spec.name
