"""Requests that go on with what was spoken of before are told from those that begin something."""

import pytest

from interconnected_ai.bench.everyday_requests import EVERYDAY_REQUESTS
from interconnected_ai.bench.follow_up_requests import CHOOSING, REPORTED, follow_ups
from interconnected_ai.routing.follow_ups import is_follow_up


@pytest.mark.parametrize("language", ["English", "Russian"])
@pytest.mark.parametrize("half", [CHOOSING, REPORTED])
def test_most_of_what_people_say_next_is_heard_as_such(language: str, half: int) -> None:
    said = follow_ups(language, half)
    assert len(said) == len(set(said)) == 40
    assert sum(map(is_follow_up, said)) >= 0.85 * len(said)


def test_most_requests_of_every_day_begin_something() -> None:
    assert sum(map(is_follow_up, EVERYDAY_REQUESTS)) <= 0.2 * len(EVERYDAY_REQUESTS)


def test_words_decide_and_not_their_case_or_signs() -> None:
    for text in ("And in Python 2?", "— а если пусто?", "ПОЧЕМУ так?", "…why though, exactly?", "", "?!", "спасибо"):
        assert is_follow_up(text), text
    for text in (
        "Tell me a joke about foxes",
        "Расскажи сказку про лису.",
        "Android phones are cheap",
        "Аист летит на юг",
    ):
        assert not is_follow_up(text), text
    assert not is_follow_up("it " + "word " * 30), "a long one says itself what it is about"
