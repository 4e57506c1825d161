"""Scores by hand: BM25, neighbours' shares, fusion, and which terms are left out when there are too many postings."""

import math
from heapq import nlargest
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.memory.asking import is_of_asking
from interconnected_ai.memory.numbering import (
    LENGTHS,
    MAX_PLACE,
    Kind,
    entry_of,
    kind_in,
    length_code,
    number_in,
    number_of,
    place_of,
    session_of,
)
from interconnected_ai.memory.ranking import (
    RRF_K,
    best_first,
    bm25,
    fuse,
    inverse_frequency,
    lend,
    lend_to_neighbours,
    lend_to_stretches,
)
from interconnected_ai.memory.search import (
    Hits,
    SearchWeights,
    _affordable,
    _blend,
    _latest_first,
    _like_words,
    _likeness_of_forms,
    _num_alike,
    _trigrams,
    _weight_of,
)
from interconnected_ai.memory.store import as_vocabulary
from interconnected_ai.text import terms
from properties import examples


def test_bm25_is_its_formula() -> None:
    short, long = entry_of(1, Kind.SPEECH, 10), entry_of(2, Kind.SPEECH, 40)
    scores = bm25(
        {"rare": [short], "common": [short, long]},
        {"rare": 0.5, "common": 1.0},
        num_entries=4,
        mean_length=20.0,
        k1=1.2,
        b=0.75,
    )

    def part(weight: float, hits: int, length: float) -> float:
        idf = math.log(1 + (4 - hits + 0.5) / (hits + 0.5))
        return weight * idf * 2.2 / (1 + 1.2 * (0.25 + 0.75 * length / 20.0))

    ten, forty = LENGTHS[length_code(10)], LENGTHS[length_code(40)]
    assert scores[short] == pytest.approx(part(0.5, 1, ten) + part(1.0, 2, ten))
    assert scores[long] == pytest.approx(part(1.0, 2, forty))
    assert scores[short] > scores[long]


def test_a_mean_length_of_nothing_counts_as_one() -> None:
    entry = entry_of(1, Kind.SPEECH, 1)
    one, none = (bm25({"a": [entry]}, {"a": 1.0}, num_entries=1, mean_length=mean) for mean in (1.0, 0.0))
    assert one == none


def test_rare_terms_tell_more_and_no_frequency_is_beyond_the_number_of_entries() -> None:
    assert inverse_frequency(1, 100) == pytest.approx(math.log(1 + 99.5 / 1.5))
    assert inverse_frequency(1, 100) > inverse_frequency(2, 100) > inverse_frequency(100, 100) > 0
    assert inverse_frequency(7, 3) == inverse_frequency(7, 7)  # summaries and facts are entries too


def test_neighbours_get_their_share_by_distance_and_only_within_reach() -> None:
    lent = lend_to_neighbours({10: 1.0, 12: 2.0}, 0.5, reach=2)
    assert lent == {8: 0.25, 9: 0.5, 10: 1.0 + 0.5, 11: 0.5 + 1.0, 12: 2.0 + 0.25, 13: 1.0, 14: 0.5}
    assert lend_to_neighbours({10: 1.0}, 0.5, reach=0) == {10: 1.0}


def test_the_best_come_first_and_of_equals_the_newest() -> None:
    scores = {1: 1.0, 2: 3.0, 3: 1.0, 4: 2.0}
    assert best_first(scores) == [2, 4, 3, 1]
    for limit in range(6):
        assert best_first(scores, limit) == [2, 4, 3, 1][:limit]


_scores = st.dictionaries(
    st.builds(number_of, st.sampled_from([1, 2, 9]), st.integers(0, 60) | st.integers(0, 5_000)),
    st.floats(0.001, 30.0) | st.sampled_from([0.1, 0.3, 1.0]),
    max_size=60,
)


@st.composite
def _many_scores(draw: st.DrawFn) -> dict[int, float]:
    """Thousands, as a question has in a long history: far more than are wanted."""
    random = draw(st.randoms(use_true_random=False))
    places = random.sample(range(8_000), draw(st.integers(600, 4_000)))
    return {number_of(1, place): random.choice([0.1, 0.3, 1.0, random.random()]) for place in places}


@examples(200)
@given(_scores, st.sampled_from([0.0, 0.1, 0.6]), st.integers(0, 4), st.sampled_from([0.0, 2.0]))
def test_what_is_lent_in_lists_is_what_is_lent_one_by_one_to_the_last_bit(
    scores: dict[int, float], share: float, reach: int, stretch: float
) -> None:
    assert lend(scores, share, reach, stretch) == lend_to_stretches(
        lend_to_neighbours(scores, share, reach), scores, stretch
    )


@examples(200)
@given(
    _scores | _many_scores(),
    st.integers(0, 400),
    st.lists(st.integers(number_of(1, 0), number_of(1, 9_000)), max_size=5),
)
def test_where_only_the_best_are_wanted_they_are_those_of_all_that_is_lent(
    scores: dict[int, float], limit: int, also: list[int]
) -> None:
    every = lend(scores, 0.6, 3, 2.0)
    some = lend(scores, 0.6, 3, 2.0, limit=limit, also=also)
    assert best_first(some, limit) == best_first(every, limit)
    assert some == {place: every[place] for place in some}
    assert {place for place in also if place in every} <= set(some)


def test_a_score_of_nothing_is_lent_as_nothing() -> None:
    assert lend({10: 0.0, 11: 1.0}, 0.5, 1, 0.0) == lend_to_neighbours({10: 0.0, 11: 1.0}, 0.5, 1)
    assert lend({}, 0.5, 1, 1.0) == {}


@examples(100)
@given(st.integers(0, 3_000), st.integers(0, 3_000), st.integers(1, 50), st.randoms(use_true_random=False))
def test_the_best_of_many_are_those_that_a_heap_finds(
    size: int, limit: int, num_different: int, random: Random
) -> None:
    scores = {key: random.randrange(num_different) / 7 for key in random.sample(range(10 * size + 1), size)}
    rows = [(score, key) for key, score in scores.items()]
    assert best_first(scores, limit) == [key for _, key in nlargest(limit, rows)]
    assert best_first(scores) == [key for _, key in sorted(rows, reverse=True)]


_moments = st.sampled_from([5.0, 7.0, 9.5])


@examples(100)
@given(
    st.dictionaries(st.builds(number_of, st.sampled_from([1, 2, 3]), st.integers(0, 40)), _moments, max_size=40),
    st.sampled_from([None, 1, 2]),
)
def test_of_equal_scores_the_present_session_goes_first_then_the_later_then_the_larger_number(
    times: dict[int, float], present: int | None
) -> None:
    known = {number: (number, 0, 3, time, "user") for number, time in times.items()}
    by_all = sorted(known, key=lambda n: (session_of(n) == present, times[n], n), reverse=True)
    assert _latest_first(known, present) == by_all


def test_fusion_adds_weights_over_ranks_from_one() -> None:
    fused = fuse([(1.0, [7, 8]), (0.5, [8])])
    assert fused == {7: 1 / (RRF_K + 1), 8: 1 / (RRF_K + 2) + 0.5 / (RRF_K + 1)}
    assert fuse([(1.0, [7])], k=1) == {7: 0.5}


# Which terms are scored


def test_of_too_many_postings_the_rarest_terms_are_kept() -> None:
    postings = {
        "the": list(range(9_000)), "said": list(range(5_000)), "dog": list(range(4_000)),
        "lighthouse": list(range(2_000)), "hedgehog": [1, 2],
    }  # fmt: skip
    assert list(_affordable(postings)) == ["hedgehog", "lighthouse", "dog", "said"]  # 11,002 of at most 12,000
    assert _affordable(postings)["said"] is postings["said"]


def test_three_terms_are_kept_however_frequent_and_a_limit_that_is_just_reached_holds() -> None:
    every = {name: list(range(9_000)) for name in "abcd"}
    assert list(_affordable(every)) == ["a", "b", "c"]
    exact = {"a": [1], "b": [1], "c": [1], "d": list(range(11_997)), "e": [1]}
    assert list(_affordable(exact)) == ["a", "b", "c", "e"]
    exact["d"].pop()
    assert list(_affordable(exact)) == ["a", "b", "c", "e", "d"]
    assert _affordable({}) == {}


def test_likeness_joins_scores_as_a_share_of_the_best() -> None:
    assert _blend({1: 4.0, 2: 2.0}, {}, 0.15) == {1: 4.0, 2: 2.0}
    assert _blend({1: 4.0, 2: 2.0}, {2: 2.0, 3: 1.0}, 0.15) == pytest.approx({1: 1.0, 2: 0.5 + 0.3, 3: 0.15})
    assert _blend({}, {3: 2.0}, 0.15) == pytest.approx({3: 0.3})


def test_hits_stand_under_their_kind_and_number() -> None:
    hits = Hits()
    assert hits.are_none
    hits.add({entry_of(number_of(3, 5), kind, 9): float(kind + 1) for kind in Kind if kind != Kind.REPLY})
    hits.add({entry_of(number_of(3, 6), Kind.REPLY, 9): 7.0})
    assert hits.messages == {number_of(3, 5): 1.0, number_of(3, 6): 7.0}
    assert (hits.summaries, hits.facts) == ({5: 3.0}, {5: 4.0})
    for name in ("messages", "summaries", "facts"):
        one = Hits()
        getattr(one, name)[1] = 1.0
        assert not one.are_none


def test_forms_are_alike_by_their_common_beginning() -> None:
    assert _num_alike("останется", "останусь") == 5
    assert _num_alike("abc", "abcd") == 3
    assert _num_alike("abc", "xbc") == 0
    assert _likeness_of_forms({"walked"}, {"walked", "walk"}) == 1.0
    assert _likeness_of_forms({"walked"}, {"walks", "walking"}) == pytest.approx(4 / 6)
    assert _likeness_of_forms({"walked", "dog"}, {"dog"}) == 1.0
    assert _likeness_of_forms({"walked"}, {"wax"}) == 0.0
    assert _trigrams("ab") == {"  a", " ab", "ab "}


_terms = st.lists(
    st.text("abя.+", min_size=1, max_size=7).map("s".__add__) | st.text("ab", max_size=3).map("l".__add__)
)


@examples(150)
@given(
    st.lists(_terms, min_size=1, max_size=3), st.lists(st.text("abя.+", min_size=1, max_size=7), min_size=1, max_size=4)
)
def test_words_that_are_like_those_of_a_question_are_found_as_looking_at_each_does(
    owners: list[list[str]], asked: list[str]
) -> None:
    class Store:
        def vocabulary(self, rows: None, owner: int) -> dict[str, str]:
            return as_vocabulary(owners[owner])

    class Scope:
        owners = range(0)

    scope, wanted = Scope(), [f"s{word}" for word in asked]
    scope.owners = range(len(owners))
    expected: dict[str, float] = {}
    for word in dict.fromkeys(wanted):
        ours, like = _trigrams(word[1:]), {}
        for term in (term for own in owners for term in own if term[0] != "l"):
            theirs = _trigrams(term[1:])
            likeness = 2 * len(ours & theirs) / (len(ours) + len(theirs))
            if likeness >= 0.3:
                like[term] = likeness
        for likeness, term in sorted(((value, term) for term, value in like.items()), reverse=True)[:4]:
            expected[term] = max(expected.get(term, 0.0), likeness)
    found = _like_words(Store(), None, scope, wanted)  # type: ignore[arg-type]
    assert found == expected
    assert list(found) == list(expected), "scores are added up in this order"


# Numbers


def test_numbers_and_entries_say_what_they_are_of() -> None:
    for session, place, kind, words in (
        (1, 0, Kind.SPEECH, 0),
        (7, 12345, Kind.FACT, 999),
        (2**20, MAX_PLACE, Kind.SUMMARY, 3),
    ):
        number = number_of(session, place)
        assert (session_of(number), place_of(number)) == (session, place)
        entry = entry_of(number, kind, words)
        assert (number_in(entry), kind_in(entry), entry & 255) == (number, kind, length_code(words))
    assert number_of(1, MAX_PLACE) + 1 == number_of(2, 0)
    with pytest.raises(AssertionError):
        number_of(1, MAX_PLACE + 1)
    with pytest.raises(AssertionError):
        number_of(1, -1)


def test_lengths_are_kept_to_a_sixteenth_of_a_doubling() -> None:
    assert length_code(0) == 0
    assert LENGTHS[0] == 0.5
    assert length_code(1) == 1
    assert LENGTHS[1] == 1
    assert length_code(10**9) == 255
    codes = [length_code(words) for words in range(1, 60_000)]
    assert codes == sorted(codes)
    for words, code in enumerate(codes, start=1):
        assert LENGTHS[code] <= words < LENGTHS[code] * (1 + 1 / 16) + 1e-9, words


def test_a_stretch_of_eight_lends_to_itself_and_to_those_beside_it() -> None:
    scores = {20: 24.0, 200: 2.4}  # places 16 to 23 are a stretch
    lent = dict.fromkeys((7, 8, 15, 16, 20, 31, 32, 200), 1.0)
    found = lend_to_stretches(lent, scores, 0.5)
    gains = {place: score - 1.0 for place, score in found.items()}
    assert gains == pytest.approx({7: 0.0, 8: 0.5, 15: 0.5, 16: 0.5, 20: 0.5, 31: 0.5, 32: 0.0, 200: 0.05})
    assert lend_to_stretches(lent, scores, 0.0) == lent
    assert lend_to_stretches({}, {}, 1.0) == {}


def test_words_that_speak_of_the_asking_weigh_a_quarter() -> None:
    weights = SearchWeights()
    assert {_weight_of(term, weights) for term in terms("list the conversation in order").terms} == {0.25}
    assert {_weight_of(term, weights) for term in terms("lighthouse budget").terms} == {1.0}
    assert _weight_of("sлев", weights) == 0.5
    assert any(map(is_of_asking, terms("перечисли, что мы обсуждали").terms))
    assert any(map(is_of_asking, terms("what did we discuss").terms))
    assert not any(map(is_of_asking, terms("вулканы и volcanoes").terms))
