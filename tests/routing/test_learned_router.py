"""The learned router: right, calibrated, silent where it should be, the same after it was saved, and clear about bad input."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from routing_data import WordVectors, requests

from interconnected_ai.errors import ConfigError, DataError, EncoderError, IntegrityError, NotAModelError
from interconnected_ai.routing import Example, LearnedRouter, evaluate_router
from interconnected_ai.types import Request

ENCODE = WordVectors()


@pytest.fixture(scope="module")
def router() -> LearnedRouter:
    return LearnedRouter.fit(requests(30, foreign=30), ENCODE, validation=requests(20, seed=1, foreign=40), keep=0.95)


def test_it_finds_the_expert_and_leaves_alone_what_is_nobodys_business(router: LearnedRouter) -> None:
    found = evaluate_router(router, requests(30, seed=2, foreign=100))
    assert found.accuracy is not None
    assert found.accuracy > 0.97
    assert found.oos_recall is not None
    assert found.oos_recall > 0.9
    assert found.false_oos is not None
    assert found.false_oos < 0.12


def test_scores_are_probabilities_best_first_and_the_reason_names_both(router: LearnedRouter) -> None:
    (route,) = router.route([Request("how do i bake dough in my oven")])
    assert route.experts[0].expert == route.expert == "kitchen"
    scores = [each.score for each in route.experts]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1.0)
    assert route.runner_up is not None
    assert f"{route.runner_up.expert} {route.runner_up.score:.2f}" in route.reason
    assert route.margin == pytest.approx(scores[0] - scores[1])


def test_where_it_abstains_it_says_to_whom_it_leans_and_how_far_it_is(router: LearnedRouter) -> None:
    (route,) = router.route([Request("nebula quasar theorem")])
    assert route.abstains
    assert route.expert is None
    assert len(route.experts) == 3
    assert f"{router.settings.scope.threshold:.2f} is needed" in route.reason


def test_an_empty_request_has_no_route_and_disturbs_no_other(router: LearnedRouter) -> None:
    empty, full, token = router.route([Request(" \n"), Request("hotel room"), Request("<|role=x|>  ")])
    assert (empty.abstains, token.abstains, full.expert) == (True, True, "travel")
    assert "empty" in empty.reason
    assert router.route([]) == []


def test_a_role_token_is_no_word_of_the_request(router: LearnedRouter) -> None:
    assert (
        router.route([Request("<|role=code|> fry onion")])[0].experts == router.route([Request("fry onion")])[0].experts
    )


def test_many_at_once_and_one_by_one_are_the_same(router: LearnedRouter) -> None:
    asked = [Request(each.text) for each in requests(10, seed=3, foreign=10)]
    together = router.route(asked)
    for one, request in zip(together, asked, strict=True):
        (alone,) = router.route([request])
        assert (alone.expert, alone.abstains) == (one.expert, one.abstains)
        np.testing.assert_allclose(
            [e.score for e in alone.experts], [e.score for e in one.experts], rtol=1e-4, atol=1e-6
        )


def test_threads_have_the_routes_that_they_would_have_alone(router: LearnedRouter) -> None:
    asked = [Request(each.text) for each in requests(8, seed=4)]
    expected = [router.route([request])[0] for request in asked]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            assert list(pool.map(lambda request: router.route([request])[0], asked)) == expected


def test_confidence_is_honest(router: LearnedRouter) -> None:
    asked = [each for each in requests(60, seed=5) if each.expert is not None]
    probabilities, _ = router.scores([each.text for each in asked])
    right = [router.experts[row.argmax()] == each.expert for row, each in zip(probabilities, asked, strict=True)]
    assert abs(probabilities.max(axis=1).mean() - np.mean(right)) < 0.05


def test_topics_tell_experts_apart_better_than_experts_alone() -> None:
    """Two experts whose topics interleave on a line: no straight border between the experts is right."""

    class Line:
        model_id = "line"

        def __call__(self, texts: Sequence[str], /) -> np.ndarray:
            return np.array([[np.cos(float(text)), np.sin(float(text))] for text in texts])

    examples = [
        Example(f"{place + 0.01 * step:.3f}", expert, str(place))
        for place, expert in ((0.0, "a"), (0.8, "b"), (1.6, "a"), (2.4, "b"))
        for step in range(-15, 16)
    ]
    asked = [each for number, each in enumerate(examples) if number % 2]
    learnt = [each for number, each in enumerate(examples) if not number % 2]

    def right(rows: list[Example]) -> float:
        found = LearnedRouter.fit(rows, Line(), validation=asked)
        probabilities, _ = found.scores([each.text for each in asked])
        return float(
            np.mean([found.experts[row.argmax()] == e.expert for row, e in zip(probabilities, asked, strict=True)])
        )

    assert right(learnt) == 1.0
    assert right([replace(each, topic=None) for each in learnt]) < 1.0


def test_without_validation_rows_a_tenth_is_held_out_and_few_rows_choose_nothing() -> None:
    many = LearnedRouter.fit(requests(60), ENCODE)
    assert 10 < many.settings.num_choosing < 80
    assert many.settings.num_learnt + many.settings.num_choosing == 360
    few = LearnedRouter.fit([Example("bake a cake", "kitchen"), Example("pay a loan", "money")], ENCODE)
    assert few.route([Request("bake a cake")])[0].expert == "kitchen"
    assert few.settings.scale == 1.0


def test_what_is_saved_comes_back_the_same(router: LearnedRouter, tmp_path: Path) -> None:
    router.save_pretrained(tmp_path / "router")
    again = LearnedRouter.from_pretrained(tmp_path / "router", ENCODE)
    assert again.settings == router.settings
    asked = [Request(each.text) for each in requests(5, seed=6, foreign=5)]
    assert again.route(asked) == router.route(asked)
    assert {path.name for path in (tmp_path / "router").iterdir()} == {
        "config.json",
        "router.safetensors",
        "manifest.json",
    }


def test_another_encoder_is_refused_whatever_it_is_called(router: LearnedRouter, tmp_path: Path) -> None:
    router.save_pretrained(tmp_path / "router")
    other = WordVectors(model_id="others")
    other_of_that_name = WordVectors()
    other_of_that_name._of = other._of  # type: ignore[method-assign]
    for wrong in (other, other_of_that_name):
        with pytest.raises(EncoderError, match="gives other vectors"):
            LearnedRouter.from_pretrained(tmp_path / "router", wrong)
    with pytest.raises(EncoderError, match="24 dimensions instead of 48"):
        LearnedRouter.from_pretrained(tmp_path / "router", WordVectors(24))


def test_a_damaged_or_foreign_folder_is_named(router: LearnedRouter, tmp_path: Path) -> None:
    router.save_pretrained(tmp_path / "router")
    with pytest.raises(NotAModelError):
        LearnedRouter.from_pretrained(tmp_path / "absent", ENCODE)
    config = tmp_path / "router" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "temperature": 9}), encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"config\.json"):
        LearnedRouter.from_pretrained(tmp_path / "router", ENCODE)


@pytest.mark.parametrize(
    ("examples", "words"),
    [
        ([], "the examples name none"),
        ([Example("a", "one"), Example("b", "one")], "only 'one'"),
        ([Example("a", None)], "none"),
    ],
)
def test_a_choice_needs_two_experts(examples: list[Example], words: str) -> None:
    with pytest.raises(DataError, match=words):
        LearnedRouter.fit(examples, ENCODE)


def test_vectors_that_are_none_and_shares_that_cannot_be_are_refused() -> None:
    class Broken:
        model_id = "broken"

        def __call__(self, texts: Sequence[str], /) -> np.ndarray:
            return np.full((len(texts), 4), np.nan)

    with pytest.raises(DataError, match="not finite"):
        LearnedRouter.fit(requests(2), Broken())
    with pytest.raises(ConfigError, match="keep=1"):
        LearnedRouter.fit(requests(2), ENCODE, keep=1.0)
    with pytest.raises(ConfigError, match="lambda"):
        LearnedRouter.fit(requests(2), lambda texts: np.ones((len(texts), 2)))


def test_the_same_rows_give_the_same_router() -> None:
    first, second = (LearnedRouter.fit(requests(12, foreign=5), ENCODE) for _ in range(2))
    asked = [each.text for each in requests(4, seed=9)]
    assert first.settings == second.settings
    np.testing.assert_array_equal(first.scores(asked)[0], second.scores(asked)[0])
