"""L-BFGS of our own: down to the minimum of curved valleys, and no further than it may look."""

import pytest
import torch
from torch import Tensor

from interconnected_ai.nn.descent import minimum


def rosenbrock(point: Tensor) -> Tensor:
    x, y = point.view(2, -1)
    return (100 * (y - x * x).square() + (1 - x).square()).sum()


def behind_a_wall(point: Tensor) -> Tensor:
    """Beyond 3 it is no number, and the first long step leads there."""
    return (point - 2.5).square().sum() * 50 - (3 - point).log().sum()


def flat(point: Tensor) -> Tensor:
    return point.sum() * 0 + 1


@pytest.mark.parametrize(
    ("function", "start", "least"),
    [
        (rosenbrock, [-1.2, 0.5, 1.0, 2.0], [1.0] * 4),
        (behind_a_wall, [-40.0, 1.0], [2.480741] * 2),
        (flat, [3.0, 4.0], [3.0, 4.0]),
    ],
)
def test_it_comes_to_the_minimum_and_leaves_where_it_began_as_it_was(
    function: object, start: list[float], least: list[float]
) -> None:
    begun = torch.tensor(start, dtype=torch.float64)

    def at(point: Tensor) -> tuple[Tensor, Tensor]:
        known = point.clone().requires_grad_()
        value = function(known)  # type: ignore[operator]
        (slope,) = torch.autograd.grad(value, known)
        return value.detach(), slope

    found = minimum(at, begun, 200)
    torch.testing.assert_close(found, torch.tensor(least, dtype=torch.float64), atol=1e-4, rtol=1e-4)
    assert begun.tolist() == start


@pytest.mark.parametrize("steps", [1, 4, 30])
def test_it_looks_five_times_for_four_steps_at_most_and_never_ends_higher_than_it_began(steps: int) -> None:
    looks: list[float] = []

    def at(point: Tensor) -> tuple[Tensor, Tensor]:
        known = point.clone().requires_grad_()
        value = rosenbrock(known)
        (slope,) = torch.autograd.grad(value, known)
        looks.append(value.item())
        return value.detach(), slope

    begun = torch.tensor([-1.2, 1.0], dtype=torch.float64)
    found = minimum(at, begun, steps)
    assert len(looks) <= max(2, steps * 5 // 4)
    assert rosenbrock(found).item() <= looks[0]
