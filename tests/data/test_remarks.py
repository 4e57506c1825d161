"""What is odd about rows and no error is told in words, from one place."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.config import refusal_for
from interconnected_ai.data import Remark, Rows, Splits, remarks_on
from properties import examples


def rows_with(*labels: str | None) -> Rows:
    return Rows([f"text {number}" for number in range(len(labels))], {"bank": list(labels)})


def told(*labels: str) -> str:
    return " | ".join(map(str, remarks_on(rows_with(*labels))))


def test_rows_in_order_leave_nothing_to_say() -> None:
    assert remarks_on(rows_with("card", "fee", "card", "C", "C++", "ё", "е")) == ()
    assert remarks_on(Rows(["a", "b"], {})) == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Spam", "spam"),
        (unicodedata.normalize("NFC", "Счёт"), unicodedata.normalize("NFD", "Счёт")),
        ("spam", "sp\u200bam"),
        ("spam", "spam\ufeff"),
        ("no card", "no\u00a0card"),
        ("no card", "no  card"),
        ("cop", "\u0441\u043e\u0440"),
        ("\u041c\u041e\u0421\u041a\u0412\u0410", "MOCKBA"),
        ("1", "1.0"),
        ("ﬁne", "fine"),
        ("true", "True"),
    ],
)
def test_labels_that_look_alike_are_told_with_their_rows(one: str, other: str) -> None:
    said = told(one, one, other)
    assert "labels distinct: classes of 'bank' look alike" in said
    assert "(2 rows)" in said
    assert "(1 rows)" in said
    assert (ascii(other) in said) or other.isascii()  # escapes where eyes cannot tell


def test_look_alikes_are_found_between_what_is_learnt_and_what_is_held_out() -> None:
    train, test = rows_with("Spam", "ham"), rows_with("spam", "ham")
    conflict, remark = remarks_on(Splits(train, train.select([]), test))
    assert conflict.evidence == "bank: 1 texts, the first 'text 0' is Spam and spam"
    assert "'Spam' (1 rows), 'spam' (1 rows)" in remark.evidence


@examples(100)
@given(st.lists(st.text(max_size=4), min_size=1, max_size=6, unique=True))
def test_any_labels_can_be_looked_at(labels: list[str]) -> None:
    for remark in remarks_on(rows_with(*labels)):
        str(remark).encode("utf-8", "backslashreplace")
    assert refusal_for(labels) not in labels


def test_characters_that_cannot_be_seen_are_told_even_where_nothing_looks_like_them() -> None:
    assert r"cannot be seen, such as 'spam\u200b'" in told("spam\u200b", "ham")
    assert r"such as 'a\x00'" in told("a\x00", "ham")
    assert told("\U0001f469\u200d\U0001f4bb", "\u0645\u06cc\u200c\u062e") == ""  # joiners that belong to their words


def test_words_for_nothing_and_the_class_unknown_are_told() -> None:
    assert "'bank' has the class 'None' (2 rows), 'nan' (1 rows)" in told("None", "None", "nan", "x")
    assert told("none", "other") == ""
    said = told("unknown", "x")
    assert "'bank' has a class 'unknown', which is also the answer below the threshold" in said
    assert "'(unknown)'" in said


def test_conflicts_and_unlabelled_rows_are_told_and_the_readers_remarks_go_with_the_rows() -> None:
    read = Remark("rows as written", "something", "do something")
    rows = Rows(["Pay now", "pay  NOW", "x"], {"bank": ["a", "b", None]}, (read,))
    told_first, unlabelled, conflict = remarks_on(rows)
    assert told_first == read
    assert unlabelled.evidence.startswith("1 of 3 rows have no label")
    assert conflict.evidence == "bank: 1 texts, the first 'pay now' is a and b"
    assert rows == Rows(rows.texts, rows.labels)
    joined = Rows.joined([rows.select([0]), rows.select([1])])
    assert joined.remarks == (read,)
