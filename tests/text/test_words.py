"""Words of Russian and English: normal forms, sentences, stems, lemmas, terms, and what a text weighs in tokens."""

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.text import (
    STOP_WORDS,
    analyzer,
    estimate_tokens,
    lemma,
    normalize,
    prose,
    sentences,
    stem,
    terms,
    words,
)
from properties import examples

pytest.importorskip("Stemmer", reason='needs the extra "memory"')
pytest.importorskip("pymorphy3", reason='needs the extra "memory"')


def test_text_is_compared_in_one_form() -> None:
    assert normalize("ЁЖ Cafe\u0301 don’t") == "еж café don't"
    assert words("Ёлка, don’t: C-3PO!") == ["елка", "don't", "c", "3po"]


@given(st.text())
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    once = normalize(text)
    assert words(once) == words(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Дом стоит на ул. Ленина. Он старый.", ["Дом стоит на ул. Ленина.", "Он старый."]),
        ("Mr. Smith came at 3.30 p.m. yesterday. He left.", ["Mr. Smith came at 3.30 p.m. yesterday.", "He left."]),
        ("А. С. Пушкин родился в 1799 г. в Москве.", ["А. С. Пушкин родился в 1799 г. в Москве."]),
        ("line one\n\nline two", ["line one", "line two"]),
        ("  \n ", []),
    ],
)
def test_sentences_end_where_people_end_them(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(st.text())
def test_sentences_lose_no_word(text: str) -> None:
    assert words(" ".join(sentences(text))) == words(text)


def test_forms_of_one_word_share_a_stem_or_a_lemma() -> None:
    assert len({stem(word) for word in ("running", "runs", "run")}) == 1
    assert len({stem(word) for word in ("собака", "собаки", "собакой")}) == 1
    assert {lemma(word) for word in ("дети", "детям", "ребенок")} == {"ребенок"}
    assert {lemma(word) for word in ("шел", "иду", "идти")} == {"идти"}
    assert lemma("квазибурбулятор") == stem("квазибурбулятор")  # not in the dictionary
    assert lemma("running") == stem("running")


def test_dictionary_forms_are_those_of_the_analyser() -> None:
    import pymorphy3

    analyser = pymorphy3.MorphAnalyzer(lang="ru")
    said = (
        "вчера мы с детьми ходили в зоопарк и видели ежиков стали стекла белки пошли люди шел дождь моя подруга купила лыжи "
        "лучшего решения чем это не нашлось договорились перенести срок сдачи самолетами наиболее быстрейший потом еще пил чай "
        "нашей стеной мыло раму косил косой косой кот котом печь пекли ели ель данные дали даль три тремя семью семьей суши"
    ).split()
    assert len(said) > 50
    for word in said:
        assert lemma(word) == analyser.parse(word)[0].normal_form.replace("ё", "е"), word


def test_terms_are_stems_lemmas_and_codes_without_stop_words() -> None:
    found = terms("The dogs of Ёжик run v2.13.0 for anna@example.org 🎉")
    assert {"sdog", "srun", "sежик", "lежик", "rv2_13_0", "ranna_example_org", "r🎉"} <= set(found.terms)
    assert not {f"s{word}" for word in ("the", "of", "for")} & set(found.terms)
    assert terms("don't I'm it's").terms == ()
    assert terms("Caroline's book").terms == terms("Caroline book").terms
    assert terms("月曜日").terms == ("r月曜", "r曜日", "r月", "r曜", "r日")
    assert "the" in STOP_WORDS
    assert "и" in STOP_WORDS


@given(st.text())
def test_terms_are_safe_to_index_whatever_the_text(text: str) -> None:
    found = terms(text)
    assert found.num_words >= 0
    assert all(term and len(term) <= 60 and not set(term) & set(" '\"\\\0\n") for term in found.terms)


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("The quick brown fox jumps over the lazy dog. " * 20, 180, 260),  # o200k: 10 a sentence
        ("Съешь ещё этих мягких французских булок, да выпей чаю. " * 20, 280, 400),  # o200k: about 16
        ("", 0, 0),
        ("a", 1, 1),
        ("你好世界", 4, 4),
    ],
)
def test_tokens_are_estimated_for_both_languages(text: str, least: int, most: int) -> None:
    assert least <= estimate_tokens(text) <= most


@given(st.text(), st.text())
def test_a_longer_text_never_weighs_less(first: str, second: str) -> None:
    assert estimate_tokens(first + second) >= estimate_tokens(first)


def test_stop_words_and_sentences_cost_no_dictionary() -> None:
    program = (
        "import sys; from interconnected_ai.text import normalize, sentences, STOP_WORDS, estimate_tokens\n"
        "heavy = {'torch', 'tokenizers', 'pymorphy3', 'Stemmer', 'numpy'}\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules} & heavy))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""


@examples(200)
@given(st.text(alphabet='aБ1. \n\t!?…"»)-г', max_size=60))
def test_sentences_are_those_of_a_slow_look_at_everything(text: str) -> None:
    end = re.compile(prose._SENTENCE_END.pattern.replace("|\\n", r"|\s*\n\s*"))
    wanted: list[str] = []
    for part in filter(None, map(str.strip, end.split(text))):
        if wanted and prose._ABBREVIATION.search(wanted[-1]):
            wanted[-1] += " " + part
        else:
            wanted.append(part)
    assert sentences(text) == wanted


def test_long_runs_of_spaces_and_of_abbreviations_cost_no_more_than_other_text() -> None:
    """With a look back over all that came before, either would take hours."""
    assert sentences("a" + 400_000 * " " + "b") == ["a" + 400_000 * " " + "b"]
    assert len(sentences(200_000 * "Mr. ")) == 1


def test_long_tokens_are_not_remembered() -> None:
    analyzer._remembered_terms.cache_clear()
    first, again = terms("word " + 1000 * "QUJD"), terms("word " + 1000 * "QUJD")
    assert first == again
    assert analyzer._remembered_terms.cache_info().currsize == 1
