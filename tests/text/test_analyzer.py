"""What can be searched for: words glued to others, scripts without spaces, names that are stop words, other ways to write."""

import unicodedata

import pytest

from interconnected_ai.text import can_search, terms
from interconnected_ai.text.analyzer import analyzer_signature

pytest.importorskip("Stemmer", reason='needs the extra "memory"')
pytest.importorskip("pymorphy3", reason='needs the extra "memory"')


def found(said: str, asked: str) -> bool:
    """Whether every term of a question stands in what was said."""
    wanted = set(terms(asked).terms)
    return bool(wanted) and wanted <= set(terms(said).terms)


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("我的iPhone坏了", "iPhone"),
        ("我的iPhone坏了", "坏了"),
        ("купил USBшный кабель", "USB"),
        ("приложениеTelegram", "Telegram"),
        ("приложениеTelegram", "приложение"),
        ("갤럭시S24를 샀어", "S24"),
        ("アイフォンiPhoneを買った", "iphone"),
        ("天" * 60 + "北京", "北京"),
        ("我住在北京。" * 30 + "我喜欢熊猫", "熊猫"),
        ("ฉันชอบ" * 30 + "แมว", "แมว"),
    ],
)
def test_words_are_found_whatever_they_are_glued_to(said: str, asked: str) -> None:
    assert found(said, asked)


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("我家有一只猫，叫咪咪", "猫"),
        ("东京的天气很好", "天气"),
        ("明日は会議があります", "会議"),
        ("カメラを買いました", "カメラ"),
        ("서울에서 고양이를 키워요", "고양이"),
        ("집에 가고 싶어", "집"),
        ("พรุ่งนี้ฉันจะไปเชียงใหม่", "เชียงใหม่"),
        ("أعيش في القاهرة منذ سنة", "القاهرة"),
        ("אני גר בתל אביב", "אביב"),
        ("मैं दिल्ली में रहता हूँ", "दिल्ली"),
        ("ខ្ញុំរស់នៅភ្នំពេញ", "ភ្នំពេញ"),
        ("Μένω στην Αθήνα", "Αθήνα"),
        ("Я живу в Києві з їжаком", "їжаком"),
    ],
)
def test_words_of_many_scripts_are_found(said: str, asked: str) -> None:
    assert found(said, asked)


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("ｉＰｈｏｎｅ　１５", "iPhone 15"),
        ("the ﬁle is here", "file"),
        ("ｶﾞﾗｽ", "ガラス"),
        ("𝓕𝓪𝓷𝓬𝔂 letters", "fancy"),
        ("Ⅳ. Symphony", "iv symphony"),
        ("a café in Bogotá", "bogota cafe"),
        ("Müllers Straße", "strasse"),
        ("İstanbul", "istanbul"),
        ("ΑΘΗΝΑ", "Αθηνα"),
        ("Nguyễn lives here", "nguyen"),
        ("зáмок на горе".replace("á", "а́"), "замок"),
        ("مُحَمَّد", "محمد"),
        ("الـــقاهرة", "القاهرة"),
        ("שָׁלוֹם", "שלום"),
        ("пере\u00adнос", "перенос"),
    ],
)
def test_other_ways_to_write_a_word_are_that_word(said: str, asked: str) -> None:
    assert found(said, asked)


def test_a_word_with_accents_is_found_with_them_however_they_are_encoded() -> None:
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert terms(unicodedata.normalize(form, "Zoë lives in Kraków, ガラス, 한국")) == terms(
            "Zoë lives in Kraków, ガラス, 한국"
        )


def test_signs_are_no_letters() -> None:
    assert terms("заказ №4711").terms == terms("заказ 4711").terms
    assert terms("Lego™").terms == terms("Lego").terms


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("Will lives in Oslo.", "Will"),
        ("I met May at work.", "Who is May?"),
        ("Will and May and Don came.", "Don"),
        ("She works in IT now.", "Does she do IT?"),
        ("We moved to the US in spring.", "US"),
        ("Том приехал вчера.", "Том"),
        ("Вчера видел Тома и Джерри", "Том"),
        ("Will's car is red.", "Will"),
        ("Tell Will May called.", "May"),
        ("What did Will do?", "Will"),
    ],
)
def test_names_that_are_stop_words_are_found(said: str, asked: str) -> None:
    assert set(terms(said).terms) & set(terms(asked).terms)


@pytest.mark.parametrize(
    "text",
    [
        "Will you?",
        "It was there. May I?",
        "May I?",
        "Will do.",
        "I will, it may.",
        "в том",
        "WHO WAS IT AND WHAT IS IT",
        "Don't.",
        "What was it?",
    ],
)
def test_stop_words_that_are_no_names_say_nothing(text: str) -> None:
    assert terms(text).terms == ()


def test_a_text_without_spaces_is_as_long_as_what_it_says() -> None:
    assert terms("我住在北京我喜欢熊猫").num_words == 5
    assert terms("Ya").num_words == 1


def test_indexes_of_earlier_versions_can_be_searched_and_others_cannot() -> None:
    assert can_search(analyzer_signature())
    assert can_search("snowball+pymorphy3/1")
    assert not can_search("snowball+pymorphy3/99")
    assert not can_search("older")
