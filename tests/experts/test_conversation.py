"""`Conversation`, the window, and the prompt cache as a store, with an expert of ten lines."""

import random
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.errors import EngineError, PromptError
from interconnected_ai.experts.chat import ChatAnswer, Conversation, PromptCache
from interconnected_ai.experts.chat.window import fit
from interconnected_ai.experts.decoder import PrefixState
from interconnected_ai.types import ChatMessage, Generation, Stream
from properties import examples


class Parrot:
    """Says back the last message, a word a piece; drops what is older than `window` messages."""

    def __init__(self, window: int = 100) -> None:
        self.window, self.asked, self.forgotten = window, [], []

    def stream_chat(self, messages, config=None, *, seed=None, session=None, too_long="refuse", **settings):
        self.asked.append((tuple(messages), session, settings))
        if messages[-1].content == "refuse":
            raise PromptError("no")
        return Stream(self._pieces(messages))

    def _pieces(self, messages):
        words = messages[-1].content.split()
        for number, word in enumerate(words):
            if word == "break":
                raise EngineError("broken")
            yield word if number == 0 else f" {word}"
        said = ChatMessage("assistant", " ".join(words))
        dropped = tuple(m for m in messages if m.role != "system")[: max(0, len(messages) - self.window)]
        return ChatAnswer(said, Generation((), "eos", said.content), len(messages), dropped=dropped)

    def forget(self, session) -> None:
        self.forgotten.append(session)


def contents(messages) -> list[str]:
    return [message.content for message in messages]


class TestConversation:
    def test_every_turn_is_said_after_all_that_was_said(self):
        parrot = Parrot()
        talk = Conversation(parrot, system="be brief")
        assert str(talk.ask("one", temperature=0.0)) == "one"
        assert "".join(talk.say("two words")) == "two words"
        assert contents(parrot.asked[1][0]) == ["be brief", "one", "one", "two words"]
        assert contents(talk.messages) == ["be brief", "one", "one", "two words", "two words"]
        assert parrot.asked[0][1] == parrot.asked[1][1]
        assert parrot.asked[0][2] == {"temperature": 0.0}

    def test_two_conversations_have_sessions_of_their_own(self):
        parrot = Parrot()
        for _ in range(2):
            Conversation(parrot).ask("a")
        assert len({session for _, session, _ in parrot.asked}) == 2

    def test_the_system_message_may_change_between_turns(self):
        parrot = Parrot()
        talk = Conversation(parrot, system="a")
        talk.ask("one")
        talk.system = None
        talk.ask("two")
        assert contents(parrot.asked[1][0]) == ["one", "one", "two"]

    def test_a_stopped_answer_is_kept_as_far_as_it_came(self):
        talk = Conversation(Parrot())
        with talk.say("one two three") as answer:
            assert next(answer) == "one"
            assert next(answer) == " two"
        assert contents(talk.messages) == ["one two three", "one two"]
        assert contents([talk.ask("next").message]) == ["next"]

    def test_what_was_not_answered_was_not_said(self):
        talk = Conversation(Parrot())
        talk.say("never read").close()
        with talk.say("a b"):
            pass
        with pytest.raises(EngineError, match="broken"):
            talk.ask("break")
        with pytest.raises(PromptError, match="no"):
            talk.ask("refuse")
        assert not talk.messages
        assert str(talk.ask("after all")) == "after all"

    def test_one_turn_at_a_time(self):
        talk = Conversation(Parrot())
        first = talk.say("one two")
        next(first)
        with pytest.raises(PromptError, match="is being answered"):
            next(talk.say("three"))
        assert str(first.result()) == "one two"
        stale = talk.say("four")
        talk.ask("five")
        with pytest.raises(PromptError, match="meanwhile"):
            next(stale)

    def test_what_no_longer_fits_is_not_read_again_and_stays_on_record(self):
        parrot = Parrot(window=4)
        talk = Conversation(parrot, system="s", too_long="drop_oldest")
        answers = [talk.ask(str(number)) for number in range(4)]
        assert [contents(answer.dropped) for answer in answers] == [[], [], ["0", "0"], ["1", "1"]]
        assert contents(parrot.asked[3][0]) == ["s", "1", "1", "2", "2", "3"]
        assert contents(talk.messages) == ["s", *(text for number in range(4) for text in [str(number)] * 2)]

    def test_a_reset_forgets_and_keeps_the_system_message(self):
        parrot = Parrot()
        talk = Conversation(parrot, system="s")
        talk.ask("a")
        talk.reset()
        assert contents(talk.messages) == ["s"]
        assert parrot.forgotten == [parrot.asked[0][1]]


def words_of(messages) -> int:
    return sum(len(message.content.split()) for message in messages)


class TestWindow:
    def turns(self, num: int, words: int = 10) -> list[ChatMessage]:
        text = " ".join(["w"] * words)
        return [ChatMessage(role, text) for _ in range(num) for role in ("user", "assistant")] + [
            ChatMessage("user", text)
        ]

    def test_what_fits_is_left_alone(self):
        fitted = fit(self.turns(2), words_of, window=60, max_new_tokens=10, too_long="refuse")
        assert (len(fitted.messages), fitted.num_tokens, fitted.dropped) == (5, 50, ())

    def test_too_much_is_refused_with_the_numbers(self):
        with pytest.raises(
            PromptError, match=r"takes 50 tokens, which with an answer of 11 is more than the window of 60"
        ):
            fit(self.turns(2), words_of, window=60, max_new_tokens=11, too_long="refuse")

    def test_the_oldest_turns_go_and_the_system_message_stays(self):
        told = [ChatMessage("system", "s"), *self.turns(5)]
        fitted = fit(told, words_of, window=100, max_new_tokens=10, too_long="drop_oldest")
        assert fitted.messages == (told[0], *told[7:])
        assert fitted.dropped == tuple(told[1:7])
        assert fitted.num_tokens == 51  # three quarters of the room of 90 at most
        assert fitted.messages[1].role == "user"

    def test_a_last_turn_that_does_not_fit_is_refused(self):
        for messages in (self.turns(3), self.turns(0)):
            with pytest.raises(PromptError, match="the last turn alone takes 10 tokens"):
                fit(messages, words_of, window=12, max_new_tokens=10, too_long="drop_oldest")

    @examples(60)
    @given(
        st.lists(st.tuples(st.sampled_from(["user", "assistant", "tool"]), st.integers(1, 9)), max_size=20),
        st.integers(12, 60),
    )
    def test_what_is_kept_fits_and_nothing_is_lost_on_the_way(self, turns, window):
        told = [
            ChatMessage("system", "s"),
            *(ChatMessage(role, "w " * n) for role, n in turns),
            ChatMessage("user", "end"),
        ]
        fitted = fit(told, words_of, window=window, max_new_tokens=5, too_long="drop_oldest")
        assert fitted.num_tokens == words_of(fitted.messages) <= window - 5
        assert (told[0], *fitted.dropped, *fitted.messages[1:]) == tuple(told)
        assert not fitted.dropped or fitted.messages[1].role == "user"


def state(*token_ids: int, num_bytes: int = 40) -> PrefixState:
    return PrefixState(token_ids, (torch.zeros(num_bytes // 4),))


class TestPromptCache:
    def test_as_much_is_known_as_the_prompt_begins_with(self):
        cache = PromptCache(1000)
        cache.keep(state(1, 2, 3), owner="a", session="s")
        known = cache.known([1, 2, 9], owner="a", session="s")
        assert known is not None
        assert known.num_shared([1, 2, 9]) == 2
        assert cache.known([9, 2, 3], owner="a", session="s") is None

    def test_neither_another_adapter_nor_another_conversation_sees_it(self):
        cache = PromptCache(1000)
        cache.keep(state(1, 2), owner="a", session="s")
        assert cache.known([1, 2, 3], owner="b", session="s") is None
        assert cache.known([1, 2, 3], owner="a", session="t") is None

    def test_an_adapter_that_comes_back_finds_its_own(self):
        cache = PromptCache(1000)
        kept = state(1, 2)
        cache.keep(kept, owner="a", session="s")
        cache.keep(state(1, 2, 3), owner="b", session="s")
        assert cache.known([1, 2, 3], owner="a", session="s") is kept

    def test_bytes_are_kept_within_the_budget_and_the_longest_unused_goes(self):
        cache = PromptCache(100)
        for session in ("a", "b"):
            cache.keep(state(1, 2), owner=None, session=session)
        assert cache.known([1, 2], owner=None, session="a") is not None
        cache.keep(state(1, 2), owner=None, session="c")
        assert cache.num_bytes == 80
        assert cache.known([1, 2], owner=None, session="b") is None
        assert cache.known([1, 2], owner=None, session="a") is not None
        cache.keep(state(1, num_bytes=120), owner=None, session="a")
        assert cache.known([1, 2], owner=None, session="a") is None
        assert cache.num_bytes == 40

    def test_what_is_forgotten_or_closed_is_gone(self):
        cache = PromptCache(1000)
        for session in ("a", "b"):
            cache.keep(state(1), owner=None, session=session)
        cache.forget("a")
        assert (len(cache), cache.num_bytes) == (1, 40)
        cache.close()
        cache.keep(state(1), owner=None, session="c")
        assert (len(cache), cache.num_bytes) == (0, 0)

    def test_threads_keep_its_books_straight(self):
        cache = PromptCache(1000)

        def work(number: int) -> None:
            draw = random.Random(number)
            for _ in range(300):
                session = draw.randrange(40)
                cache.keep(state(session, num_bytes=4 * draw.randrange(1, 30)), owner=number % 2, session=session)
                known = cache.known([session], owner=number % 2, session=session)
                assert known is None or known.token_ids == (session,)
                if draw.random() < 0.1:
                    cache.forget(session)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        kept = list(cache._states.values())
        assert cache.num_bytes == sum(one.num_bytes for one in kept) <= 1000
