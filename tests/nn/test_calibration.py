"""Temperature and threshold: found again where they are known, and promises kept on a branch's own rows."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from interconnected_ai.nn import HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE, fit_temperature, fit_threshold
from properties import examples

confidences = st.lists(st.floats(0, 1, width=32) | st.sampled_from([0.25, 0.5, 0.75]), min_size=1, max_size=60)
few = examples(80)


@pytest.mark.parametrize("temperature", [0.2, 0.7, 1.0, 2.5, 8.0])
@pytest.mark.parametrize("num_classes", [2, 12])
def test_a_known_temperature_is_recovered_within_five_percent(temperature: float, num_classes: int) -> None:
    random = torch.Generator().manual_seed(0)
    honest = torch.randn(20_000, num_classes, generator=random) * 2
    labels = torch.multinomial(honest.softmax(dim=-1), 1, generator=random).squeeze(1)
    assert fit_temperature(honest * temperature, labels) == pytest.approx(temperature, rel=0.05)


def test_the_temperature_is_where_likelihood_and_prior_are_largest() -> None:
    random = torch.Generator().manual_seed(1)
    logits = torch.randn(300, 5, generator=random) * 3
    labels = torch.where(torch.rand(300, generator=random) < 0.8, logits.argmax(dim=-1), torch.zeros(300).long())
    best = fit_temperature(logits, labels)

    def loss(temperature: float) -> float:
        fit = F.cross_entropy(logits.double() / temperature, labels, reduction="sum").item()
        return fit + 7.5 * math.log(temperature) ** 2

    assert all(loss(best) <= loss(best * factor) + 1e-9 for factor in (0.5, 0.9, 0.99, 1.01, 1.1, 2.0))


def test_the_temperature_stays_within_its_bounds() -> None:
    logits = torch.tensor([[9.0, 0.0], [0.0, 9.0]]).repeat(5000, 1)
    always_right, always_wrong = torch.tensor([0, 1]).repeat(5000), torch.tensor([1, 0]).repeat(5000)
    assert fit_temperature(0.01 * logits, always_right) == pytest.approx(LOWEST_TEMPERATURE, rel=1e-3)
    assert fit_temperature(logits, always_wrong) == pytest.approx(HIGHEST_TEMPERATURE, rel=1e-3)


@pytest.mark.parametrize("size", [0.01, 0.3, 3.0, 30.0])
def test_two_rows_hardly_move_the_temperature(size: float) -> None:
    logits = size * torch.tensor([[1.0, 0.0, 0.5], [0.2, 1.0, 0.0]])
    assert 0.8 < fit_temperature(logits, torch.tensor([0, 1])) <= 1.0
    assert 1.0 <= fit_temperature(logits, torch.tensor([2, 2])) < 1.0 + size


def test_without_rows_the_temperature_is_one() -> None:
    assert fit_temperature(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)) == pytest.approx(1.0, abs=1e-3)


def synthetic_branch(seed: int) -> tuple[Tensor, Tensor]:
    """Vectors and their classes, some of which cannot be read off them."""
    random = torch.Generator().manual_seed(seed)
    num_classes = 2 + seed % 4
    centers = torch.randn(num_classes, 64, generator=random)
    targets = torch.randint(num_classes, (300,), generator=random)
    noise = (0.5, 2.0, 4.0)[seed % 3]
    return centers[targets] + noise * torch.randn(300, 64, generator=random), targets


def digits_branch(seed: int) -> tuple[Tensor, Tensor]:
    """Some classes of the handwritten digits that scikit-learn ships; every other seed has a fifth of the labels wrong."""
    random = torch.Generator().manual_seed(seed)
    images, labels = pytest.importorskip("sklearn.datasets").load_digits(return_X_y=True)
    chosen = torch.randperm(10, generator=random)[: 2 + seed % 4]
    place = torch.full((10,), -1).index_put((chosen,), torch.arange(len(chosen)))
    targets = place[torch.from_numpy(labels)]
    rows = (targets >= 0).nonzero()[:, 0]
    rows = rows[torch.randperm(len(rows), generator=random)[:300]]
    wrong = (torch.rand(len(rows), generator=random) < 0.2) & (seed % 2 == 1)
    guesses = torch.randint(len(chosen), (len(rows),), generator=random)
    return torch.from_numpy(images).float()[rows] / 8 - 1, torch.where(wrong, guesses, targets[rows])


def losses_on_new_rows(vectors: Tensor, targets: Tensor, *, validation: int) -> tuple[float, float]:
    """Log-loss of a branch of 20 rows on new ones: unfitted, and at the temperature that some of the 20 gave."""
    num_classes = int(targets.max()) + 1
    train, held, new = slice(0, 20 - validation), slice(20 - validation, 20), slice(20, None)
    head = torch.nn.Linear(vectors.shape[1], num_classes)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    optimizer = torch.optim.AdamW(head.parameters(), lr=3e-2)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(head(vectors[train]), targets[train]).backward()
        optimizer.step()
    with torch.no_grad():
        logits = head(vectors)
    temperature = fit_temperature(logits[held], targets[held])
    unfitted, fitted = (F.cross_entropy(logits[new] / t, targets[new]).item() for t in (1.0, temperature))
    return unfitted, fitted


@pytest.mark.parametrize("validation", [2, 4])
@pytest.mark.parametrize("branch", [synthetic_branch, digits_branch])
def test_a_branch_of_twenty_rows_is_not_made_worse(
    branch: Callable[[int], tuple[Tensor, Tensor]], validation: int
) -> None:
    found = torch.tensor([losses_on_new_rows(*branch(seed), validation=validation) for seed in range(24)])
    unfitted, fitted = found.T
    assert fitted.mean() < 0.95 * unfitted.mean()
    assert (fitted / unfitted).quantile(0.85) <= 1.02
    assert (fitted - unfitted).max() <= 0.05  # nats; a twentieth of what two classes' guessing costs


@pytest.mark.parametrize("num_rows", [300, 3000])
def test_many_rows_decide_alone(num_rows: int) -> None:
    random = torch.Generator().manual_seed(num_rows)
    honest = torch.randn(num_rows, 20, generator=random) * 2
    labels = torch.multinomial(honest.softmax(dim=-1), 1, generator=random).squeeze(1)
    for factor in (0.25, 0.5, 3.0):
        logits = honest * factor
        likeliest = min(
            (0.02 * step for step in range(3, 300)), key=lambda t: F.cross_entropy(logits / t, labels).item()
        )
        assert fit_temperature(logits, labels) == pytest.approx(likeliest, rel=0.04 + 20 / num_rows)


def test_half_precision_logits_are_calibrated_like_others() -> None:
    random = torch.Generator().manual_seed(2)
    logits, labels = torch.randn(500, 4, generator=random) * 4, torch.randint(4, (500,), generator=random)
    exact = fit_temperature(logits, labels)
    assert fit_temperature(logits.bfloat16(), labels) == pytest.approx(exact, rel=0.05)


@few
@given(confidences, confidences | st.none(), st.sampled_from([0.5, 0.9, 0.95, 1.0]))
def test_the_threshold_still_answers_the_promised_share_of_its_own_rows(
    inside: list[float], outside: list[float] | None, keep: float
) -> None:
    own = torch.tensor(inside)
    threshold = fit_threshold(own, None if outside is None else torch.tensor(outside), keep=keep)
    answered = sum(value >= threshold for value in own.tolist())
    assert answered >= math.ceil(round(keep * len(inside), 9))
    assert 0.0 <= threshold <= 1.0


@pytest.mark.parametrize("rows", [19, 30, 400])
def test_without_foreign_text_the_threshold_gives_up_no_more_rows_than_allowed(rows: int) -> None:
    own = torch.linspace(0.3, 0.99, rows)
    share = (own >= fit_threshold(own)).double().mean().item()
    assert 0.95 <= share <= 0.95 + 2 / rows + 1e-9


@pytest.mark.parametrize(("rows", "share"), [(1, 0.1), (2, 0.15), (5, 0.3), (10, 0.55), (19, 1.0), (60, 1.0)])
@pytest.mark.parametrize("score", [0.999, 0.2])
def test_few_rows_make_the_threshold_low(rows: int, share: float, score: float) -> None:
    own = torch.full((rows,), score)
    assert fit_threshold(own) == pytest.approx(share * score, abs=1e-6)
    assert fit_threshold(own, torch.full((200,), 0.9 * score)) <= share * score + 1e-6


@pytest.mark.parametrize("rows", [1, 2, 5, 12, 19, 40])
@pytest.mark.parametrize("power", [0.2, 1.0])  # most scores near 1; scores spread evenly
def test_new_text_of_the_branch_is_answered_as_promised_however_few_rows_were_seen(rows: int, power: float) -> None:
    draws = torch.rand(2000, rows, generator=torch.Generator().manual_seed(rows)) ** power
    thresholds = torch.tensor([fit_threshold(draw) for draw in draws])
    answered = 1 - thresholds ** (1 / power)  # the chance that a new row's score is above
    assert answered.mean() >= 0.945


def test_well_separated_sets_are_separated() -> None:
    random = torch.Generator().manual_seed(0)
    inside = 0.8 + 0.2 * torch.rand(200, generator=random)
    outside = 0.5 * torch.rand(100, generator=random)
    threshold = fit_threshold(inside, outside)
    assert (inside >= threshold).all()
    assert (outside < threshold).all()


def test_overlapping_sets_are_separated_as_well_as_the_promise_allows() -> None:
    random = torch.Generator().manual_seed(0)
    inside = 0.4 + 0.6 * torch.rand(400, generator=random)
    outside = 0.6 * torch.rand(400, generator=random)
    threshold = fit_threshold(inside, outside)
    refused = (outside < threshold).double().mean().item()
    assert (inside >= threshold).double().mean().item() >= 0.95
    # the largest threshold the promise allows refuses all below about 0.43
    assert refused == pytest.approx(0.43 / 0.6, abs=0.05)


def test_no_foreign_rows_are_the_same_as_none_given() -> None:
    own = torch.linspace(0.3, 0.99, 41)
    assert fit_threshold(own, torch.zeros(0)) == fit_threshold(own)


SCORES = st.lists(st.sampled_from([i / 16 for i in range(17)]), min_size=1, max_size=30)


@given(inside=SCORES, outside=SCORES)
def test_the_threshold_is_that_of_comparing_every_score_with_every_candidate(
    inside: list[float], outside: list[float]
) -> None:
    own, others = torch.tensor(inside), torch.tensor(outside)
    highest = fit_threshold(own)
    candidates = torch.cat([own.double(), others.double(), torch.tensor([highest], dtype=torch.double)]).unique()
    candidates = candidates[candidates <= highest]
    answered = (own.double()[None] >= candidates[:, None]).double().mean(dim=1)
    refused = (others.double()[None] < candidates[:, None]).double().mean(dim=1)
    assert fit_threshold(own, others) == float(candidates[(answered + refused).argmax()])


def test_a_threshold_of_many_scores_takes_memory_in_proportion_to_them() -> None:
    scores = torch.linspace(0, 1, 60_000)  # a table of every score and candidate would be 28 GB
    assert fit_threshold(scores + 1.0, scores) == pytest.approx(1.0, abs=1e-3)
