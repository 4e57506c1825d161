"""Rules without a model: facts in first-person sentences, weighty sentences, places, ranks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.memory.compression import cut_to, extract_summary, fault_of, key_items, target_tokens
from interconnected_ai.memory.fact_rules import statements
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
from interconnected_ai.memory.ranking import best_first, bm25, fuse, lend_to_neighbours
from interconnected_ai.memory.vectors import MOST_PARTS, PART_CHARS, parts_of
from memory_stores import count_words

# Facts

SAID = {
    "My name is Anna Karenina.": [("name", "Anna Karenina")],
    "Please call me Bob": [("name", "Bob")],
    "I live in New York and I love jazz.": [("lives in", "New York"), ("likes", "jazz")],
    "I've just moved to Berlin": [("lives in", "Berlin")],
    "I'm from Georgia originally.": [("comes from", "Georgia")],
    "I work at Siemens as usual": [("works at", "Siemens")],
    "I work as a nurse.": [("works as", "nurse")],
    "I'm 34 years old.": [("age", "34")],
    "My birthday is on May 5.": [("birthday", "May 5")],
    "I don't like mushrooms, but I enjoy olives.": [("dislikes", "mushrooms"), ("likes", "olives")],
    "I can't stand loud music!": [("dislikes", "loud music")],
    "I prefer tea over coffee.": [("prefers", "tea over coffee")],
    "I'm allergic to peanuts.": [("allergic to", "peanuts")],
    "My favorite film is Stalker.": [("favourite film", "Stalker")],
    "My dog's name is Rex.": [("dog is called", "Rex")],
    "My wife is called Mary Ann": [("wife is called", "Mary Ann")],
    "Always answer in Russian.": [("instruction", "Always answer in Russian")],
    "Please never show me spoilers.": [("instruction", "Please never show me spoilers")],
    "We decided to postpone the launch": [("decided", "postpone the launch")],
    "I'm planning to visit Japan.": [("plans", "visit Japan")],
    "The deadline is March 15": [("deadline", "March 15")],
    "I have two cats.": [("has", "cats")],
    "Меня зовут Иван Петров.": [("name", "Иван Петров")],
    "Я живу в Москве, а работаю в Химках.": [("lives in", "Москве")],  # a town is no employer
    "Я недавно переехала в Тбилиси.": [("lives in", "Тбилиси")],
    "Я из Омска.": [("comes from", "Омска")],
    "Я работаю в больнице.": [("works at", "больнице")],
    "Я работаю учителем.": [("works as", "учителем")],
    "Мне 34 года.": [("age", "34")],
    "Мой день рождения 5 мая.": [("birthday", "5 мая")],
    "Я очень люблю джаз.": [("likes", "джаз")],
    "Я не люблю грибы.": [("dislikes", "грибы")],
    "Мне не нравится шум.": [("dislikes", "шум")],
    "Мне нравится тишина.": [("likes", "тишина")],
    "Я предпочитаю чай.": [("prefers", "чай")],
    "У меня аллергия на арахис.": [("allergic to", "арахис")],
    "Мой любимый фильм — Сталкер.": [("favourite фильм", "Сталкер")],
    "Мою собаку зовут Рекс.": [("собака is called", "Рекс")],
    "Всегда отвечай по-русски.": [("instruction", "Всегда отвечай по-русски")],
    "Запомни, что код от двери 4512.": [("instruction", "Запомни, что код от двери 4512")],
    "Мы решили отложить запуск.": [("decided", "отложить запуск")],
    "Я собираюсь поехать в Японию.": [("plans", "поехать в Японию")],
    "У меня есть две кошки.": [("has", "две кошки")],
    "My sister Ann, who's a vet, lives in Perth.": [
        ("sister is called", "Ann"),
        ("sister works as", "vet"),
        ("sister lives in", "Perth"),
    ],
    "I have two cats and a parrot.": [("has", "cats"), ("has", "parrot")],
    "I was diagnosed with type 2 diabetes.": [("illness", "type 2 diabetes")],
    "We recently moved to Ghent and bought a narrowboat": [("lives in", "Ghent"), ("has", "narrowboat")],
    "im 34, single and based in Oslo": [("age", "34"), ("relationship", "single"), ("lives in", "Oslo")],
    "I've got a new job as a chef at Alba": [("works at", "Alba"), ("works as", "chef")],
    "I play the cello and I'm scared of heights": [("hobby", "cello"), ("afraid of", "heights")],
    "в Осаке я всё ещё живу, а брат инженером в Роскосмосе работает": [
        ("lives in", "Осаке"),
        ("брат works as", "инженером"),
        ("брат works at", "Роскосмосе"),
    ],
    "Мне 27, замужем, живу с мужем в Химках": [("age", "27"), ("relationship", "замужем"), ("lives in", "Химках")],
    "понедельники ненавижу": [("dislikes", "понедельники")],
    "Врач говорит, у меня высокий холестерин": [("illness", "высокий холестерин")],
    "Do you think I live in Paris?": [],
    "Ann lives in Paris.": [],
    "> I live in Paris": [],
    "```\nI live in Paris\n```": [],
    "I like it.": [],
    "": [],
}


@pytest.mark.parametrize("sentence", SAID)
def test_first_person_sentences_are_facts(sentence: str) -> None:
    assert [(s.relation, s.value) for s in statements(sentence, "user")] == SAID[sentence]


TASTES = ("likes", "dislikes", "prefers")
MANY_VALUED = (*TASTES, "allergic to", "decided", "has", "plans", "instruction", "illness", "hobby", "afraid of")


@pytest.mark.parametrize("sentence", SAID)
def test_tastes_are_preferences_and_a_subject_has_one_home_one_name_one_favourite(sentence: str) -> None:
    for found in statements(sentence, "user"):
        is_taste = found.relation in TASTES or found.relation.startswith("favourite")
        kind = "instruction" if found.relation == "instruction" else "preference" if is_taste else "fact"
        assert (found.kind, found.is_single) == (kind, found.relation not in MANY_VALUED)


NO_FACTS = (
    "She said I live in a bubble.",
    'He told me "I live in Berlin and I love techno".',
    "Translate into French: I am a doctor and I live in Lyon.",
    "Dear Mr Smith, I work at Acme and I would like to apply. Best regards, Joan",
    "If I lived in Madrid, I'd walk everywhere.",
    "Never mind, I found it.",
    "Always a pleasure.",
    "Call me Monday.",
    "We practically live in the office.",
    "Если бы я жил в Париже, ел бы круассаны.",
    "Начальник думает, что я мало работаю.",
    "Переведи: Я врач и живу в Туле.",
    "Никогда не говори никогда.",
)


@pytest.mark.parametrize("said", NO_FACTS)
def test_quotations_reports_conditions_idioms_and_jokes_are_no_facts(said: str) -> None:
    assert list(statements(said, "user")) == []


# As users of such systems have reported them: whose words they are, what is denied, what is over, what only might be.
REPORTED = {
    "Yesterday my good friend Jack said that he didn't like football, but his father enrolled him in a class.": [],
    "What are the KPIs for user Christophe?": [],
    "I hate cilantro in my food": [("dislikes", "cilantro in my food", "")],
    "I do not like dark mode": [("dislikes", "dark mode", "")],
    "I no longer like Vim": [("dislikes", "Vim", "")],
    "The client can not stand excessive notifications": [],
    "My current favorite football player is Messi": [("favourite football player", "Messi", "")],
    "I don't hate jazz.": [],
    "Oh sure, I just adore waiting in line for hours": [],
    "I used to live in Riga": [("lives in", "Riga", "value")],
    "I was going to study medicine but then the war came": [],
    "Had I stayed in Dublin, I would have kids by now": [],
    "Act as a nutritionist. I am your client, a 30-year-old vegan.": [],
    "Peter works as a plumber and lives in Hull": [],
    "My name isn't Bob and I don't live in York": [],
    "Maybe I'm allergic to mornings, who knows": [],
    "I'm trying to classify a triangle with sides 9, 12 and 15": [],
    "Ага, прямо обожаю стоять в очередях": [],
    "Меня зовут не Боря": [],
    "Может, перееду в Тбилиси": [],
    "Папа сказал, что мы переезжаем в Тулу": [],
    "Брат мечтает о собаке": [],
}


@pytest.mark.parametrize("said", REPORTED)
def test_others_words_denials_ends_and_what_only_might_be_are_told_from_facts(said: str) -> None:
    assert [(s.relation, s.value, s.ends) for s in statements(said, "user")] == REPORTED[said]


REPEATED = (
    "both ",
    "a bit ",
    "and be a ",
    "my sister ",
    "у меня ",
    "не так ",
    "пять лет ",
    ", I ",
    "очень, ",
    "очень ",
    "I ",
    "I am ",
    "hi \n",
    "\n",
    "fix ",
    "и я ",
    "my ",
    "I live in and ",
    "'a b ",
)


@pytest.mark.parametrize("piece", REPEATED, ids=ascii)
def test_a_word_that_is_said_again_and_again_is_read_to_its_end(piece: str) -> None:
    """With two ways to read each of them this would not come back."""
    assert len(list(statements(piece * (20_000 // len(piece)), "user"))) <= 5
    assert len(list(statements(f"I {piece * (500 // len(piece))}.", "user"))) <= 5


def test_who_speaks_is_the_subject_and_twice_the_same_is_once() -> None:
    assert {s.subject for s in statements("I live in Paris. I live in Paris.", "Caroline")} == {"Caroline"}
    assert len(list(statements("I live in Paris. I live in Paris.", "Caroline"))) == 1


@given(st.text(max_size=400))
def test_any_text_can_be_read_for_facts(text: str) -> None:
    for statement in statements(text, "user"):
        assert statement.value


# Sentences that stay


def test_the_sentences_that_stay_carry_names_numbers_dates_and_decisions_and_say_it_once() -> None:
    said = [
        ("It was a long and rather quiet day, as days go. We decided to meet Anna Petrova on 14 May at 15:30.", False),
        ("We decided to meet Anna Petrova on 14 May at 15:30. Nothing more came of it in the end, really.", False),
        ("The budget is 12,500 dollars. Some more words that say nothing at all to anybody here.", False),
    ]
    summary = extract_summary(said, 22, count_words)
    assert "Anna Petrova on 14 May at 15:30" in summary
    assert "12,500" in summary
    assert summary.count("Anna") == 1
    assert count_words(summary) <= 22


@given(st.lists(st.tuples(st.text(max_size=120), st.booleans()), max_size=6), st.integers(1, 40))
def test_a_summary_keeps_to_its_room_and_to_the_words_of_its_source(said: list[tuple[str, bool]], room: int) -> None:
    summary = extract_summary(said, room, count_words)
    assert count_words(summary) <= room + 1  # the mark of a cut sentence
    source = " ".join(content for content, _ in said)
    assert all(word.rstrip("…") in source for word in summary.split())


def test_names_numbers_and_dates_are_key() -> None:
    assert key_items("Then Anna Petrova paid 12 500 on 2026-05-14 at 15:30") == {
        "anna petrova",
        "12500",
        "2026-05-14",
        "15:30",
    }


def test_a_name_may_bend_in_a_summary_but_not_vanish() -> None:
    required = frozenset({"москва", "4512"})
    source = "Мы долго обсуждали, что потом будет Москва, и записали код 4512 на бумажке."
    assert fault_of("Обсуждали Москву, код 4512.", source, required, count_words) == ""
    assert "drops 'москва'" in fault_of("Обсуждали код 4512.", source, required, count_words)
    assert "drops '4512'" in fault_of("Обсуждали Москву, код 45121.", source, required, count_words)


@given(st.text(max_size=200), st.integers(0, 30))
def test_cutting_keeps_a_beginning_that_fits(text: str, room: int) -> None:
    cut = cut_to(text, room, len)
    assert len(cut) <= max(room, 0)
    assert cut == text or text.startswith(cut.removesuffix(" …"))


def test_targets_follow_the_ratios() -> None:
    assert target_tokens(2_100, 7) == 300
    assert target_tokens(50, 7) == 10
    assert target_tokens(1, 7) == 1


# Numbers and ranks


@given(st.integers(0, 2**22), st.integers(0, MAX_PLACE), st.sampled_from(Kind), st.integers(0, 10**6))
def test_a_number_and_an_entry_hold_what_was_put_in(session: int, place: int, kind: Kind, length: int) -> None:
    number = number_of(session, place)
    assert (session_of(number), place_of(number)) == (session, place)
    entry = entry_of(number, kind, length)
    assert (number_in(entry), kind_in(entry)) == (number, kind)
    assert entry < 2**63
    if 0 < length < 50_000:
        assert LENGTHS[length_code(length)] == pytest.approx(length, rel=0.07)


def reference_bm25(documents: list[set[str]], lengths: list[int], asked: list[str]) -> list[float]:
    """By the book, one document after the other."""
    import math

    mean_length, found = sum(lengths) / len(lengths), []
    for document, length in zip(documents, lengths, strict=True):
        score = 0.0
        for term in asked:
            hits = sum(term in other for other in documents)
            if term in document:
                idf = math.log(1 + (len(documents) - hits + 0.5) / (hits + 0.5))
                score += idf * 2.2 / (1 + 1.2 * (0.25 + 0.75 * length / mean_length))
        found.append(score)
    return found


@given(st.lists(st.sets(st.sampled_from("abcdef"), min_size=1), min_size=1, max_size=12))
def test_bm25_is_that_of_the_book(documents: list[set[str]]) -> None:
    lengths = [len(document) for document in documents]
    entries = [entry_of(place, Kind.SPEECH, length) for place, length in enumerate(lengths)]
    postings = {term: [e for e, d in zip(entries, documents, strict=True) if term in d] for term in "abc"}
    postings = {term: hits for term, hits in postings.items() if hits}
    scores = bm25(
        postings, dict.fromkeys("abc", 1.0), num_entries=len(documents), mean_length=sum(lengths) / len(lengths)
    )
    expected = reference_bm25(documents, lengths, list("abc"))
    assert [scores.get(entry, 0.0) for entry in entries] == pytest.approx(expected, rel=1e-9)


def test_neighbours_lend_and_ranks_fuse() -> None:
    assert lend_to_neighbours({5: 1.0}, 0.5, 2) == {5: 1.0, 4: 0.5, 6: 0.5, 3: 0.25, 7: 0.25}
    assert lend_to_neighbours({5: 1.0, 6: 2.0}, 0.5) == {4: 0.5, 5: 2.0, 6: 2.5, 7: 1.0}
    assert best_first({1: 0.5, 2: 0.5, 3: 1.0}) == [3, 2, 1]
    assert best_first({1: 0.5, 2: 0.5, 3: 1.0}, 2) == [3, 2]
    fused = fuse([(1.0, [7, 8]), (0.5, [8])])
    assert fused == {7: 1 / 61, 8: 1 / 62 + 0.5 / 61}


@given(st.text(max_size=5_000))
def test_parts_for_an_encoder_are_short_and_in_order(content: str) -> None:
    parts = parts_of(content)
    assert len(parts) <= MOST_PARTS
    assert all(0 < len(part) <= PART_CHARS for part in parts)
    assert "".join("".join(parts).split()) == "".join(content.split())[: sum(len("".join(p.split())) for p in parts)]


def test_a_long_text_is_cut_between_words_and_a_long_word_within_itself() -> None:
    words = " ".join(f"word{number:05d}" for number in range(1_000))
    parts = parts_of(f"  {words}  ")
    assert len(parts) == MOST_PARTS
    assert words.startswith(" ".join(parts))
    assert all(PART_CHARS - 10 <= len(part) <= PART_CHARS for part in parts)
    assert [len(part) for part in parts_of("x" * (PART_CHARS + 1))] == [PART_CHARS, 1]
    assert parts_of("x" * PART_CHARS) == ["x" * PART_CHARS]
    assert parts_of(" \n") == []
