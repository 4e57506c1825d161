"""L-BFGS on one tensor whose slope is known: of small problems a general optimizer's bookkeeping takes most of the time."""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_HISTORY = 10
_FLAT, _STILL = 1e-6, 1e-9  # slopes, and changes, of which the largest is no larger end the descent
_ENOUGH, _STEEP = 1e-4, 0.9  # the constants of the Wolfe conditions
_TRIES = 25  # along one direction
_MARGIN = 0.1  # of a bracket, in which no step is tried


@dataclass(frozen=True, slots=True)
class _Place:
    """Where one is after a step of `length` along a direction. steepness: the slope in that direction."""

    length: float
    value: float
    slope: Tensor
    steepness: float


def minimum(at: Callable[[Tensor], tuple[Tensor, Tensor]], start: Tensor, steps: int) -> Tensor:
    """The point of least value that so many steps lead to from `start`, (num_numbers,), which stays as it is.

    at: (value, slope) at a point; the slope is a tensor of its own each time. L-BFGS over the last ten changes (Nocedal and
    Wright 2006, algorithm 7.4) with steps that meet the strong Wolfe conditions (algorithms 3.5 and 3.6). A point is looked at
    5 / 4 as often as there are steps, at most.
    """
    point, changes = start, deque[tuple[Tensor, Tensor, float]](maxlen=_HISTORY)
    left = steps * 5 // 4

    def looked_at(where: Tensor) -> tuple[float, Tensor]:
        nonlocal left
        left -= 1
        value, slope = at(where)
        return float(value), slope

    value, slope = looked_at(point)
    for step in range(steps):
        if left <= 0 or float(slope.abs().max()) <= _FLAT:
            break
        direction = _downhill(slope, changes)
        here = _Place(0.0, value, slope, float(slope @ direction))
        if not here.steepness < -_STILL:
            break

        def along(length: float, begin: Tensor = point, direction: Tensor = direction) -> _Place:
            value, slope = looked_at(torch.add(begin, direction, alpha=length))
            return _Place(length, value, slope, float(slope @ direction))

        first = 1.0 if step else min(1.0, 1.0 / float(slope.abs().sum()))
        found = _wolfe(along, here, first, lambda: left > 0)
        change = direction * found.length
        if float(change.abs().max()) <= _STILL:
            break
        bend = found.slope - slope
        if (curvature := float(bend @ change)) > 1e-10:
            changes.append((change, bend, curvature))
        point = point + change
        value, slope = found.value, found.slope
    return point


def _downhill(slope: Tensor, changes: "deque[tuple[Tensor, Tensor, float]]") -> Tensor:
    """Minus the slope times the inverse Hessian that the changes tell of."""
    found, shares = slope.neg(), []
    for change, bend, curvature in reversed(changes):
        share = float(change @ found) / curvature
        found.sub_(bend, alpha=share)
        shares.append(share)
    if changes:
        _, bend, curvature = changes[-1]
        found.mul_(curvature / float(bend @ bend))
    for (change, bend, curvature), share in zip(changes, reversed(shares), strict=True):
        found.add_(change, alpha=share - float(bend @ found) / curvature)
    return found


def _wolfe(along: Callable[[float], _Place], start: _Place, length: float, may_look: Callable[[], bool]) -> _Place:
    """A place along the direction that is lower by enough and much less steep, or the lowest that was looked at."""
    before = start
    for number in range(_TRIES):
        here = along(length)
        if _is_high(here, start) or (number and here.value >= before.value):
            return _between(along, start, before, here, may_look)
        if abs(here.steepness) <= -_STEEP * start.steepness or not may_look():
            return here
        if here.steepness >= 0:
            return _between(along, start, here, before, may_look)
        least, most = length + 0.01 * (length - before.length), 10 * length
        length = min(max(_of_cubic(before, here), least), most)
        before = here
    return before


def _between(
    along: Callable[[float], _Place], start: _Place, low: _Place, high: _Place, may_look: Callable[[], bool]
) -> _Place:
    """The same between a place that is low and one beyond which it is not better."""
    for _ in range(_TRIES):
        width = high.length - low.length
        if not may_look() or abs(width * start.steepness) <= _STILL:
            break
        margin = _MARGIN * abs(width)
        first, last = sorted((low.length, high.length))
        here = along(min(max(_of_cubic(low, high), first + margin), last - margin))
        if _is_high(here, start) or here.value >= low.value:
            high = here
            continue
        if abs(here.steepness) <= -_STEEP * start.steepness:
            return here
        if here.steepness * width >= 0:
            high = low
        low = here
    return low


def _is_high(here: _Place, start: _Place) -> bool:
    """Whether the way down was not worth its length; a value that is no number is high."""
    return not here.value <= start.value + _ENOUGH * here.length * start.steepness


def _of_cubic(one: _Place, other: _Place) -> float:
    """Where the cubic through two places, with their steepness, is least (equation 3.59); the middle where it is nowhere."""
    width = other.length - one.length
    first = one.steepness + other.steepness - 3 * (other.value - one.value) / width
    inside = first * first - one.steepness * other.steepness
    if not inside >= 0:
        return one.length + width / 2
    second = math.copysign(math.sqrt(inside), width)
    below = other.steepness - one.steepness + 2 * second
    if not below:
        return one.length + width / 2
    return other.length - width * (other.steepness + second - first) / below
