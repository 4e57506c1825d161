"""A council: whoever knows answers, from what was said before, and everything is given back."""

import asyncio
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

pytest.importorskip("re2")

from tests.council.tiny_councils import WORDS, config_of, council_of, saved_expert

from interconnected_ai.config import CouncilConfig
from interconnected_ai.council import AsyncCouncil, Council, Wellness
from interconnected_ai.errors import ClosedError, ConfigError, EngineError, PromptError, UnknownNameError
from interconnected_ai.experts import BatchLimits, Expert, ExpertPool, TextExpert
from interconnected_ai.text import Tokenizer
from interconnected_ai.types import ChatMessage, Request, Route, ScoredExpert

GREEDY = {"temperature": 0.0}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("council")
    config_of(place)
    return place


def test_the_expert_whose_business_it_is_answers_as_it_does_alone(home: Path) -> None:
    with council_of(home) as council, Expert.from_pretrained(home / "code") as code:
        answer = council.chat("a traceback in python", **GREEDY)
        assert answer.experts == ("code",)
        assert "rule 'programs'" in answer.why
        alone = code.chat([ChatMessage("user", "a traceback in python")], max_new_tokens=6, **GREEDY)
        assert answer.message.content == alone.message.content
        assert council.chat("hello", session="b", **GREEDY).experts == ("general",)
        assert council.chat("иск в суде", session="c", **GREEDY).experts == ("law",)
        assert council.chat("hello", session="c", **GREEDY).experts == ("law",)  # a conversation stays where it is
        stats = council.pool.stats()
        assert all(each.num_borrowers == 0 for each in stats.experts.values())
        assert stats.used_bytes <= stats.budget_bytes


def test_every_part_of_a_turn_is_timed_and_said(home: Path, tmp_path: Path) -> None:
    with council_of(home, memory=str(tmp_path / "memory.db")) as council:
        answer = council.chat("what does python say", **GREEDY)
        took = answer.timings
        assert min(took.recall, took.route, took.borrow, took.generate, took.remember) > 0
        assert 0 < took.overhead_share < 1
        told = answer.to_dict()
        assert told["experts"] == ["code"]
        assert told["scores"]["code"] > 0


def test_turns_that_are_made_together_are_answered_as_by_themselves(home: Path) -> None:
    asked = ["a traceback in python", "hello", "иск в суде", "python once more", "good morning", "a contract"]
    with council_of(home) as council:
        wanted = [council.chat(each, session=str(number), **GREEDY) for number, each in enumerate(asked)]
        config = council.config
    with Council(config, batching=BatchLimits(num_rows=2)) as council, ThreadPoolExecutor(len(asked)) as pool:
        for name in council.pool.names:  # in memory before all ask at once
            with council.pool.borrow(name):
                continue
        turns = [pool.submit(council.chat, each, session=str(number), **GREEDY) for number, each in enumerate(asked)]
        for turn, alone in zip(turns, wanted, strict=True):
            assert turn.result().experts == alone.experts
            assert turn.result().message == alone.message
        with council.pool.borrow("code") as loan:
            assert loan.expert.engine.batcher.limits.num_rows == 2  # type: ignore[attr-defined]


def test_what_was_said_in_one_session_is_recalled_in_the_next_turn(home: Path, tmp_path: Path) -> None:
    with council_of(home, memory=str(tmp_path / "memory.db")) as council:
        assert council.memory is not None
        council.chat("My cat is called Murka.", session="a", **GREEDY)
        answer = council.chat("What is my cat called?", session="a", **GREEDY)
        assert answer.recalled
        assert answer.num_recalled_tokens > 0
        said = [message.content for message in council.memory.messages(session="a")]
        assert said[0] == "My cat is called Murka."
        assert "What is my cat called?" in said
        other = council.chat("What is my cat called?", session="a", user="somebody else", **GREEDY)
        assert not other.recalled


def test_what_a_function_gave_is_not_remembered_as_the_users_words(home: Path, tmp_path: Path) -> None:
    call = ChatMessage("assistant", '<tool_call>{"name": "weather", "arguments": {}}</tool_call>')
    asked = [ChatMessage("user", "a traceback in Riga?"), call]
    results = [ChatMessage("tool", "My name is Rain."), ChatMessage("tool", "and wind")]
    with council_of(home, memory=str(tmp_path / "memory.db")) as council:
        assert council.memory is not None
        ended_by_tool = council.chat([*asked, *results], session="a", **GREEDY)
        assert ended_by_tool.experts == ("code",)  # whom the user's words lead to, not the result's
        remembered = [(each.role, each.content) for each in council.memory.messages(session="a")]
        assert remembered[:2] == [("tool", "My name is Rain."), ("tool", "and wind")]
        assert [role for role, _ in remembered[2:]] in ([], ["assistant"])
        council.memory.catch_up()
        assert "Rain" not in " ".join(fact.value for fact in council.memory.facts())
        council.chat([*asked, *results, ChatMessage("user", "and now?")], session="b", **GREEDY)
        remembered = [(each.role, each.content) for each in council.memory.messages(session="b")]
        assert remembered[:3] == [*((each.role, each.content) for each in results), ("user", "and now?")]


def test_what_a_function_gave_is_read_as_the_users_turn_by_whatever_template(home: Path) -> None:
    asked = [ChatMessage("user", "a traceback"), ChatMessage("assistant", "a call")]
    written = ChatMessage(
        "user", "<tool_response>\none\n</tool_response>\n<tool_response>\ntwo\n</tool_response>\nand?"
    )
    with council_of(home) as council:
        read = council.chat(
            [*asked, ChatMessage("tool", "one"), ChatMessage("tool", "two"), ChatMessage("user", "and?")], **GREEDY
        )
        alone = council.chat([*asked, written], **GREEDY)
    assert read.num_prompt_tokens == alone.num_prompt_tokens
    assert read.message == alone.message


def test_an_answer_tells_its_reason_and_who_was_next_of_those_that_did_not_answer(home: Path) -> None:
    with council_of(home) as council:
        for width in (1, 2):
            answer = council.chat("python in court", width=width, **GREEDY)
            told = answer.to_dict()
            others = [each for each in answer.route.experts if each.expert not in answer.experts]
            assert told["reason"] == answer.route.reason
            assert told["runner_up"] == ({"expert": others[0].expert, "score": others[0].score} if others else None)
        assert told["runner_up"] is None or told["runner_up"]["expert"] not in told["experts"]


def test_a_conversation_that_the_caller_keeps_is_answered_from_its_messages(home: Path) -> None:
    messages = [
        {"role": "user", "content": "python?"},
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": "a traceback"},
    ]
    with council_of(home) as council, Expert.from_pretrained(home / "code") as code:
        answer = council.chat(messages, **GREEDY)
        alone = code.chat([ChatMessage(**each) for each in messages], max_new_tokens=6, **GREEDY)
        assert answer.message.content == alone.message.content


def test_a_stream_that_is_closed_gives_everything_back_and_remembers_nothing(home: Path, tmp_path: Path) -> None:
    with council_of(home, memory=str(tmp_path / "memory.db"), max_new_tokens=200) as council:
        stream = council.stream("a traceback", session="s", **GREEDY)
        next(stream)
        assert council.pool.stats().experts["code"].num_borrowers == 1
        stream.close()
        assert council.pool.stats().experts["code"].num_borrowers == 0
        assert council.memory is not None
        assert not council.memory.sessions()


def test_an_expert_that_cannot_be_opened_is_set_aside_and_another_answers(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "home", dirs_exist_ok=True)
    now = 0.0
    council = Council(config_of(tmp_path / "home"), wellness=Wellness(clock=lambda: now))
    shutil.rmtree(tmp_path / "home" / "code")
    with council:
        answer = council.chat("a traceback", **GREEDY)
        assert answer.experts == ("general",)
        assert "code is set aside" in answer.notices[0]
        again = council.chat("a traceback", **GREEDY)
        assert again.experts == ("general",)
        assert "code is not available" in again.why
        saved_expert(tmp_path / "home" / "code", 1)
        now = 31.0
        assert council.chat("a traceback", **GREEDY).experts == ("code",)


def test_an_expert_with_damaged_weights_is_named_and_another_answers(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "home", dirs_exist_ok=True)
    weights = tmp_path / "home" / "law" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-500])
    with council_of(tmp_path / "home") as council:
        answer = council.chat("the court", **GREEDY)
        assert answer.experts == ("general",)
        assert answer.notices[0].startswith("law is set aside: ")
        assert "law" in council.wellness.ailments()


def test_where_nobody_can_answer_the_error_says_why_of_each(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "home", dirs_exist_ok=True)
    with council_of(tmp_path / "home") as council:
        for name in ("general", "code", "law"):
            shutil.rmtree(tmp_path / "home" / name)
        with pytest.raises(EngineError, match=r"no expert can answer this: .*code is set.*general is set.*law is set"):
            council.chat("a traceback", **GREEDY)
        with pytest.raises(EngineError, match=r"no expert can answer this: .*code is set"):
            council.chat("a traceback", **GREEDY)  # nobody is tried while all are set aside


def test_experts_that_share_a_tokenizer_deliberate_and_the_seed_is_one_of_them(home: Path) -> None:
    with council_of(home, width=2, seed="general") as council:
        answer = council.chat("a traceback", **GREEDY)
        assert answer.experts == ("code", "general")
        assert not answer.notices
        assert set(answer.weights) == {"code", "general"}
        assert sum(answer.weights.values()) == pytest.approx(1.0)
        assert f"code ({answer.weights['code']:.0%}), general ({answer.weights['general']:.0%}): " in answer.why
        alone = council.chat("a traceback", width=1, **GREEDY)
        assert alone.experts == ("code",)
        assert not alone.weights
        both = council.chat("hello", experts=["law", "code"], **GREEDY)
        assert both.experts == ("law", "code")


def test_the_seeds_word_weighs_what_the_council_says(home: Path) -> None:
    found = []
    for weight in (0.01, 0.25, 1.0):
        with council_of(home, width=2, seed="general", seed_weight=weight) as council:
            found.append(council.chat("a traceback", max_new_tokens=1, **GREEDY).weights["general"])
    assert found[0] < found[1] < found[2]
    with pytest.raises(ConfigError, match="seed_weight"):
        council_of(home, seed_weight=0.0)


def test_experts_that_deliberate_are_loaded_side_by_side(home: Path) -> None:
    both = threading.Barrier(2, timeout=120)

    def opened(name: str) -> Expert:
        both.wait()
        return Expert.from_pretrained(home / name)

    pool: ExpertPool[TextExpert] = ExpertPool(10**9)
    for name in ("general", "code", "law"):
        pool.add(name, lambda name=name: opened(name), num_bytes=1)  # type: ignore[misc]
    with Council(config_of(home, width=2, seed="general"), pool=pool) as council, pool:
        answer = council.chat("a traceback", **GREEDY)
        assert answer.experts == ("code", "general")
        assert {name: each.num_loads for name, each in pool.stats().experts.items()} == {
            "general": 1,
            "code": 1,
            "law": 0,
        }


def test_experts_with_other_tokenizers_do_not_deliberate_and_it_is_said(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "home", dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "home" / "general")
    saved_expert(tmp_path / "home" / "general", 0, Tokenizer.train(("other words",), 300))
    with council_of(tmp_path / "home", width=2, seed="general") as council:
        answer = council.chat("a traceback", **GREEDY)
        assert "different tokenizers" in answer.notices[0]
        alone = council.chat("a traceback", width=1, **GREEDY)
        assert answer.message.content == alone.message.content


def test_experts_that_find_no_room_do_not_deliberate_and_nobody_waits_for_ever(home: Path) -> None:
    with Expert.from_pretrained(home / "code") as code:
        code.chat([ChatMessage("user", "hello")], max_new_tokens=2)
        one = code.num_bytes / 1e6
    with council_of(home, budget_mb=1.5 * one, width=2, seed="general", wait_seconds=600) as council:
        answer = council.chat("a traceback", **GREEDY)
        assert answer.experts == ("code",)
        (notice,) = answer.notices
        assert notice.startswith("general does not deliberate: there is no room for 'general' without waiting")
        with (
            council.pool.borrow("law"),
            Council(config_of(home, wait_seconds=0.3), pool=council.pool, wellness=council.wellness) as hasty,
        ):
            other = hasty.chat("a traceback", session="b", width=1, **GREEDY)
        assert other.experts == ("law",)  # the one that is there
        assert other.notices[0].startswith("code cannot answer now: the expert 'code' did not come within 0.3 s")
        assert not council.wellness.ailments()  # no room is no illness
        with council.pool.borrow("code"):
            pass
        assert council.chat("a traceback", session="b", width=1, **GREEDY).experts == ("code",)


def test_many_chats_at_once_are_answered_as_each_is_alone(home: Path) -> None:
    questions = [f"{word} {number}" for number in range(8) for word in ("python", "court", "hello")]
    with council_of(home) as council:
        alone = [
            council.chat(question, session=f"a{number}", **GREEDY).message for number, question in enumerate(questions)
        ]
        found: dict[int, ChatMessage] = {}

        def ask(number: int) -> None:
            found[number] = council.chat(questions[number], session=f"b{number}", **GREEDY).message

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(questions))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(300)
        assert [found[number] for number in range(len(questions))] == alone


def test_a_budget_for_one_expert_lends_them_in_turn(home: Path) -> None:
    with Expert.from_pretrained(home / "code") as code:
        code.chat([ChatMessage("user", "hello")], max_new_tokens=2)
        one = code.num_bytes / 1e6
    with council_of(home, budget_mb=1.5 * one) as council:
        for question in ("a traceback", "the court", "hello", "python"):
            assert council.chat(question, **GREEDY).message.content is not None
        stats = council.pool.stats()
        assert stats.num_evictions >= 2
        assert stats.peak_bytes <= stats.budget_bytes


def test_an_event_loop_is_answered_and_a_cancelled_task_gives_everything_back(home: Path) -> None:
    with council_of(home, max_new_tokens=300) as council:

        async def talk() -> None:
            asking = AsyncCouncil(council)
            answer = await asking.chat("a traceback", max_new_tokens=5, **GREEDY)
            assert answer.experts == ("code",)
            pieces = [piece async for piece in asking.stream("hello", max_new_tokens=5, **GREEDY)]
            assert "".join(pieces[:-1]).strip() == str(pieces[-1])  # type: ignore[arg-type]
            task = asyncio.create_task(asking.chat("the court", **GREEDY))
            while not council.pool.stats().experts["law"].num_borrowers and not task.done():
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            for _ in range(3_000):
                if not council.pool.stats().experts["law"].num_borrowers:
                    break
                await asyncio.sleep(0.01)
            assert council.pool.stats().experts["law"].num_borrowers == 0

        asyncio.run(talk())


def waiting_for(council: Council, num_waiting: int) -> bool:
    return council.pool.stats().num_waiting == num_waiting


def until(is_so: Callable[[], bool]) -> None:
    for _ in range(6_000):
        if is_so():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not come to that")


@pytest.fixture(scope="module")
def one_mb(home: Path) -> float:
    """What one expert takes after a chat."""
    with Expert.from_pretrained(home / "code") as code:
        code.chat([ChatMessage("user", "hello")], max_new_tokens=2)
        return code.num_bytes / 1e6


def test_a_stream_that_is_closed_while_it_waits_for_an_expert_waits_no_longer(home: Path, one_mb: float) -> None:
    with council_of(home, budget_mb=1.5 * one_mb, wait_seconds=600) as council, council.pool.borrow("law"):
        stream = council.stream("a traceback", **GREEDY)
        reader = threading.Thread(target=lambda: next(stream, None))
        reader.start()
        until(lambda: waiting_for(council, 1))
        stream.close()
        reader.join(60)
        assert not reader.is_alive()
        assert waiting_for(council, 0)
        assert council.pool.stats().experts["code"].num_loads == 0


def test_a_task_that_is_cancelled_while_it_waits_for_an_expert_costs_no_load(home: Path, one_mb: float) -> None:
    with council_of(home, budget_mb=1.5 * one_mb, wait_seconds=600) as council, council.pool.borrow("law"):

        async def ask_and_leave() -> None:
            task = asyncio.create_task(AsyncCouncil(council).chat("a traceback", **GREEDY))
            await asyncio.to_thread(until, lambda: waiting_for(council, 1))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.to_thread(until, lambda: waiting_for(council, 0))

        asyncio.run(ask_and_leave())
        assert council.pool.stats().experts["code"].num_loads == 0


def test_chats_that_deliberate_in_a_narrow_budget_never_wait_for_each_other(home: Path, one_mb: float) -> None:
    pairs = [["law", "code"], ["code", "general"], ["general", "law"]]
    with council_of(home, budget_mb=2.5 * one_mb, wait_seconds=600) as council:
        answered: list[tuple[str, ...]] = []

        def ask(pair: list[str]) -> None:
            for number in range(3):
                session = f"{pair} {number}"
                answered.append(
                    council.chat("hello", experts=pair, session=session, max_new_tokens=2, **GREEDY).experts
                )

        threads = [threading.Thread(target=ask, args=(pair,), daemon=True) for pair in pairs * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(200)
        assert len(answered) == 18
        assert {experts[0] for experts in answered} == {"law", "code", "general"}
        stats = council.pool.stats()
        assert stats.peak_bytes <= stats.budget_bytes
        assert all(each.num_borrowers == 0 for each in stats.experts.values())


def test_a_config_file_is_seen_from_its_folder(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "home", dirs_exist_ok=True)
    settings = {
        "experts": {"general": {"place": "general"}, "code": {"place": "code"}, "law": {"place": "law"}},
        "fallback": "general", "rules": "rules.yaml", "semantic": False, "memory": "memory.db", "max_new_tokens": 4,
    }  # fmt: skip
    (tmp_path / "home" / "council.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    with Council.from_config(tmp_path / "home" / "council.yaml") as council:
        council.chat("a traceback", **GREEDY)
    assert (tmp_path / "home" / "memory.db").exists()


def test_what_cannot_be_is_refused(home: Path) -> None:
    with pytest.raises(ConfigError, match="fallback names 'nobody', the experts are a"):
        CouncilConfig(experts={"a": {"place": "a"}}, fallback="nobody")
    with pytest.raises(ConfigError, match="budget_mb"):
        config_of(home, budget_mb=-1)
    with council_of(home) as council:
        with pytest.raises(PromptError, match="question is empty"):
            council.chat("   ")
        for messages in ([{"role": "assistant", "content": "hi"}], [{"role": "tool", "content": "rain"}], []):
            with pytest.raises(PromptError, match="ends with what the user says"):
                council.chat(messages)
        with pytest.raises(UnknownNameError, match="cod"):
            council.chat("hello", experts=["cod"])
        with pytest.raises(ConfigError, match="temperature"):
            council.chat("hello", temperature=-1)
        with pytest.raises(ConfigError, match="width"):
            council.chat("hello", width=0)
    council.close()
    with pytest.raises(ClosedError):
        council.chat("hello")


def test_a_stream_may_be_closed_at_every_token_not_only_where_text_is_shown(home: Path) -> None:
    (token,) = WORDS.encode("z")
    never = "z" * 60  # what may be its beginning is not shown
    with council_of(home) as council:
        stream = council.stream("hello", max_new_tokens=40, stop=(never,), logit_bias={str(token): 100.0})
        parts = stream.passed_on(lambda piece: piece)
        waited = 0
        while next(parts) is None:
            waited += 1
        parts.close()
    assert waited >= 40


def test_whom_the_router_only_leans_to_is_heard_no_more_than_who_answers(home: Path) -> None:
    class Leaning:
        def route(self, requests: Sequence[Request], /) -> list[Route]:
            experts = (ScoredExpert("general", 0.0), ScoredExpert("code", 0.9))
            return [Route(experts, "nobody is sure", "leaning", is_fallback=True) for _ in requests]

    with Council(config_of(home, seed=None), router=Leaning()) as council:
        answer = council.chat("hello", session="a", width=2, **GREEDY)
        assert answer.experts == ("general", "code")
        equals = council.chat("hello", session="b", experts=["general", "code"], **GREEDY)
        assert answer.message == equals.message


def test_asking_who_would_answer_moves_no_conversation(home: Path) -> None:
    with council_of(home) as council:
        council.chat("иск в суде", session="c", **GREEDY)
        assert council.route("a python traceback", session="c").expert == "code"
        assert council.chat("hello", session="c", **GREEDY).experts == ("law",)


def test_what_they_are_told_before_everything_is_the_configs_or_the_turns_own(home: Path) -> None:
    with council_of(home, system="Answer in one word.") as council:
        alone = council.chat("hello", session="a", **GREEDY)
        told = council.chat("hello", session="b", system="Отвечай по-русски, и подробно.", **GREEDY)
        nothing = council.chat("hello", session="c", system="", **GREEDY)
        read = {one.num_prompt_tokens for one in (alone, told, nothing)}
        assert len(read) == 3
        assert nothing.num_prompt_tokens == min(read)
