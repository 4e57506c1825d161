"""A council: whoever knows answers, from what was said before, and everything is given back."""

import asyncio
import shutil
import threading
from pathlib import Path

import pytest
import yaml

pytest.importorskip("re2")

from council.tiny_councils import config_of, council_of, saved_expert
from interconnected_ai.config import CouncilConfig
from interconnected_ai.council import AsyncCouncil, Council, Wellness
from interconnected_ai.errors import ClosedError, ConfigError, EngineError, PromptError, UnknownNameError
from interconnected_ai.experts import Expert
from interconnected_ai.text import Tokenizer
from interconnected_ai.types import ChatMessage

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
        alone = council.chat("a traceback", width=1, **GREEDY)
        assert alone.experts == ("code",)
        both = council.chat("hello", experts=["law", "code"], **GREEDY)
        assert both.experts == ("law", "code")


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
    with council_of(home, budget_mb=1.5 * one, width=2, seed="general", wait_seconds=0.3) as council:
        answer = council.chat("a traceback", **GREEDY)
        assert answer.experts == ("code",)
        assert answer.notices == ("general does not deliberate: there is no room for it now",)
        with council.pool.borrow("law"):
            other = council.chat("a traceback", session="b", width=1, **GREEDY)
        assert other.experts == ("law",)  # the one that is there
        assert other.notices[0].startswith("code cannot answer now: the expert 'code' did not come within 0.3 s")
        assert not council.wellness.ailments()  # no room is no illness
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
        with pytest.raises(PromptError, match="ends with what the user says"):
            council.chat([{"role": "assistant", "content": "hi"}])
        with pytest.raises(UnknownNameError, match="cod"):
            council.chat("hello", experts=["cod"])
        with pytest.raises(ConfigError, match="temperature"):
            council.chat("hello", temperature=-1)
        with pytest.raises(ConfigError, match="width"):
            council.chat("hello", width=0)
    council.close()
    with pytest.raises(ClosedError):
        council.chat("hello")
