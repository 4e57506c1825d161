"""One way of building a system, with everything it takes."""

from dataclasses import dataclass

from interconnected_ai.planner.duration import Range
from interconnected_ai.planner.memory import InferenceMemory, TrainingMemory


@dataclass(frozen=True)
class Way:
    """One way of building it, with everything it takes.

    params: of each part. flops: of one optimiser step and per token; a training step leaves out an encoder whose outputs
    are cached, a forward one does not. cached: whether the frozen encoder runs once for
    each text and not in every epoch. run_seconds: the whole training with its cache; latency_seconds: one request.
    remedy: the nearest change that makes it fit, None where it fits.
    """

    name: str
    params: dict[str, int]
    num_trainable_params: int
    num_active_params: int
    num_shared_params: int
    num_params_per_branch: int
    forward_flops_per_token: int
    training_flops_per_token: int
    step_forward_flops: int
    step_training_flops: int
    step_backward_flops: int
    cached: bool
    weights_bytes: dict[str, int]
    training: TrainingMemory
    checkpointed: TrainingMemory
    inference: InferenceMemory
    feature_cache_bytes: int
    num_steps: int
    step_seconds: Range
    run_seconds: Range
    latency_seconds: Range
    step_bound_by: str
    latency_bound_by: str
    usd: Range | None
    fits_training: bool
    fits_inference: bool
    remedy: str | None

    @property
    def num_params(self) -> int:
        """All of them."""
        return self.params["total"]
