"""A context keeps its budget to the token, and drops what is missed least first."""

import pytest

from interconnected_ai.memory.context import Parts, fit
from interconnected_ai.memory.records import Message, Summary
from interconnected_ai.memory.rendering import ENGLISH
from memory_stores import count_words


def message(number: int, content: str) -> Message:
    return Message(str(number), "u", "s", number, "user", content, 0.0, count_words(content), "current", number, False)


def summary(number: int, text: str) -> Summary:
    return Summary(number, "stale", number, number, 0.0, 0.0, 10, text, count_words(text), "extractive")


def full_parts() -> Parts:
    return Parts(
        ENGLISH,
        pins=["> pin one", "> pin two"],
        facts=["> fact one", "> fact two"],
        timeline=[(1, summary(1, "said early")), (0, summary(2, "said late"))],
        evidence=[(1, message(1, "less"), "less"), (0, message(2, "more"), "more"), (2, message(3, "least"), "least")],
        last=[(message(4, "older"), "older"), (message(5, "newest"), "newest")],
    )


def needed(parts: Parts) -> int:
    """Tokens of the larger of the two forms."""
    block = parts.block()
    return max(count_words(parts.text(block)), sum(count_words(one["content"]) for one in parts.messages(block)))


def test_what_fits_to_the_token_is_left_whole() -> None:
    whole = needed(full_parts())
    parts = full_parts()
    text, messages, num_tokens = fit(parts, whole, count_words)
    assert num_tokens == whole == count_words(text)
    assert "> fact two" in text
    assert len(parts.evidence) == 3
    assert messages[-1]["content"] == "newest"


@pytest.mark.parametrize("over", [1, 2, 3, 5, 8])
def test_a_single_token_over_the_budget_is_over_it(over: int) -> None:
    parts = full_parts()
    budget = needed(full_parts()) - over
    text, messages, num_tokens = fit(parts, budget, count_words)
    assert num_tokens <= budget
    assert count_words(text) <= budget
    assert sum(count_words(one["content"]) for one in messages) <= budget
    assert "least" not in text
    assert "more" in text


def test_the_larger_of_text_and_messages_is_what_is_counted() -> None:
    parts = Parts(ENGLISH, last=[(message(1, "one two three"), "one two three")], has_frame=False)

    def count(text: str) -> int:  # the text form quotes the message, the message form does not
        return 100 if text.startswith("one") else 1

    assert fit(parts, 100, count)[2] == 100
    assert fit(Parts(ENGLISH, last=list(parts.last), has_frame=False), 99, count) == ("", (), 0)


def test_things_go_in_the_order_in_which_they_are_missed() -> None:
    parts = full_parts()
    words = ("least", "less", "more", "early", "late", "fact two", "fact one", "older", "newest", "pin two", "pin one")
    order = []
    while True:
        before = parts.text(parts.block())
        if not parts.drop_least():
            break
        after = parts.text(parts.block())
        order += [word for word in words if word in before and word not in after]
    assert order == list(words)
    assert parts.has_frame is False
    assert fit(parts, 1, count_words) == ("", (), 0)


def test_nothing_at_all_takes_no_tokens() -> None:
    assert fit(Parts(ENGLISH), 1, lambda text: 7) == ("", (), 0)
