"""One router after another: who decides, who stays, who stands in; and classifiers and likelihoods as routers."""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from routing_data import requests

from interconnected_ai.errors import ConfigError, DataError, UnknownNameError
from interconnected_ai.routing import (
    Cascade,
    ClassifierRouter,
    Example,
    LikelihoodRouter,
    RuleRouter,
    evaluate_router,
)
from interconnected_ai.types import Request, Route, ScoredExpert, Told
from properties import examples

RULES = RuleRouter.from_text(
    "experts: [code, law, chat]\nrules:\n- {name: c, to: code, roles: code}\n- {name: g, deny: [law], flags: guest}\n"
)


@dataclass
class Fixed:
    """Scores by the request's text: "code .9 law .1"; one that begins with "?" abstains."""

    name: str = "fixed"
    num_asked: int = 0

    def route(self, requests: Sequence[Request], /) -> list[Route]:
        self.num_asked += len(requests)
        return [self._route(request.text) for request in requests]

    def _route(self, text: str) -> Route:
        words = text.removeprefix("?").split()
        experts = [ScoredExpert(name, float(score)) for name, score in zip(words[::2], words[1::2], strict=True)]
        experts.sort(key=lambda each: -each.score)
        return Route(tuple(experts), f"says {text}", self.name, abstains=text.startswith("?") or not experts)


def ask(cascade: Cascade, text: str, **settings: object) -> Route:
    (found,) = cascade.route([Request(text, **settings)])  # type: ignore[arg-type]
    return found


def test_the_first_that_is_sure_decides_and_later_ones_are_not_asked() -> None:
    last = Fixed("last")
    cascade = Cascade([RULES, Fixed("first"), last], "chat")
    found = ask(cascade, "code .2 law .8")
    assert (found.expert, found.router) == ("law", "first")
    assert [each.router for each in found.considered] == ["rules", "first"]
    assert last.num_asked == 0
    assert ask(cascade, "<|role=code|>").expert == "code"


def test_where_nobody_is_sure_the_fallback_answers_and_the_leaning_is_kept() -> None:
    found = ask(Cascade([RULES, Fixed()], "chat"), "?law .4 code .3")
    assert (found.expert, found.is_fallback) == ("chat", True)
    assert [each.expert for each in found.experts] == ["chat", "law", "code"]
    assert "says ?law" in found.reason
    with_default = RuleRouter.from_text("experts: [code, law]\ndefault: code\nrules: []\n")
    assert ask(Cascade([with_default, Fixed()], "chat"), "?").expert == "code", "whom the rules name"
    assert ask(Cascade([with_default, Fixed()], "chat"), "law .6").expert == "law", "a default is no decision"
    assert ask(Cascade([], "chat"), "").is_fallback


def test_whom_rules_bar_nobody_else_chooses() -> None:
    cascade = Cascade([RULES, Fixed()], "chat")
    guest = {"flags": frozenset({"guest"})}
    found = ask(cascade, "law .8 code .2", **guest)
    assert (found.expert, found.barred) == ("code", frozenset({"law"}))
    assert "law" not in [each.expert for each in found.experts]
    assert ask(cascade, "law .8", **guest).expert == "chat"
    assert ask(Cascade([RULES], "law"), "", **guest).abstains, "the fallback is barred too"


def test_a_session_stays_unless_leaving_is_worth_it() -> None:
    cascade = Cascade([RULES, Fixed()], "chat", switching_cost=0.2)
    assert ask(cascade, "code .9 law .1", session="s").expert == "code"
    stays = ask(cascade, "code .45 law .55", session="s")
    assert stays.expert == "code"
    assert "stays with code: law leads by 0.10, leaving costs 0.20" in stays.reason
    assert isinstance(stays.reason, Told)
    first, *others = stays.reason.clauses
    assert (first.code, first.values["expert"], first.values["other"]) == ("stays_for_less", "code", "law")
    assert [clause.code for clause in others] == ["text"]  # of a router that tells no clauses
    assert stays.runner_up == ScoredExpert("law", 0.55)
    assert ask(cascade, "code .45 law .55", session="other").expert == "law"
    assert ask(cascade, "code .45 law .55").expert == "law", "no session"
    assert ask(cascade, "code .45 law .55", session="s", user="u").expert == "law", "another user's session"
    unsure = ask(cascade, "?law .3", session="s")
    assert (unsure.expert, unsure.is_fallback) == ("code", False)
    left = ask(cascade, "code .3 law .7", session="s")
    assert left.expert == "law"
    assert "leaves code" in left.reason
    assert ask(cascade, "<|role=code|>", session="s").expert == "code", "a rule is not weighed"
    cascade.forget("s")
    assert ask(cascade, "code .45 law .55", session="s").expert == "law"


def test_what_is_nobodys_business_ends_a_stay_and_a_follow_up_does_not() -> None:
    class Elsewhere(Fixed):
        """What it leaves alone is nobody's business, or "?!" not surely."""

        def route(self, requests: Sequence[Request], /) -> list[Route]:
            return [self._of(request.text) for request in requests]

        def _of(self, text: str) -> Route:
            if text.startswith("reshape"):
                return Route((ScoredExpert("code", 0.9),), "arrays", "fixed")
            leaning = (ScoredExpert("code", 0.4),)
            return Route(leaning, "unlike", "fixed", abstains=True, is_outside="perhaps" not in text)

    cascade = Cascade([Elsewhere()], "chat")
    for follow_up in ("and in Python 2?", "а если пусто?", "why?"):
        assert ask(cascade, "reshape an array", session="s").expert == "code"
        assert ask(cascade, follow_up, session="s").expert == "code", follow_up
    for elsewhere in ("Расскажи сказку про лису.", "Tell me a joke about foxes"):
        assert ask(cascade, "reshape an array", session="s").expert == "code"
        assert ask(cascade, f"perhaps {elsewhere}", session="s").expert == "code", "it is not sure"
        (foreseen,) = cascade.foresee([Request(elsewhere, session="s")])
        left = ask(cascade, elsewhere, session="s")
        assert left == foreseen
        assert (left.expert, left.is_fallback) == ("chat", True)
        assert "leaves code, whose business it is not; fixed: unlike" in left.reason
        assert ask(cascade, "and a longer one?", session="s").expert == "chat", "what was before is over"
    assert ask(cascade, "reshape", session="s").expert == "code"
    assert ask(cascade, "Tell me a joke about foxes", session="other").expert == "chat"


def test_foreseeing_leaves_sessions_as_they_are() -> None:
    cascade = Cascade([Fixed()], "chat", switching_cost=0.2)
    ask(cascade, "code .9 law .1", session="s")
    (foreseen,) = cascade.foresee([Request("code .1 law .9", session="s")])
    assert foreseen.expert == "law"
    assert ask(cascade, "code .45 law .55", session="s").expert == "code", "law was only foreseen"


def test_the_requests_of_one_batch_know_of_the_ones_before() -> None:
    cascade = Cascade([Fixed()], "chat")
    found = cascade.route([Request("code .9 law .1", session="s"), Request("code .45 law .55", session="s")])
    assert [route.expert for route in found] == ["code", "code"]


def test_an_expert_that_is_gone_is_stood_in_for() -> None:
    gone = {"code"}
    cascade = Cascade([Fixed()], "chat", fallbacks={"code": "law"}, is_available=lambda name: name not in gone)
    found = ask(cascade, "code .9 law .1", session="s")
    assert (found.expert, found.is_fallback) == ("law", True)
    assert "code is not available, law stands in" in found.reason
    gone.add("law")
    assert ask(cascade, "code .9 law .1", session="s").expert == "chat"
    gone.add("chat")
    nobody = ask(cascade, "code .9 law .1", session="s")
    assert (nobody.expert, nobody.abstains) == (None, True)
    gone.clear()
    assert ask(cascade, "code .5 law .4", session="s").expert == "code", "a stand-in holds no session"


def test_fallbacks_in_a_circle_and_costs_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="a → b → a"):
        Cascade([], "a", fallbacks={"a": "b", "b": "a"})
    with pytest.raises(ConfigError, match="switching_cost=2"):
        Cascade([], "a", switching_cost=2.0)


@examples(60)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 10)), max_size=12), st.integers(0, 10))
def test_a_session_never_moves_for_less_than_the_cost(turns: list[tuple[str, int]], cost: int) -> None:
    cascade = Cascade([Fixed()], "chat", switching_cost=cost / 10)
    before = None
    for best, tenths in turns:
        other = "b" if best == "a" else "a"
        (high, low) = max(tenths, 10 - tenths) / 10, min(tenths, 10 - tenths) / 10
        found = ask(cascade, f"{best} {high} {other} {low}", session="s")
        if before is not None and found.expert != before:
            assert high - low > cost / 10
        before = found.expert


def test_threads_of_many_sessions_each_keep_their_expert() -> None:
    cascade = Cascade([Fixed()], "chat")

    def talk(number: int) -> set[str | None]:
        first = "code" if number % 2 else "law"
        other = "law" if number % 2 else "code"
        ask(cascade, f"{first} .9 {other} .1", session=str(number))
        return {ask(cascade, f"{first} .45 {other} .55", session=str(number)).expert for _ in range(20)}

    with ThreadPoolExecutor(8) as pool:
        for number, stayed in enumerate(pool.map(talk, range(32))):
            assert stayed == {"code" if number % 2 else "law"}


def test_metrics_count_leaning_decisions_and_refusals() -> None:
    asked = [
        Example("code .9 law .1", "code"),
        Example("law .6 code .4", "code"),
        Example("?code .3 law .2", "code"),
        Example("law .8 code .1", "law"),
        Example("?law .2 code .1", None),
        Example("law .9 code .1", None),
    ]
    for router in (Fixed(), Cascade([Fixed()], "chat")):
        found = evaluate_router(router, asked, num_timed=4)
        assert (found.num_requests, found.num_outside) == (4, 2)
        assert (found.accuracy, found.coverage, found.false_oos, found.oos_recall) == (0.75, 0.75, 0.25, 0.5)
        assert found.answered_accuracy == pytest.approx(2 / 3)
        assert found.confusion == (("code", "law", 1),)
        assert found.by_expert["law"] == {"requests": 1.0, "recall": 1.0, "precision": 0.5}
        assert found.p50_seconds is not None
        assert found.p99_seconds is not None
        assert found.p50_seconds <= found.p99_seconds
    with pytest.raises(DataError, match="no requests"):
        evaluate_router(Fixed(), [])


@dataclass(frozen=True)
class Said:
    """What a branch says."""

    top: tuple[tuple[str, float], ...]
    unknown: bool = False


def classifier(*said: Said) -> Callable[[Sequence[str]], list[Said]]:
    return lambda texts: [said[int(text)] for text in texts]


def test_a_branch_classifies_and_the_labels_of_an_expert_are_added_up() -> None:
    classify = classifier(
        Said((("loan", 0.4), ("bake", 0.35), ("card", 0.25))),
        Said((("bake", 0.9),), unknown=True),
        Said((("chat", 0.9), ("bake", 0.1))),
        Said(()),
    )
    router = ClassifierRouter(classify, {"loan": "money", "card": "money", "bake": "kitchen", "chat": None})
    found = router.route([Request(text) for text in ("0", "1", "", "2", "3")])
    assert [each.expert for each in found[0].experts] == ["money", "kitchen"]
    assert [each.score for each in found[0].experts] == pytest.approx([0.65, 0.35])
    assert "'loan' 0.40" in found[0].reason
    assert [route.abstains for route in found] == [False, True, True, True, True]
    with pytest.raises(UnknownNameError, match="unknown label 'loan'"):
        ClassifierRouter(classify, {"bake": "kitchen"}).route([Request("0")])
    with pytest.raises(ConfigError, match="no label leads"):
        ClassifierRouter(classify, {"bake": None})
    with pytest.raises(DataError, match="asked for 1 texts and answered for 0"):
        ClassifierRouter(lambda texts: [], {"bake": "kitchen"}).route([Request("0")])


def by_length(texts: Sequence[str]) -> list[Mapping[str, float]]:
    """Expert "a" likes words with a, "b" those with b."""
    return [{name: -2.0 * sum(name not in word for word in text.split()) for name in "ab"} for text in texts]


def test_the_expert_that_finds_a_text_likeliest_answers_unless_the_prior_is_against_it() -> None:
    plain = LikelihoodRouter(by_length, weight=1.0)
    (found,) = plain.route([Request("a b b")])
    assert found.expert == "b"
    assert found.score_of("b") == pytest.approx(1 / (1 + math.exp(-2)))
    assert "ln likelihood -2.0 against -4.0 of a" in found.reason

    class Prior:
        def route(self, requests: Sequence[Request], /) -> list[Route]:
            experts = (ScoredExpert("a", 0.95), ScoredExpert("b", 0.05))
            return [Route(experts, "", "prior", abstains=True) for _ in requests]

    assert LikelihoodRouter(by_length, Prior(), weight=1.0).route([Request("a b b")])[0].expert == "a"
    assert LikelihoodRouter(by_length, Prior(), weight=1.0).route([Request("b b")])[0].expert == "b"
    unsure = LikelihoodRouter(by_length, weight=1.0, least_margin=0.9).route([Request("a b b")])[0]
    assert (unsure.abstains, unsure.experts[0].expert) == (True, "b")


def test_the_weight_is_the_one_under_which_the_right_experts_are_likeliest() -> None:
    right = [Example("b b a", "b"), Example("a a b", "a")] * 10
    wrong = [Example("b b a", "a"), Example("a a b", "b")] * 10
    router = LikelihoodRouter(by_length)
    assert router.with_fitted_weight(right).weight == 1.0
    assert router.with_fitted_weight([*right, *wrong]).weight == pytest.approx(0.001)
    some = router.with_fitted_weight([*right * 3, *wrong]).weight
    assert some == pytest.approx(math.log(3) / 2, rel=0.15), "odds of three to one"


def test_likelihoods_that_are_none_are_told_and_impossible_texts_have_no_route() -> None:
    nobody = LikelihoodRouter(lambda texts: [{"a": -math.inf, "b": -math.inf} for _ in texts])
    assert nobody.route([Request("x")])[0].abstains
    assert nobody.route([Request(" ")])[0].abstains
    half = LikelihoodRouter(lambda texts: [{"a": -math.inf, "b": -900.0} for _ in texts])
    assert half.route([Request("x")])[0].experts == (ScoredExpert("b", 1.0),)
    with pytest.raises(DataError, match="expert 'a' is nan"):
        LikelihoodRouter(lambda texts: [{"a": math.nan} for _ in texts]).route([Request("x")])
    with pytest.raises(DataError, match="1 texts were asked for, and 0 came"):
        LikelihoodRouter(lambda texts: []).route([Request("x")])
    with pytest.raises(ConfigError, match="weight=-1"):
        LikelihoodRouter(by_length, weight=-1.0)


def test_a_real_branch_is_a_classifier_for_a_router() -> None:
    from conftest import make_system, randomize

    system = randomize(make_system("topics"))

    def classify(texts: Sequence[str]) -> Sequence[object]:
        return [each.branches["topics"] for each in system.predict(texts, branches=["topics"], top_n=3)]

    router = ClassifierRouter(classify, {"animals": "zoo", "money": "bank", "weather": None})  # type: ignore[arg-type]
    asked = [Request(each.text) for each in requests(2)]
    for route, said in zip(router.route(asked), classify([request.text for request in asked]), strict=True):
        label = said.top[0][0]  # type: ignore[attr-defined]
        assert route.abstains == (label == "weather" or said.unknown)  # type: ignore[attr-defined]
        assert {each.expert for each in route.experts} <= {"zoo", "bank"}
