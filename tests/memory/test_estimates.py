"""What a context takes by the estimate: a sum of what was counted when messages were added, the same as of the whole text."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.memory import Context, SQLiteStore, ThreeLevelMemory, rendering, restore
from interconnected_ai.memory.editing import edit
from interconnected_ai.memory.log import new_message, session_number
from interconnected_ai.memory.migration import migrate
from interconnected_ai.memory.quoting import content_thousandths
from interconnected_ai.memory.records import Message
from interconnected_ai.memory.rendering import ENGLISH, RUSSIAN, estimate_of, joined, message_lines
from interconnected_ai.text import estimate_tokens, token_thousandths
from memory_stores import MakeMemory, message_of
from properties import examples

QUESTIONS = ("what about alpha?", "Что сказано о маяке?", "message 7", "nothing that anybody said")
SAID = (
    "Моя собака любит гулять у маяка.\n\n  И плавать: 12345 раз!",
    "alpha\r\nbravo\u2028charlie\x07",
    "   ",
    "  def main():\n    return 1\n",
    "灯台 и lighthouse v2.13.0 …",
    "",
)


def opened(path: Path) -> ThreeLevelMemory:
    return ThreeLevelMemory(SQLiteStore(path, synchronous="OFF"), background=False, time_zone="UTC")


def talked(memory: ThreeLevelMemory) -> None:
    for number in range(60):
        role = ("user", "assistant", "Ann", "tool\nresult")[number % 4]
        memory.add(
            role, f"{message_of(number)} alpha {number}" if number % 3 else SAID[number // 3 % 6], id=str(number)
        )
    memory.pin("Отвечай кратко.\nVery briefly.")
    memory.set_fact("lives in", "Riga")
    memory.add("user", "alpha elsewhere", session="another", id="elsewhere")
    memory.add("user", "alpha of days to come", time="2999-01-01", id="ahead")
    memory.catch_up()


def contexts(memory: ThreeLevelMemory) -> list[Context]:
    return [memory.context(one, budget_tokens=budget) for one in QUESTIONS for budget in (60, 300, 900, 13_000)]


def told(memory: ThreeLevelMemory) -> list[tuple[Any, ...]]:
    return [(one.text, one.messages, one.num_tokens, one.source_ids, one.summarised_ids) for one in contexts(memory)]


def noted(memory: ThreeLevelMemory) -> list[tuple[str, int | None]]:
    with memory.store.read() as rows:
        return [
            (content, value) for content, value in rows.all("SELECT content, thousandths FROM messages ORDER BY number")
        ]


def as_of_before(path: Path) -> None:
    """Make a file what the version of before would have left."""
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE messages DROP COLUMN thousandths")
        connection.execute("UPDATE meta SET value = '3' WHERE name = 'schema_version'")
        connection.execute("PRAGMA user_version = 3")
    connection.close()


_roles = st.sampled_from(["user", "assistant", "Ann", "two\nlines", " a  b ", "Б7", "x" * 40, "\u200b.", "tool:"])
_contents = st.text(st.sampled_from("aabeBU10 \n\r\t.,:>kЁя—한\u2028\x07"), max_size=40) | st.text(max_size=40)


@examples(200)
@given(
    messages=st.lists(st.tuples(_roles, _contents, st.booleans(), st.booleans(), st.integers(1, 10**6)), max_size=6),
    is_russian=st.booleans(),
)
def test_lines_of_messages_add_up_to_the_estimate_of_their_text(
    messages: list[tuple[str, str, bool, bool, int]], is_russian: bool
) -> None:
    shown = [
        Message(
            str(n), "u", "here" if is_here else "there", place, role, content, 1e9 + 40_000 * n, 1, "current", n, False,
            is_ahead, content_thousandths(content),
        )
        for n, (role, content, is_here, is_ahead, place) in enumerate(messages)
    ]  # fmt: skip
    lines = list(message_lines([(m, m.content) for m in shown], None, RUSSIAN if is_russian else ENGLISH, "here"))
    without_days = [line for line in lines if line[1] is not None]
    assert len(without_days) == len(shown)
    for some in (lines, without_days, [(ENGLISH.preface, None), *lines], lines[:1], []):
        assert estimate_of(some) == estimate_tokens(joined(some))


def test_a_half_is_decided_by_the_text_itself() -> None:
    halves = [text for n in range(3_000) if token_half(text := f"a {'б' * (n % 97)}{n} {'.' * (n % 5)}")]
    assert halves
    for text in halves:
        assert estimate_of([(text, None)]) == estimate_tokens(text)


def token_half(text: str) -> bool:
    return token_thousandths(text) % 1_000 == 500


def test_the_tokens_of_a_context_are_the_estimate_of_its_text(make: MakeMemory) -> None:
    memory = make(count_tokens=estimate_tokens)
    talked(memory)
    for context in contexts(memory):
        assert context.num_tokens == estimate_tokens(context.text)


def test_words_of_messages_are_not_counted_again_for_a_context(
    make: MakeMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = make(count_tokens=estimate_tokens)
    talked(memory)
    counted: list[str] = []

    def count(text: str) -> int:
        counted.append(text)
        return token_thousandths(text)

    monkeypatch.setattr(rendering, "token_thousandths", count)
    monkeypatch.setattr(rendering, "estimate_tokens", lambda text: pytest.fail("the whole text was estimated"))
    context = memory.context("alpha", budget_tokens=900)
    assert len(context.source_ids) > 10
    assert counted
    assert not any("alpha 1" in text for text in counted)


def test_what_is_noted_follows_the_words(make: MakeMemory) -> None:
    memory = make()
    talked(memory)
    with memory.store.write() as rows:
        new = new_message("user", "quite other words, 1234567", time=1e9, id="1", num_tokens=9)
        assert edit(memory.store, rows, session_number(rows, "default", "default"), new, 1e9, embeds=False)
    memory.add("user", "said before everything else", time=1e9, id="late")
    memory.catch_up()
    assert ("quite other words, 1234567", content_thousandths("quite other words, 1234567")) in noted(memory)
    assert all(value == content_thousandths(content) for content, value in noted(memory))
    assert memory.check().is_whole


def test_a_check_says_what_is_noted_wrongly_and_a_rebuild_makes_it_anew(make: MakeMemory) -> None:
    memory = make(count_tokens=estimate_tokens)
    talked(memory)
    before = told(memory)
    with memory.store.write() as rows:
        (number,) = rows.column("SELECT number FROM messages WHERE id = '1'")
        rows.run("UPDATE messages SET thousandths = thousandths + 1 WHERE number = ?", number)
    assert memory.check().unexplained == (f"message {number} does not add what is noted to the estimate of a context",)
    memory.rebuild()
    memory.catch_up()
    assert memory.check().is_whole
    assert told(memory) == before


def test_a_store_of_before_has_it_noted_once_it_is_opened(make: MakeMemory) -> None:
    memory = make(count_tokens=estimate_tokens)
    talked(memory)
    before, kept = told(memory), noted(memory)
    with memory.store.write() as rows:
        rows.run("UPDATE messages SET thousandths = NULL")
        rows.run("UPDATE meta SET value = '3' WHERE name = 'schema_version'")
    assert told(memory) == before
    assert memory.check().is_whole
    migrate(memory.store)
    assert noted(memory) == kept
    assert told(memory) == before


def test_a_file_of_before_has_it_noted_once_it_is_opened_and_says_the_same(tmp_path: Path) -> None:
    file = tmp_path / "memory.db"
    with opened(file) as memory:
        talked(memory)
        before, kept = told(memory), noted(memory)
    as_of_before(file)
    with opened(file) as memory:
        assert noted(memory) == kept
        assert told(memory) == before
        assert memory.check().is_whole


def test_a_file_of_before_that_cannot_be_written_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "memory.db"
    with opened(file) as memory:
        talked(memory)
        before = told(memory)
    as_of_before(file)
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everything
    with opened(file) as memory:
        assert not memory.store.is_writable
        assert told(memory) == before
        assert memory.check().is_whole
        assert len(list(memory.search("alpha"))) == 10
    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (3,)
    connection.close()


def test_a_copy_of_before_may_be_restored_under_those_who_have_it_open(tmp_path: Path) -> None:
    file, copy = tmp_path / "memory.db", tmp_path / "copy.db"
    with opened(file) as memory:
        talked(memory)
        before, kept = told(memory), noted(memory)
        memory.backup(copy)
        as_of_before(copy)
        memory.add("user", "alpha of later", id="later")
        restore(copy, file, overwrite=True)
        assert told(memory) == before
        assert noted(memory) == kept
        memory.add("user", "alpha of later still", id="later")
        assert all(value == content_thousandths(content) for content, value in noted(memory))
