"""Terms of texts: the same as scikit-learn's where it counts the same, and a text's own whatever stands beside it."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.text import count_ngrams, ngrams_signature, normalize, stem, words
from interconnected_ai.text.ngrams import Ngrams
from properties import examples

TEXTS = [
    "Could you tell me why my card was declined?",
    "Карта не работает: почему карту отклонили, и что делать с картой?",
    "a",
    "!",
    "  x \n y  ",
    "don't, DON’T; v2.13.0 np.sum(axis=0)",
    "東京タワーへの行き方",
    "one two one two one two",
]
texts_of_any_kind = st.lists(st.text(st.characters(codec=None), max_size=30), max_size=5)


def row_of(counted: Ngrams, row: int, *, of_words: bool) -> dict[int, float]:
    start, stop = counted.ends[2 * row + of_words : 2 * row + of_words + 2]
    terms = counted.terms[counted.columns[start:stop]].tolist()
    return dict(zip(terms, counted.frequencies[start:stop].tolist(), strict=True))


def frequencies(found: list[str]) -> list[float]:
    return sorted(1.0 + np.log(count) for count in Counter(found).values())


def test_characters_are_those_that_scikit_learn_counts_within_words() -> None:
    text = pytest.importorskip("sklearn.feature_extraction.text")
    analyze = text.TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5)).build_analyzer()
    (counted,) = count_ngrams(TEXTS)
    for row, given_text in enumerate(TEXTS):
        # scikit-learn gives a word that is shorter than n once for each n
        expected = [gram for word in normalize(given_text).split() for n in range(2, 6) for gram in grams(word, n)]
        ours = sorted(row_of(counted, row, of_words=False).values())
        assert ours == pytest.approx(frequencies(expected)), given_text
        assert set(expected) == set(analyze(normalize(given_text))) - {""}, given_text


def grams(word: str, length: int) -> list[str]:
    spaced = f" {word} "
    return [spaced[i : i + length] for i in range(len(spaced) - length + 1)]


def test_words_are_stems_and_pairs_of_neighbours() -> None:
    (counted,) = count_ngrams(TEXTS)
    for row, text in enumerate(TEXTS):
        stems = [stem(word) for word in words(text)]
        pairs = [" ".join(pair) for pair in itertools.pairwise(stems)]
        ours = sorted(row_of(counted, row, of_words=True).values())
        assert ours == pytest.approx(frequencies([*stems, *pairs])), text


def test_forms_of_a_word_are_one_term_in_both_languages() -> None:
    (counted,) = count_ngrams(["кошка", "кошкой", "cards", "card", "собака"])
    found = [set(row_of(counted, row, of_words=True)) for row in range(5)]
    assert found[0] == found[1] != found[4]
    assert found[2] == found[3] != found[0]


@given(texts_of_any_kind)
@examples(60)
def test_a_texts_terms_do_not_depend_on_its_neighbours(texts: list[str]) -> None:
    together = next(count_ngrams(texts), None)
    for row, text in enumerate(texts):
        assert together is not None
        (alone,) = count_ngrams([text])
        for of_words in (False, True):
            assert row_of(together, row, of_words=of_words) == row_of(alone, 0, of_words=of_words)


def test_terms_rise_and_characters_stand_below_words() -> None:
    (counted,) = count_ngrams(TEXTS)
    assert (np.diff(counted.terms) > 0).all()
    assert len(counted) == len(TEXTS)
    for row in range(len(TEXTS)):
        assert all(term < 0 for term in row_of(counted, row, of_words=False))
        assert all(term >= 0 for term in row_of(counted, row, of_words=True))


def test_hashes_are_the_same_in_every_process() -> None:
    (counted,) = count_ngrams(["cat", "кот"])
    assert counted.terms.tolist()[:2] == [-8869478282475615225, -8462592195982506450]
    assert ngrams_signature() == "stems 1-2, characters 2-5/1"


def test_many_and_long_texts_are_counted_in_parts_of_bounded_size() -> None:
    parts = list(count_ngrams(["a cat"] * 5_000))
    assert [len(part) for part in parts] == [2_048, 2_048, 904]
    parts = list(count_ngrams(["word " * 120_000] * 3))
    assert [len(part) for part in parts] == [2, 1]
    assert list(count_ngrams([])) == []
