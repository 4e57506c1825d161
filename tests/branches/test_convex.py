"""Head and words as one regression: the two ways to solve it agree, and how long words are follows from the rows."""

import copy

import pytest
import torch
from torch.nn import functional as F

from conftest import make_rows, make_system
from interconnected_ai.branches import Branch, TextFeatures
from interconnected_ai.branches import convex as solver
from interconnected_ai.branches.convex import SCALES, choose_scale, regress
from interconnected_ai.branches.growth import class_weights
from interconnected_ai.config import BranchSpec, SystemConfig
from interconnected_ai.errors import NonFiniteLossError

ROWS = make_rows("a", 60)


def learner() -> tuple[Branch, TextFeatures, torch.Tensor]:
    system = make_system("a")
    branch = system.branch("a")
    branch.take_words(ROWS.texts)
    targets = torch.from_numpy(ROWS.targets([branch.card.spec])["a"])
    return branch, system.features_of(ROWS.texts), targets


def loss(branch: Branch, features: TextFeatures, targets: torch.Tensor, ridge: float) -> float:
    assert branch.wide is not None
    size = branch.head.weight.square().sum() + branch.wide.weight.square().sum()
    return (F.cross_entropy(branch.evaluate(features), targets) + ridge / (2 * len(targets)) * size).item()


def test_by_rows_and_by_weights_find_the_same_minimum(monkeypatch: pytest.MonkeyPatch) -> None:
    by_rows, features, targets = learner()
    by_weights = copy.deepcopy(by_rows)
    pooled, bags = by_rows.read(features)
    regress(by_rows, pooled, bags, targets, ridge=3.0)
    monkeypatch.setattr(solver, "_FEW_ROWS", 10)
    regress(by_weights, pooled, bags, targets, ridge=3.0)
    assert loss(by_rows, features, targets, 3.0) == pytest.approx(loss(by_weights, features, targets, 3.0), abs=1e-4)
    torch.testing.assert_close(by_rows.evaluate(features), by_weights.evaluate(features), atol=3e-2, rtol=0)


def test_nothing_beside_the_minimum_is_lower() -> None:
    branch, features, targets = learner()
    regress(branch, *branch.read(features), targets, ridge=3.0)
    found = loss(branch, features, targets, 3.0)
    for seed in range(8):
        moved = copy.deepcopy(branch)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in moved.parameters():
                parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
        assert loss(moved, features, targets, 3.0) > found


def test_the_scale_follows_from_the_rows_alone() -> None:
    branch, features, targets = learner()
    pooled, bags = branch.read(features)
    assert bags is not None
    found = [choose_scale(branch, pooled, bags, targets, ROWS.texts, ridge=3.0) for _ in range(2)]
    assert found[0] == found[1]
    assert found[0] in SCALES


def test_words_that_alone_tell_the_classes_apart_are_made_long() -> None:
    branch, features, targets = learner()
    pooled, bags = branch.read(features)
    assert bags is not None
    noise = 20 * torch.randn(pooled.shape, generator=torch.Generator().manual_seed(0))
    assert choose_scale(branch, noise, bags, targets, ROWS.texts, ridge=3.0) == max(SCALES)


def test_too_few_rows_leave_words_as_long_as_meaning() -> None:
    branch, features, targets = learner()
    pooled, bags = branch.read(features)
    assert bags is not None
    few = torch.arange(8)
    assert choose_scale(branch, pooled[few], bags.take(few), targets[few], ROWS.texts[:8], ridge=3.0) == 1.0


def test_vectors_that_are_no_numbers_are_named() -> None:
    branch, features, targets = learner()
    pooled, bags = branch.read(features)
    with pytest.raises(NonFiniteLossError, match="branch 'a'"):
        regress(branch, pooled * float("nan"), bags, targets, ridge=3.0)


UNEVEN = [max(4, 80 // number) for number in range(1, 51)]


def drawn(counts: list[int], seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows around their classes' middles, (num_rows, 48) of length √48, and their classes: so many of each."""
    middles = torch.randn(len(counts), 48, generator=torch.Generator().manual_seed(0))
    targets = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    rows = middles[targets] + 1.5 * torch.randn(len(targets), 48, generator=torch.Generator().manual_seed(seed))
    return F.normalize(rows, dim=-1) * 48**0.5, targets


@pytest.mark.parametrize(("counts", "is_smoothed"), [(UNEVEN, True), ([10] * 40, False)])
def test_targets_are_smoothed_where_few_rows_are_dealt_out_unevenly(counts: list[int], is_smoothed: bool) -> None:
    rows, targets = drawn(counts, 1)
    plain = solver.Problem(4.8, class_weights(targets, len(counts)))
    folds = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0)) % 5
    found = solver._smoothed_where_it_helps(rows @ rows.T, targets, folds, plain, len(counts))
    assert (found.smoothing > 0) == is_smoothed
    assert (found.temperature < 1) == is_smoothed


def test_smoothed_targets_answer_other_rows_better_and_are_no_less_sure() -> None:
    (rows, targets), (others, answers) = drawn(UNEVEN, 1), drawn(UNEVEN, 2)
    spec = BranchSpec(name="x", num_classes=len(UNEVEN))
    found = {}
    for texts in (None, [str(row) for row in range(len(rows))]):
        branch = Branch(spec, SystemConfig(branches=[spec]), 48).eval()
        regress(branch, rows, None, targets, texts, ridge=4.8, class_weights=class_weights(targets, len(UNEVEN)))
        with torch.no_grad():
            logits = branch(others)
        found[texts is not None] = logits.argmax(-1).eq(answers).sum().item(), F.cross_entropy(logits, answers).item()
    assert found[True][0] > found[False][0]
    assert found[True][1] < found[False][1]
