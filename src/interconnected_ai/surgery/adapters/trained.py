"""What trains and what does not: routers alone by structure, and the proof afterwards that nothing else moved."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn

from interconnected_ai.errors import ConfigError, TrainingError
from interconnected_ai.surgery.anatomy.layer import Layer
from interconnected_ai.surgery.operations.history import as_bytes

_CORRECTIONS = ("e_score_correction_bias", "expert_bias")


@dataclass(frozen=True)
class Moved:
    """What a training changed. trained: parameters said to train; frozen: how many tensors were not, buffers included."""

    trained: tuple[str, ...]
    num_frozen: int


def train_routers(model: nn.Module, layers: list[Layer]) -> list[nn.Parameter]:
    """Freeze all but these layers' routers, found by structure; `ConfigError` where no gradient would reach them."""
    for layer in layers:
        if layer.top_k == 1 and layer.family.routing.constant_at_one(layer.router):
            raise ConfigError(
                f"layer {layer.number}: with top-k = 1 and weights scaled to sum to 1 the weight is 1 whatever the "
                f"router says, so "
                "the language model's loss gives it no gradient; take top-k ≥ 2 (set_top_k(2)), turn norm_topk_prob "
                "off where the "
                "config has it, or train it by the balance loss alone"
            )
    model.requires_grad_(False)
    # what only the choice sees gets no gradient
    unseen = {id(rows.tensor) for layer in layers for name, rows in layer.place.rows.items() if name in _CORRECTIONS}
    rows = [each for layer in layers for each in layer.router.parameters() if id(each) not in unseen]
    for parameter in rows:
        parameter.requires_grad_(True)
    return rows


@contextmanager
def verified(model: nn.Module) -> Iterator[None]:
    """Around a training: afterwards what requires a gradient has moved, and all else is the same to the last bit.

    Raises `TrainingError` naming what moved and should not have, or did not and should have.
    """
    wanted = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not wanted:
        raise ConfigError(
            "nothing in the model requires a gradient; say what to train first (train_only, lora, train_experts)"
        )
    before = digests(model)
    yield
    compare(before, digests(model), wanted)


def digests(model: nn.Module) -> dict[str, str]:
    """A digest of every parameter and buffer that is saved."""
    return {
        name: hashlib.blake2b(as_bytes(tensor), digest_size=16).hexdigest()
        for name, tensor in model.state_dict().items()
    }


def compare(before: dict[str, str], after: dict[str, str], wanted: set[str]) -> Moved:
    """Check that exactly the wanted tensors differ."""
    if set(before) != set(after):
        gone = sorted(set(before) ^ set(after))
        raise TrainingError(f"tensors came or went during training: {', '.join(gone[:5])}; operate before or after it")
    moved = {name for name in before if before[name] != after[name]}
    strayed, still = sorted(moved - wanted), sorted(wanted - moved)
    if strayed:
        raise TrainingError(
            f"{len(strayed)} frozen tensors moved: {', '.join(strayed[:5])}; an optimiser was given more than it should train"
        )
    if still:
        raise TrainingError(
            f"{len(still)} tensors were to train and are what they were: {', '.join(still[:5])}; no token reached them, or the "
            "optimiser does not hold them"
        )
    return Moved(tuple(sorted(wanted)), len(before) - len(wanted))
