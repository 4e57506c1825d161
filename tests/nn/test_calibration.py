"""Temperature and threshold: found again where they are known, and promises kept on a branch's own rows."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from interconnected_ai.nn import fit_temperature, fit_threshold
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


def test_the_temperature_is_where_the_likelihood_is_largest() -> None:
    random = torch.Generator().manual_seed(1)
    logits = torch.randn(300, 5, generator=random) * 3
    labels = torch.where(torch.rand(300, generator=random) < 0.8, logits.argmax(dim=-1), torch.zeros(300).long())
    best = fit_temperature(logits, labels)

    def loss(temperature: float) -> float:
        return F.cross_entropy(logits.double() / temperature, labels).item()

    assert all(loss(best) <= loss(best * factor) + 1e-9 for factor in (0.5, 0.9, 0.99, 1.01, 1.1, 2.0))


def test_the_temperature_stays_within_its_bounds() -> None:
    logits = torch.tensor([[9.0, 0.0], [0.0, 9.0]])
    always_right, always_wrong = torch.tensor([0, 1]), torch.tensor([1, 0])
    assert fit_temperature(logits, always_right) == pytest.approx(0.05, rel=1e-3)
    assert fit_temperature(logits, always_wrong) == pytest.approx(20.0, rel=1e-3)


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


@pytest.mark.parametrize("rows", [5, 10, 30, 400])
def test_without_foreign_text_the_threshold_gives_up_no_more_rows_than_allowed(rows: int) -> None:
    own = torch.linspace(0.3, 0.99, rows)
    share = (own >= fit_threshold(own)).double().mean().item()
    assert 0.95 <= share <= 0.95 + 1 / rows + 1e-9


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
