"""A council that asks its experts how likely they find a request, where its routers are not sure."""

from pathlib import Path

import pytest

pytest.importorskip("re2")

from tests.council.tiny_councils import WORDS, config_of, council_of, saved_expert

from interconnected_ai.council.asking import AskingRouter
from interconnected_ai.errors import ConfigError
from interconnected_ai.experts import Expert, log_likelihoods
from interconnected_ai.text import Tokenizer
from interconnected_ai.types import Request, Route, ScoredExpert

GREEDY = {"temperature": 0.0}
QUESTIONS = ["two experts", "gives every token", "иск", "assistant", "The router to two", "user system"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("asking")
    config_of(place)
    return place


def likelihoods(home: Path, question: str) -> dict[str, float]:
    token_ids = [WORDS.start_id, *WORDS.encode(question)]
    found = {}
    for name in ("general", "code", "law"):
        with Expert.from_pretrained(home / name) as expert:
            found |= log_likelihoods({name: expert.engine}, token_ids)
    return found


def test_who_finds_it_likeliest_answers_where_no_rule_fires(home: Path) -> None:
    best = {question: max(found := likelihoods(home, question), key=found.__getitem__) for question in QUESTIONS}
    assert len(set(best.values())) > 1
    with council_of(home, likelihood=3, likelihood_weight=1.0) as council:
        for number, (question, name) in enumerate(best.items()):
            route = council.route(question, session=str(number))
            assert route.expert == name
            assert "finds it likeliest" in route.reason
        assert council.chat("a traceback", **GREEDY).experts == ("code",)  # a rule is not asked again
        assert all(each.num_borrowers == 0 for each in council.pool.stats().experts.values())


def test_what_a_prior_says_weighs_in_and_chooses_who_is_asked(home: Path) -> None:
    question = QUESTIONS[0]
    found = likelihoods(home, question)
    worst, best = min(found, key=found.__getitem__), max(found, key=found.__getitem__)

    class Sure:
        def route(self, requests: list[Request]) -> list[Route]:
            experts = (ScoredExpert(worst, 0.51), ScoredExpert(best, 0.49))
            return [Route(experts, "leans", "prior", abstains=True) for _ in requests]

    with council_of(home) as council:

        def asked(**more: object) -> Route:
            router = AskingRouter(council.pool, ("general", "code", "law"), prior=Sure(), **more)  # type: ignore[arg-type]
            return router.route([Request(question)])[0]

        assert asked(most=2, weight=0.0).expert == worst
        assert asked(most=2, weight=1.0).expert == best
        assert [each.expert for each in asked(most=1, weight=1.0).experts] == [worst]
        assert {each.expert for each in asked(most=1, always=[best], weight=1.0).experts} == {worst, best}


def test_an_expert_that_is_gone_or_reads_otherwise_is_not_asked(home: Path, tmp_path: Path) -> None:
    saved_expert(tmp_path / "other", 7, Tokenizer.train(("other words",), 300))
    experts = {name: {"place": str(home / name)} for name in ("general", "code")}
    experts |= {"other": {"place": str(tmp_path / "other")}, "gone": {"place": str(tmp_path / "gone")}}
    with council_of(home, experts=experts, likelihood=4, rules=None) as council:
        route = council.route("two experts")
        assert {each.expert for each in route.experts} == {"general", "code"}
        assert not council.wellness.ailments()


def test_how_many_are_asked_is_a_number(home: Path) -> None:
    with pytest.raises(ConfigError, match="likelihood"):
        config_of(home, likelihood=-1)
    with pytest.raises(ConfigError, match="likelihood_weight"):
        config_of(home, likelihood_weight=2)
