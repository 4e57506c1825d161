"""Long messages in part: what stays within its tokens, what is chosen, and what stands beside it."""

from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.memory.passages import ends_of, passages_of
from interconnected_ai.memory.records import Message
from interconnected_ai.memory.rendering import ENGLISH
from interconnected_ai.text import estimate_tokens, terms
from memory_stores import count_words

MARK = "[cut here: {} tokens in all] [whole: #9]"


def message(content: str) -> Message:
    return Message("m", "u", "s", 9, "user", content, 0.0, count_words(content), "current", 9, False)


def asked(question: str) -> tuple[str, ...]:
    return terms(question).terms


def filler(first: int, last: int) -> str:
    return " ".join(f"Line {number} tells of the weather." for number in range(first, last))


def test_a_message_that_fits_is_itself() -> None:
    said = message("one two three")
    assert ends_of(said, 3, ENGLISH, count_words) is said.content
    assert ends_of(said, 2, ENGLISH, count_words) == "one …"
    assert ends_of(said, 0, ENGLISH, count_words) == ""


@given(words=st.lists(st.text("abc \n", min_size=1, max_size=9), max_size=60), most=st.integers(0, 60))
def test_the_ends_of_a_message_keep_within_their_tokens(words: list[str], most: int) -> None:
    said = message(" ".join(words))
    shown = ends_of(said, most, ENGLISH, count_words)
    assert count_words(shown) <= most or (shown is said.content and said.num_tokens <= most)
    mark = MARK.format(said.num_tokens)
    head, _, tail = shown.partition(f" … {mark} … ")
    if tail:
        assert said.content.startswith(head)
        assert said.content.endswith(tail)
        assert len(head) + len(tail) <= len(said.content)


def test_a_message_without_spaces_is_cut_all_the_same() -> None:
    said = message("x" * 5_000)
    long = Message("m", "u", "s", 9, "user", said.content, 0.0, estimate_tokens(said.content), "current", 9, False)
    shown = ends_of(long, 60, ENGLISH, estimate_tokens)
    assert 30 < estimate_tokens(shown) <= 64
    assert shown.startswith("xx")
    assert shown.endswith("xx")


def test_passages_are_what_was_asked_for_with_what_stands_beside_it_in_the_order_of_the_message() -> None:
    said = message(f"{filler(0, 50)} The vault opens with a violet key. It hangs by the stairs. {filler(50, 90)}")
    shown = passages_of(said, asked("Which key opens the vault?"), 40, ENGLISH, count_words)
    assert "Line 49 tells of the weather. The vault opens with a violet key. It hangs by the stairs." in shown
    assert shown.endswith(f" … {MARK.format(said.num_tokens)}")
    assert count_words(shown) <= 40


def test_rare_words_of_the_question_come_before_those_that_every_sentence_has() -> None:
    said = message(f"{filler(0, 30)} A comet crossed the weather map. {filler(30, 60)}")
    shown = passages_of(said, asked("comet and weather"), 22, ENGLISH, count_words)
    assert "A comet crossed the weather map." in shown
    assert "Line 0" not in shown


def test_passages_apart_are_marked_as_apart() -> None:
    said = message(f"The red fox sleeps. {filler(0, 40)} The red fox wakes.")
    shown = passages_of(said, asked("red fox"), 60, ENGLISH, count_words)
    assert shown.startswith("The red fox sleeps. Line 0 tells of the weather. … ")
    assert "Line 39 tells of the weather. The red fox wakes." in shown


def test_words_in_another_form_are_found_and_a_message_without_any_gives_nothing() -> None:
    said = message(f"{filler(0, 20)} Мы ждали детей на вокзале. {filler(20, 40)}")
    assert "Мы ждали детей" in passages_of(said, asked("вокзал"), 40, ENGLISH, count_words)
    assert passages_of(said, asked("xylophone"), 40, ENGLISH, count_words) == ""
    assert passages_of(said, (), 40, ENGLISH, count_words) == ""
    assert passages_of(said, asked("вокзал"), 8, ENGLISH, count_words) == ""
