"""Messages come back word for word; what is none is refused."""

import re
from datetime import UTC, datetime

import pytest

from interconnected_ai.errors import DataError, UnknownNameError
from memory_stores import MakeMemory


def test_a_message_comes_back_word_for_word(make: MakeMemory) -> None:
    memory = make()
    odd = [
        "Ёлка\r\nи\tтаб",
        " leading and trailing ",
        "emoji 👩‍👩‍👧 🎉",
        "NUL \0 and \x1b[31m",
        "",
        "private \ue000 use",
        "ﷺ ﬁ Å",
        "日本語 текст mixed",
    ]
    ids = [memory.add("user", content) for content in odd]
    assert [(m.id, m.content) for m in memory.messages()] == list(zip(ids, odd, strict=True))


def test_the_same_id_twice_is_one_message_and_other_words_under_it_are_refused(make: MakeMemory) -> None:
    memory = make()
    assert memory.add("user", "once", id="a") == memory.add("user", "once", id="a") == "a"
    assert memory.stats().num_messages == 1
    with pytest.raises(DataError, match="'a' stands in session 'default' already"):
        memory.add("user", "twice", id="a")
    memory.add("user", "elsewhere", id="a", session="other")
    assert [m.content for m in memory.messages()] == ["once"]


@pytest.mark.parametrize(
    ("arguments", "settings_", "words"),
    [
        (("user", 7), {}, "content is int"),
        (("", "x"), {}, "role=''"),
        (("user", "x"), {"user": " "}, "user=' '"),
        (("user", "x"), {"session": "s" * 300}, "1 to 200 characters"),
        (("user", "x"), {"time": "yesterday"}, "ISO 8601"),
        (("user", "x"), {"time": float("nan")}, "time=nan"),
        (("user", "x"), {"time": 1e20}, "seconds since 1970"),
        (("user", "half \ud83d"), {}, "lone surrogate"),
    ],
)
def test_what_is_no_message_is_refused_and_nothing_of_it_kept(
    make: MakeMemory, arguments: tuple[str, str], settings_: dict[str, str], words: str
) -> None:
    memory = make()
    with pytest.raises(DataError, match=re.escape(words)):
        memory.add(*arguments, **settings_)
    assert memory.sessions() == []


def test_times_are_seconds_datetimes_or_iso_text(make: MakeMemory) -> None:
    memory = make()
    moment = datetime(2026, 3, 14, 9, 30, tzinfo=UTC)
    for time in (moment, moment.timestamp(), "2026-03-14T09:30", "2026-03-14T12:30+03:00"):
        memory.add("user", "at nine thirty", time=time)
    assert {m.time for m in memory.messages()} == {moment.timestamp()}


def test_a_session_that_is_not_there_is_named_with_those_that_are(make: MakeMemory) -> None:
    memory = make()
    memory.add("user", "x", session="holiday")
    with pytest.raises(UnknownNameError, match="'holiday'"):
        list(memory.messages(session="holidays"))
    assert memory.context("x", session="new one", scope="session").text == ""
    assert memory.search("x", session="new one", scope="session") == []
    assert [f.message.session for f in memory.search("x", session="new one")] == ["holiday"]
