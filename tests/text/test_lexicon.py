"""Terms looked up once for many vocabularies stand where each vocabulary has them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.text import Lexicon, Vocabulary
from properties import examples

TERMS = st.lists(st.integers(-50, 50), max_size=40, unique=True).map(
    lambda found: np.array(sorted(found), dtype=np.int64)
)


def vocabulary(terms: np.ndarray) -> Vocabulary:
    return Vocabulary(terms, np.ones(len(terms), dtype=np.float32))


@examples(100)
@given(known=st.lists(TERMS.filter(len), max_size=6), asked=TERMS, other=TERMS.filter(len))
def test_places_are_those_that_each_vocabulary_finds(
    known: list[np.ndarray], asked: np.ndarray, other: np.ndarray
) -> None:
    vocabularies = [vocabulary(terms) for terms in known]
    lexicon = Lexicon([*vocabularies, *vocabularies])
    found = lexicon.look_up(asked)
    stranger = vocabulary(other)
    assert not lexicon.knows(stranger)
    for each in (*vocabularies, stranger):
        places = found.places_in(each)
        assert np.array_equal(places, each.places_of(asked))
        assert places.dtype == np.int32
        assert [each.terms[place] for place in places if place >= 0] == [term for term in asked if term in each.terms]
    assert all(map(lexicon.knows, vocabularies))
