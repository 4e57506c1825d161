"""What is known of a trained branch beside its weights, as a saved system keeps it."""

from typing import Annotated, Literal

from pydantic import Field

from interconnected_ai.config.record import Record
from interconnected_ai.config.system import BranchSpec


class BranchCard(Record):
    """What is known of a branch beside its weights.

    temperature: logits are divided by it before the softmax, fitted on validation rows (Guo et al. 2017).
    threshold: where confidence × familiarity is below it, the answer is "unknown".
    fingerprint: SHA-256 of the branch's logits on the stored probe texts, set when its training ends.
    calibration_rows, outside_rows: the branch's own validation rows that temperature and threshold were fitted on, and the
        texts of others that stood for foreign ones; None where it isn't known, as in folders written before it was kept.
    trained: "joint" with the trunk, "added" to a finished trunk, or None before training.
    """

    spec: BranchSpec
    temperature: Annotated[float, Field(gt=0.0)] = 1.0
    threshold: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    calibration_rows: Annotated[int, Field(ge=0)] | None = None
    outside_rows: Annotated[int, Field(ge=0)] | None = None
    fingerprint: str | None = None
    trained: Literal["joint", "added"] | None = None
    num_rows: int = 0
    metrics: dict[str, float] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        """The branch's name."""
        return self.spec.name
