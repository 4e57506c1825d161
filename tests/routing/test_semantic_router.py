"""Nearest examples: the same as looking at each, chosen by leaving one out, kept, silent where nothing is near."""

from pathlib import Path

import numpy as np
import pytest
from routing_data import SUBJECTS, WordVectors, requests

from interconnected_ai.errors import ConfigError, DataError, EncoderError
from interconnected_ai.routing import Example, ExpertCard, SemanticRouter, evaluate_router
from interconnected_ai.routing.neighbours import Neighbours
from interconnected_ai.routing.topic_model import TextViews
from interconnected_ai.text import Vocabulary, count_ngrams
from interconnected_ai.types import Request

ENCODE = WordVectors()


def cards(examples: list[Example]) -> list[ExpertCard]:
    return [
        ExpertCard(expert, f"Answers about {expert}.", tuple(e.text for e in examples if e.expert == expert))
        for expert in SUBJECTS
    ]


@pytest.fixture(scope="module")
def router() -> SemanticRouter:
    return SemanticRouter.fit(cards(requests(20)), ENCODE, validation=requests(20, seed=1, foreign=60), keep=0.95)


def test_it_finds_the_expert_and_leaves_alone_what_is_like_nothing(router: SemanticRouter) -> None:
    found = evaluate_router(router, requests(30, seed=2, foreign=60))
    assert found.accuracy is not None
    assert found.accuracy > 0.95
    assert found.oos_recall is not None
    assert found.oos_recall > 0.6
    (route,) = router.route([Request("theorem of the quasar")])
    assert route.abstains
    assert "unlike every example" in route.reason


def test_the_reason_shows_the_nearest_example(router: SemanticRouter) -> None:
    example = router.cards[0].examples[3]
    (route,) = router.route([Request(example)])
    assert (route.expert, route.reason) == ("kitchen", f"like {example!r} of kitchen")


def test_descriptions_alone_are_enough() -> None:
    router = SemanticRouter.fit([ExpertCard("a", "bake dough oven"), ExpertCard("b", "flight ticket plane")], ENCODE)
    assert router.route([Request("a ticket please")])[0].expert == "b"


def test_similarities_are_the_cosines_of_every_pair() -> None:
    known, asked = [e.text for e in requests(8)], [e.text for e in requests(3, seed=7)]
    views, others = TextViews.of(known, ENCODE), TextViews.of(asked, ENCODE)
    neighbours = Neighbours.of(known, views)
    vocabulary = Vocabulary.of(known, 100_000)

    def table(texts: list[str]) -> np.ndarray:
        rows = np.zeros((len(texts), len(vocabulary)))
        for number, text in enumerate(texts):
            (part,) = count_ngrams([text])
            terms, _, weights = vocabulary.weighted(part)
            rows[number, terms] = weights
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)

    np.testing.assert_allclose(neighbours.by_words(others), table(asked) @ table(known).T, atol=1e-5)
    mine, theirs = neighbours.scaled(others.vectors), neighbours.scaled(views.vectors)
    np.testing.assert_allclose(neighbours.by_meaning(others), mine @ theirs.T, atol=1e-5)
    np.testing.assert_allclose(np.diagonal(neighbours.similarities(views, 0.5)), 1.0, atol=1e-5)


def test_it_is_kept_with_its_cards(router: SemanticRouter, tmp_path: Path) -> None:
    router.save_pretrained(tmp_path / "router")
    again = SemanticRouter.from_pretrained(tmp_path / "router", ENCODE)
    asked = [Request(each.text) for each in requests(5, seed=3, foreign=5)]
    assert again.route(asked) == router.route(asked)
    assert again.cards == router.cards
    with pytest.raises(EncoderError, match="other vectors"):
        SemanticRouter.from_pretrained(tmp_path / "router", WordVectors(model_id="other"))


def test_cards_that_leave_no_choice_are_refused() -> None:
    with pytest.raises(DataError, match="two experts"):
        SemanticRouter.fit([ExpertCard("a", "bake"), ExpertCard("b")], ENCODE)
    with pytest.raises(ConfigError, match="two cards are of the expert 'a'"):
        SemanticRouter.fit([ExpertCard("a", "bake"), ExpertCard("a", "fry"), ExpertCard("b", "fly")], ENCODE)


def test_many_at_once_and_an_empty_one_are_routed(router: SemanticRouter) -> None:
    asked = [Request(each.text) for each in requests(14, seed=4)]
    together = router.route([Request(""), *asked])
    assert together[0].abstains
    assert [route.expert for route in together[1:]] == [router.route([request])[0].expert for request in asked]
