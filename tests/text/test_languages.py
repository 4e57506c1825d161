"""Russian, English or another: right on real texts, right on the neighbours that look alike."""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from interconnected_ai.text import language_of

SENTENCES = {
    "Russian": [
        "Съешь же ещё этих мягких французских булок, да выпей чаю.",
        "сейчас я принесу",
        "Функция `np.dot` возвращает скалярное произведение двух векторов, если оба аргумента одномерны.",
        "Доктор ошибок не нашёл",
        "Привет, мир",
        "Установил PyTorch вчера",
        "Как настроить MultiheadAttention?",
    ],
    "English": [
        "The quick brown fox jumps over the lazy dog and runs away from it.",
        "Return the number of items.",
        "how do I activate my new card",
        "Hello world",
        "The word мир means both peace and world.",
        "But for instance the districts in Kraków do not have entitlements of powiat, unlike those in Gdańsk and Poznań.",
        "Lothar de Maizière is also a descendant of a Huguenot family, as is the minister Thomas de Maizière.",
        "def add(a, b): return a + b",
    ],
    "other": [
        "Der schnelle braune Fuchs springt über den faulen Hund und läuft dann in den Wald zurück.",
        "Le renard brun et rapide saute par-dessus le chien paresseux et rentre dans la forêt.",
        "El zorro marrón salta sobre el perro perezoso y luego vuelve al bosque por el camino viejo.",
        "Szybki brązowy lis przeskakuje nad leniwym psem i wraca do lasu starą drogą przez pole.",
        "Швидка руда лисиця перестрибує через ледачого пса, а потім повертається до лісу.",
        "Шпаркая рудая ліса пераскоквае цераз лянівага сабаку, а потым вяртаецца ў лес.",
        "Бързата кафява лисица прескача мързеливото куче, а после се връща обратно в гората по стария път.",
        "Брза смеђа лисица прескаче лењог пса, а затим се враћа у шуму.",
        "敏捷的棕色狐狸跳过了懒狗，然后回到森林里去了。",
        "الثعلب البني السريع يقفز فوق الكلب الكسول ثم يعود إلى الغابة",
    ],
    "none": ["", "  \n", "3.14 + 2 = 5.14", "---", "🙂🙂", "12345 !!"],
}


@pytest.mark.parametrize(("language", "text"), [(name, text) for name, texts in SENTENCES.items() for text in texts])
def test_a_sentence_is_in_its_language(language: str, text: str) -> None:
    assert language_of(text) == language


def shares(texts: list[str]) -> dict[str, float]:
    return {name: count / len(texts) for name, count in Counter(map(language_of, texts)).items()}


def test_nearly_all_real_texts_are_in_their_language(shared_data: Path) -> None:
    for code, language in (("ru", "Russian"), ("en", "English")):
        articles = json.loads((shared_data / f"xquad/xquad.{code}.json").read_text(encoding="utf-8"))["data"]
        paragraphs = [p for article in articles for p in article["paragraphs"]]
        questions = [question["question"] for paragraph in paragraphs for question in paragraph["qas"]]
        assert shares([paragraph["context"] for paragraph in paragraphs])[language] > 0.98
        assert shares(questions)[language] > 0.97
    with (shared_data / "banking77/test.csv").open(encoding="utf-8") as file:
        assert shares([row["text"] for row in csv.DictReader(file)])["English"] > 0.99
    facts = (shared_data / "koziev/facts6_1s.txt").read_text(encoding="utf-8").splitlines()
    assert shares(facts[:5000])["Russian"] > 0.98
