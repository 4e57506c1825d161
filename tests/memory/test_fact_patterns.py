"""Patterns of the rules for facts: what is not tried would not have matched, and small letters find the same."""

import re
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.bench.facts import sentences_of
from interconnected_ai.memory import (
    fact_clauses_en,
    fact_clauses_ru,
    fact_patterns_en,
    fact_patterns_ru,
    fact_reading,
    fact_whole_sentences,
)
from interconnected_ai.memory.beginnings import beginnings_of
from interconnected_ai.memory.caseless import Caseless
from interconnected_ai.memory.fact_clauses import Clause, Rule, RulesByHead
from interconnected_ai.memory.fact_clauses_en import english_clauses
from interconnected_ai.memory.fact_clauses_ru import russian_clauses
from interconnected_ai.memory.fact_reading import own_sentences

BEGINNINGS = {
    "my (?:old |new )?dog": {"my "},
    "(?:an? |the )?vet": {"a v", "an ", "the", "vet"},
    "(?:so )*ill": {"so ", "ill"},
    "[ab]c|Do": {"ac", "bc", "do"},
    r"(?!no)(?P<value>on\.e|by)\b": {"on.", "by"},
    r"in(?= my)\w+": {"in"},
    r"\d+ dogs": {""},
    r"x{2,3}y": {"x"},
    "x?y": {"xy", "y"},
    r"(?:^|(?<=\s))на (?:a|b|[^c])": {"на ", "на a", "на b"},
    "(?:)": {""},
}
PATTERNS = st.sampled_from(
    [*BEGINNINGS, r"(?:up )?(?:at|in|on) (?:the |my )*[a-z]+", "(?:I|we) (?:live|work)(?:ed)? in|the (?-i:[A-Z])x"]
)
MODULES = (fact_reading, fact_whole_sentences, fact_clauses_en, fact_clauses_ru)


@pytest.mark.parametrize(("pattern", "letters"), BEGINNINGS.items())
def test_a_pattern_s_beginnings_are_read_off_its_text(pattern: str, letters: set[str]) -> None:
    assert set(beginnings_of(pattern).letters) == {one[:3] for one in letters}


def test_where_a_pattern_can_match_is_read_off_its_text() -> None:
    places = {
        pattern: (beginnings_of(pattern).is_first, beginnings_of(pattern).is_of_word)
        for pattern in ("^a|^b", "^a|b", r"(?:^|(?<=\s))a", r"^a|(?:^|(?<=\s))b", "(?:^a)", r"(?:^|\s)a")
    }
    assert [*places.values()] == [
        (True, True),
        (False, False),
        (False, True),
        (False, True),
        (False, False),
        (False, False),
    ]


@given(st.data())
def test_what_a_pattern_matches_begins_as_it_says(data: st.DataObject) -> None:
    pattern = re.compile(data.draw(PATTERNS), re.IGNORECASE)
    text = data.draw(st.from_regex(pattern))
    match = pattern.search(text)
    assert match is not None
    begun = text[match.start() :][:3].lower()
    assert any(begun[:length] in beginnings_of(pattern.pattern).letters for length in range(4))


class Forgetful(dict[Any, Any]):
    """Empty as soon as it was asked whether it holds something: as if another thread had come between."""

    def __contains__(self, key: object) -> bool:
        found = super().__contains__(key)
        self.clear()
        return found


def test_what_is_remembered_of_beginnings_may_be_forgotten_by_another_thread_at_any_time() -> None:
    rules = RulesByHead([Rule("is", "be", text) for text in ("^a", "^b", r"(?:^|(?<=\s))c")])
    texts = ["a b c", "b c", "c", "d a"]

    def found() -> list[list[int]]:
        ways = (
            (rules.at_the_beginning("be", text) for text in texts),
            (rules.anywhere("be", text, text) for text in texts),
        )
        return [[id(one) for one in tried] for way in ways for tried in way]

    wanted = found()
    of_head = rules._of_head["be"]
    of_head._beginning = Forgetful(of_head._beginning)
    assert found() == wanted


def test_rules_that_are_not_tried_would_not_have_matched() -> None:
    num_rules = num_tried = 0
    for clause in _clauses("en"):
        head, _, rest = clause.said.partition(" ")
        tried = {one.rule for one in fact_patterns_en._BY_HEAD.at_the_beginning(head.lower(), rest)}
        for rule in fact_patterns_en.RULES:
            if head.lower() in rule.heads.split():
                num_rules, num_tried = num_rules + 1, num_tried + (rule in tried)
                assert rule in tried or re.match(rule.text, rest, re.IGNORECASE) is None, (rule, clause)
    for clause in _clauses("ru"):
        head, _, rest = clause.said.partition(" ")
        full = clause.full.partition(" ")[2]
        tried = {one.rule for one in fact_patterns_ru._BY_HEAD.anywhere(head, rest, full)}
        for rule in fact_patterns_ru.RULES:
            if head in rule.heads.split():
                num_rules, num_tried = num_rules + 1, num_tried + (rule in tried)
                text = full if rule.of_times else rest
                assert rule in tried or re.search(rule.text, text, re.IGNORECASE) is None, (rule, clause)
    assert num_tried < num_rules / 2  # most need not be tried, which is what beginnings are for


def _clauses(language: str) -> list[Clause]:
    clauses_of = english_clauses if language == "en" else russian_clauses
    texts = [one.text for one in sentences_of(language)]
    shouted = [text.upper() for text in texts[::5]]
    return [
        clause for text in (*texts, *shouted) for sentence in own_sentences(text) for clause in clauses_of(sentence)
    ]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rsplit(".", 1)[1])
def test_patterns_in_small_letters_find_what_they_find_without_regard_to_case(module: ModuleType) -> None:
    texts = [one.text for language in ("en", "ru") for one in sentences_of(language)][::4]
    texts += [
        changed for text in texts[::4] for changed in (text.upper(), text.title(), text.lower(), f"{text}\n{text}")
    ]
    patterns = [one for value in vars(module).values() for one in _caseless_in(value)]
    assert patterns
    for pattern in patterns:
        exact = pattern._exact
        for text in texts:
            assert pattern.is_in(text) == (exact.search(text) is not None), (exact.pattern, text)
            assert _span(pattern.search(text)) == _span(exact.search(text))
            assert _span(pattern.match(text)) == _span(exact.match(text))
            assert [*map(_span, pattern.finditer(text))] == [*map(_span, exact.finditer(text))]
            assert pattern.sub(" ", text) == exact.sub(" ", text)


def test_letters_that_must_be_capitals_are_looked_for_as_such() -> None:
    pattern = Caseless(r"\bhalf(?! (?-i:[A-Z])) (?P<name>(?-i:[A-ZÀ-Ý])\w+)?")
    assert pattern.search("HALF italian") is not None
    assert pattern.search("half Italian") is None
    assert Caseless("in (?-i:[A-Z])").is_in("In Rome")
    assert not Caseless("in (?-i:[A-Z])").is_in("In rome")
    assert Caseless(r"i(m)").sub(r"I \1", "IM im") == "I M I m"
    assert Caseless("i").sub("y", "İi") == re.sub("i", "y", "İi", flags=re.IGNORECASE)
    with pytest.raises(AssertionError, match="capitals"):
        Caseless("in Rome")


def _caseless_in(value: object) -> list[Caseless]:
    if isinstance(value, tuple):
        return [one for part in value for one in _caseless_in(part)]
    return [value] if isinstance(value, Caseless) else []


def _span(match: re.Match[str] | None) -> tuple[tuple[int, int], dict[str, str]] | None:
    return None if match is None else (match.span(), match.groupdict())
