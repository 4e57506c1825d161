"""What must hold afterwards: how a block's answers may differ from those it gave before."""

import warnings
from collections.abc import Callable

import torch

from interconnected_ai.errors import IntegrityError
from interconnected_ai.surgery.anatomy.layer import Layer, Probe


def finite(layer: Layer, before: Probe, after: Probe) -> None:
    """Outputs are numbers."""
    if not bool(torch.isfinite(after.out).all()):
        raise IntegrityError(f"layer {layer.number} gives NaN or infinity after the operation; it was taken back")


def same_bits(layer: Layer, before: Probe, after: Probe) -> None:
    """Outputs are what they were, to the last bit.

    On a GPU up to rounding, with a warning: its kernels may cut their work otherwise for another number of experts.
    """
    if torch.equal(before.out, after.out):
        return
    if before.out.device.type == "cpu":
        raise IntegrityError(
            f"layer {layer.number}: outputs changed, and should not have; the operation was taken back"
        )
    same_up_to_rounding(layer, before, after)
    warnings.warn(
        f"layer {layer.number}: outputs changed by rounding; the kernels of this {before.out.device.type} device round "
        "otherwise for another number of experts",
        stacklevel=4,
    )


def same_up_to_rounding(layer: Layer, before: Probe, after: Probe) -> None:
    """Outputs are what they were but for the order of sums."""
    finite(layer, before, after)
    room = 64 * torch.finfo(before.out.dtype).eps * before.out.abs().amax()
    if not bool(((before.out - after.out).abs() <= room).all()):
        raise IntegrityError(
            f"layer {layer.number}: outputs changed by more than rounding; the operation was taken back"
        )


def close(layer: Layer, before: Probe, after: Probe) -> None:
    """Outputs are what they were up to the rounding of a merge."""
    finite(layer, before, after)
    room = 1024 * torch.finfo(before.out.dtype).eps * before.out.abs().amax()
    if not bool(((before.out - after.out).abs() <= room).all()):
        raise IntegrityError(f"layer {layer.number}: merging changed outputs by more than rounding; it was taken back")


def others_equal(experts: set[int]) -> Callable[[Layer, Probe, Probe], None]:
    """Tokens that none of these experts serves keep their outputs to the last bit."""

    def expect(layer: Layer, before: Probe, after: Probe) -> None:
        finite(layer, before, after)
        served = sum((before.indices == expert for expert in experts), torch.zeros_like(before.indices)).any(dim=1)
        if not torch.equal(before.out[~served], after.out[~served]):
            raise IntegrityError(f"layer {layer.number}: tokens of other experts changed; the operation was taken back")

    return expect


def near(layer: Layer, before: Probe, after: Probe) -> None:
    """Outputs are what they were up to four bits: an error of half of their size would be a mistake, not rounding."""
    finite(layer, before, after)
    if float((after.out - before.out).float().norm()) > 0.5 * float(before.out.float().norm()):
        raise IntegrityError(
            f"layer {layer.number}: four bits change outputs by more than half of their size; the operation was taken back"
        )


def takes(top_k: int) -> Callable[[Layer, Probe, Probe], None]:
    """Every token takes exactly this many different experts."""

    def expect(layer: Layer, before: Probe, after: Probe) -> None:
        finite(layer, before, after)
        if any(len(set(row)) != top_k for row in after.indices.tolist()):
            raise IntegrityError(
                f"layer {layer.number}: tokens do not take {top_k} experts; the operation was taken back"
            )

    return expect
