"""A context uses its budget: what fits is all there, what is free is filled, what is long comes in part."""

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from interconnected_ai.errors import ConfigError
from interconnected_ai.memory import EVIDENCE_ONLY, Capacities, Context, Portions, ThreeLevelMemory
from interconnected_ai.memory.filling import Room, neighbours
from interconnected_ai.memory.rendering import ENGLISH, RUSSIAN
from interconnected_ai.memory.shares import shares_of
from interconnected_ai.text import estimate_tokens
from memory_stores import MakeMemory, count_words, message_of
from properties import examples

UNRELATED = "zebra xylophone"


def numbers_in(found: Context) -> list[int]:
    return sorted(int(id) for id in found.source_ids)


@pytest.mark.parametrize("query", ["n3x alpha", UNRELATED, "", "что было вчера?"])
@pytest.mark.parametrize("count_tokens", [count_words, estimate_tokens])
def test_where_everything_fits_everything_is_there(make: MakeMemory, query: str, count_tokens: object) -> None:
    memory = make(capacities=Capacities(300, 500, 500), count_tokens=count_tokens)
    for number in range(120):
        memory.add("user" if number % 2 else "assistant", message_of(number, 3 + number % 40), id=str(number))
    memory.add("user", "", id="120")
    memory.catch_up()
    found = memory.context(query)
    assert numbers_in(found) == list(range(121))
    assert found.summarised_ids == ()
    assert [message["content"] for message in found.messages[-3:-1]] == [message_of(n, 3 + n % 40) for n in (118, 119)]
    assert len(found.messages) == 11


@examples(15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(0, 60), min_size=1, max_size=60))
def test_a_budget_that_holds_the_whole_chat_with_a_fiftieth_to_spare_holds_it(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    file = tmp_path_factory.mktemp("fits") / "m.db"
    with ThreeLevelMemory(file, count_tokens=count_words, background=False) as memory:
        for number, size in enumerate(sizes):
            memory.add("user", " ".join(["word"] * size), id=str(number), time=3_000.0 * number)
        needed = memory.context(UNRELATED, budget_tokens=100_000)
        assert numbers_in(needed) == list(range(len(sizes)))
        budget = int((needed.num_tokens + 12) / 0.98) + 1
        assert numbers_in(memory.context(UNRELATED, budget_tokens=budget)) == list(range(len(sizes)))


@pytest.fixture
def long_chat(make: MakeMemory) -> ThreeLevelMemory:
    memory = make(capacities=Capacities(600, 1_000, 1_000))
    for number in range(300):
        memory.add("user", message_of(number), id=str(number))
    memory.catch_up()
    return memory


def test_what_the_hits_leave_free_is_filled_with_their_neighbours_and_the_newest(long_chat: ThreeLevelMemory) -> None:
    found = long_chat.context("n100x", budget_tokens=900)
    numbers = numbers_in(found)
    assert set(range(97, 104)) <= set(numbers)
    recent = [number for number in numbers if number > 110]
    assert recent == list(range(recent[0], 300))
    assert len(recent) > 15
    assert set(numbers) == {*range(94, 107), *recent} & set(numbers)
    assert 850 <= found.num_tokens <= 900


def test_neighbours_that_were_read_already_are_not_read_again(
    long_chat: ThreeLevelMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, room = long_chat.store, Room(1_000, count_words)
    with store.read() as rows:
        every = sorted(rows.column("SELECT number FROM messages"))
        known = store.outlines(rows, every)
        shown = [every[100], every[102]]
        near = [101, 99, 103, 98, 104, 97, 105]
        assert neighbours(store, rows, shown, room, {}) == [(every[n], 18) for n in near]
        assert (
            neighbours(store, rows, shown, Room(20, count_words), known) == []
        )  # 18 words and what stands before them
        monkeypatch.setattr(store, "outlines", lambda *_: pytest.fail("what is known was read"))
        assert neighbours(store, rows, shown, room, known) == [(every[n], 18) for n in near]


def test_a_question_that_hits_nothing_is_answered_with_the_newest(long_chat: ThreeLevelMemory) -> None:
    numbers = numbers_in(long_chat.context(UNRELATED, budget_tokens=900))
    assert numbers == list(range(300 - len(numbers), 300))
    assert len(numbers) > 30


def test_where_no_message_fits_any_more_summaries_take_what_is_left(make: MakeMemory) -> None:
    memory = make(capacities=Capacities(900, 2_000, 2_000))
    for number in range(8):
        memory.add("user", message_of(number, 450), id=str(number))
    memory.catch_up()
    found = memory.context(UNRELATED, budget_tokens=800)
    assert "Timeline, summarised:" in found.text
    assert sum(summary.text in found.text for summary in memory.summaries()) > 2


def test_evidence_only_fills_nothing(long_chat: ThreeLevelMemory) -> None:
    found = long_chat.context("n100x", budget_tokens=900, portions=EVIDENCE_ONLY)
    assert set(numbers_in(found)) == set(range(97, 104))
    assert long_chat.context(UNRELATED, budget_tokens=900, portions=EVIDENCE_ONLY).source_ids == ()


def test_of_a_long_last_message_beginning_and_end_come_and_the_whole_by_reference(make: MakeMemory) -> None:
    memory = make()
    for number in range(100):
        memory.add("user", f"bravo {message_of(number)}", id=str(number))
    words = [f"w{number}" for number in range(500)]
    memory.add("assistant", " ".join(words), id="100")
    found = memory.context("bravo", budget_tokens=1_000)
    last = found.messages[-1]["content"]
    head, tail = last.split(" … [cut here: 500 tokens in all] [whole: #101] … ")
    assert words[: len(head.split())] == head.split()
    assert words[-len(tail.split()) :] == tail.split()
    assert abs(len(head.split()) - len(tail.split())) <= 2
    assert count_words(last) <= shares_of(1_000, Portions()).longest_tokens
    assert "100" in found.summarised_ids
    assert next(m for m in memory.messages() if m.place == 101).content == " ".join(words)


def test_recent_messages_facts_and_timeline_do_not_crowd_out_the_evidence(make: MakeMemory) -> None:
    memory = make(capacities=Capacities(2_000, 4_000, 8_000))
    for number in range(40):
        memory.add("user", f"I like thing number {number}. I live in Town{number}.")
        memory.add("assistant", message_of(number, 300))
    for number in range(60):
        memory.add("user", f"The lighthouse has step number {number}.", id=f"e{number}")
        memory.add("assistant", message_of(number, 300))
    memory.catch_up()
    found = memory.context("steps of the lighthouse", budget_tokens=2_400)
    assert {f"e{number}" for number in range(60)} <= set(found.source_ids)


def test_shares_are_of_the_budget_and_never_more_than_what_was_asked_for() -> None:
    shares = shares_of(12_000, Portions())
    assert (shares.all_tokens, shares.last_tokens, shares.longest_tokens) == (11_760, 1_500, 480)
    assert (shares.facts_tokens, shares.timeline_tokens) == (500, 500)
    assert shares_of(12_000, EVIDENCE_ONLY).facts_tokens == 0
    assert shares_of(12_000, Portions(), is_estimated=True).all_tokens == 11_400
    assert shares_of(100_000, Portions(facts_tokens=70)).facts_tokens == 70
    small = [shares_of(budget, Portions()) for budget in range(1, 3_000)]
    assert all(one.longest_tokens <= one.last_tokens <= max(1, one.all_tokens) for one in small[3:])
    assert all(a.last_tokens <= b.last_tokens for a, b in pairwise(small))


@pytest.mark.parametrize("share", [0, -0.1, 1.1])
def test_a_share_lies_between_none_and_all(share: float) -> None:
    with pytest.raises(ConfigError, match=r"last_share=.*a share of the budget lies above 0"):
        Portions(last_share=share)


def test_where_nothing_changed_a_context_is_the_same_to_the_byte(make: MakeMemory) -> None:
    memory = make(capacities=Capacities(600, 1_000, 1_000))
    for number in range(150):
        memory.add("user", message_of(number), id=str(number), time=40_000.0 * number)
    memory.catch_up()
    contexts = [memory.context(f"n{n}x bravo", budget_tokens=700, now=1e9 + n) for n in (7, 7, 90)]
    assert contexts[0].text == contexts[1].text
    assert contexts[0].messages == contexts[1].messages
    again = make(capacities=Capacities(600, 1_000, 1_000))
    assert again.context("n7x bravo", budget_tokens=700).text == contexts[0].text
    assert memory.context("n7x bravo", budget_tokens=20_000).text == memory.context("ninety", budget_tokens=20_000).text


def test_the_frame_names_what_is_cut_in_both_languages() -> None:
    assert ENGLISH.cut.format(num_tokens=7) + ENGLISH.whole.format(place=3) == "[cut here: 7 tokens in all] [whole: #3]"
    assert "7" in RUSSIAN.cut.format(num_tokens=7)
    assert "#3" in RUSSIAN.whole.format(place=3)
