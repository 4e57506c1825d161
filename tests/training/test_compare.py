"""Paired comparisons: McNemar's exact test and the bootstrap interval."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.training import compare_answers
from interconnected_ai.training.system.comparison import mcnemar
from properties import examples

few = examples(40)
answers = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


def both(pairs: list[tuple[bool, bool]]) -> tuple[np.ndarray, np.ndarray]:
    table = np.array(pairs, dtype=bool)
    return table[:, 0], table[:, 1]


@pytest.mark.parametrize(
    ("only_a", "only_b", "p_value"),
    [
        (0, 0, 1.0),
        (3, 3, 1.0),
        (0, 1, 1.0),
        (0, 5, 2 / 2**5),
        (1, 5, 2 * (1 + 6) / 2**6),
        (2, 8, 2 * (1 + 10 + 45) / 2**10),
        (8, 2, 2 * (1 + 10 + 45) / 2**10),
    ],
)
def test_mcnemar_by_hand(only_a: int, only_b: int, p_value: float) -> None:
    assert mcnemar(only_a, only_b) == pytest.approx(p_value, rel=1e-12)


@few
@given(st.integers(0, 3000), st.integers(0, 3000))
def test_mcnemar_is_the_exact_binomial_test(only_a: int, only_b: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    if only_a + only_b == 0:
        return
    expected = stats.binomtest(only_a, only_a + only_b, 0.5).pvalue
    assert mcnemar(only_a, only_b) == pytest.approx(expected, rel=1e-6, abs=1e-300)


@few
@given(answers, st.integers(0, 3))
def test_figures_agree_with_the_rows_and_the_interval_holds_the_difference(
    pairs: list[tuple[bool, bool]], seed: int
) -> None:
    a, b = both(pairs)
    found = compare_answers("bank", a, b, seed=seed, resamples=2000)
    assert (found.branch, found.num_rows) == ("bank", len(pairs))
    assert found.accuracy_a == pytest.approx(a.mean())
    assert found.accuracy_b == pytest.approx(b.mean())
    assert found.difference == pytest.approx(found.accuracy_b - found.accuracy_a)
    assert found.difference == pytest.approx((found.only_b - found.only_a) / len(pairs))
    low, high = found.interval
    assert -1.0 <= low <= found.difference + 1e-9
    assert found.difference - 1e-9 <= high <= 1.0
    assert found.p_value == mcnemar(found.only_a, found.only_b)


@few
@given(answers)
def test_swapping_the_systems_mirrors_the_comparison(pairs: list[tuple[bool, bool]]) -> None:
    a, b = both(pairs)
    there, back = (compare_answers("x", *order, resamples=500) for order in ((a, b), (b, a)))
    assert there.p_value == back.p_value
    assert there.difference == pytest.approx(-back.difference)
    assert (there.only_a, there.only_b) == (back.only_b, back.only_a)


def test_the_interval_is_that_of_resampling_the_rows_themselves() -> None:
    random = np.random.default_rng(0)
    a, b = random.random(300) < 0.7, random.random(300) < 0.8
    found = compare_answers("bank", a, b)
    gain = b.astype(int) - a.astype(int)
    means = [random.choice(gain, len(gain)).mean() for _ in range(4000)]
    assert found.interval == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.01)


def test_the_interval_shrinks_with_the_square_root_of_the_rows() -> None:
    a, b = both([(True, False), (False, True), (False, True), (True, True), (False, False)] * 20)
    few_rows, many_rows = compare_answers("x", a, b), compare_answers("x", np.tile(a, 16), np.tile(b, 16))
    width = few_rows.interval[1] - few_rows.interval[0]
    assert many_rows.interval[1] - many_rows.interval[0] == pytest.approx(width / 4, rel=0.1)
    assert many_rows.difference == pytest.approx(few_rows.difference)
    assert many_rows.p_value < few_rows.p_value


def test_identical_systems_show_no_difference() -> None:
    a = np.array([True, False, True, True])
    found = compare_answers("x", a, a.copy())
    assert (found.p_value, found.difference, found.interval) == (1.0, 0.0, (0.0, 0.0))
    assert found.verdict == "no difference that these rows can show"


def test_the_verdict_names_the_better_one_only_when_the_rows_show_it() -> None:
    worse, better = both([(False, True)] * 8 + [(True, True)] * 10)
    assert compare_answers("x", worse, better).verdict == "B is better"
    assert compare_answers("x", better, worse).verdict == "A is better"
    assert compare_answers("x", worse[5:], better[5:]).verdict == "no difference that these rows can show"


def test_the_same_seed_gives_the_same_interval() -> None:
    random = np.random.default_rng(1)
    a, b = random.random(50) < 0.5, random.random(50) < 0.6
    assert compare_answers("x", a, b, seed=3) == compare_answers("x", a, b, seed=3)
