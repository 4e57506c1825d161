"""Bad input and bad luck: what becomes of a turn when somebody asks for what cannot be, or an expert lets go."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("re2")

from tests.council.tiny_councils import config_of, council_of
from tests.experts.remote_servers import STREAM, Script, Server, delta, hung_up, said, serving, silent_after

from interconnected_ai.council import Council, Wellness
from interconnected_ai.errors import ConfigError, EngineError, PromptError, UnknownNameError
from interconnected_ai.experts import Expert, ExpertPool, TextExpert
from interconnected_ai.experts.remote import RemoteServer
from interconnected_ai.routing import Cascade
from interconnected_ai.types import ChatMessage, Route, ScoredExpert, Stream

GREEDY = {"temperature": 0.0}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("faults")
    config_of(place)
    return place


class Failing(Expert):
    """An expert that fails after so many pieces."""

    pieces = 0
    asked = 0

    def stream_chat(self, *arguments: Any, **more: Any) -> Any:
        type(self).asked += 1
        real = super().stream_chat(*arguments, **more)

        def pieces() -> Iterator[str]:
            for number, piece in enumerate(real):
                if number >= self.pieces:
                    break
                yield piece
            real.close()
            raise EngineError("the disk went")

        return Stream(pieces())  # type: ignore[arg-type]


def failing(home: Path, after: int, clock: Any = lambda: 0.0) -> tuple[Council, type[Failing]]:
    """A council whose expert `code` fails after so many pieces."""

    class Now(Failing):
        pieces = after

    config = config_of(home)
    pool: ExpertPool[TextExpert] = ExpertPool(10**9)
    for name in config.experts:
        kind = Now if name == "code" else Expert
        pool.add(name, lambda name=name, kind=kind: kind.from_pretrained(home / name), num_bytes=0)  # type: ignore[misc]
    return Council(config, pool=pool, wellness=Wellness(clock=clock)), Now


def test_who_fails_before_the_first_word_is_stood_in_for_and_set_aside(home: Path) -> None:
    council, kind = failing(home, 0)
    with council, council.pool:
        answer = council.chat("a traceback", **GREEDY)
        assert answer.experts == ("general",)
        assert answer.notices == ("code is set aside: the disk went",)
        council.chat("a traceback", **GREEDY)
        assert kind.asked == 1


def test_who_fails_in_the_middle_of_an_answer_is_not_asked_again_at_once(home: Path) -> None:
    council, kind = failing(home, 2)
    with council, council.pool:
        stream = council.stream("a traceback", **GREEDY)
        with pytest.raises(EngineError, match="the disk went"):
            for _ in stream:
                pass
        assert council.wellness.ailments()["code"].reason == "the disk went"
        assert council.chat("a traceback", **GREEDY).experts == ("general",)
        assert kind.asked == 1
        assert all(each.num_borrowers == 0 for each in council.pool.stats().experts.values())


def test_after_the_pause_one_asks_and_the_others_do_not_wait_for_it() -> None:
    now = 0.0
    wellness = Wellness(clock=lambda: now)
    wellness.failed("code", "down")
    assert not wellness.is_well("code")
    now = 31.0
    assert wellness.is_well("code")
    with wellness.trying("code") as first, wellness.trying("code") as second:
        assert (first, second) == (True, False)
        assert not wellness.is_well("code")
        wellness.failed("code", "still down")
    assert not wellness.is_well("code")
    now = 200.0
    with wellness.trying("code") as may:  # somebody who left without an answer tells nothing
        assert may
    assert wellness.is_well("code")
    with wellness.trying("code"):
        wellness.answered("code")
        with wellness.trying("code") as another:
            assert another


def test_what_no_expert_can_do_is_said_and_nobody_is_set_aside(home: Path) -> None:
    with council_of(home) as council:
        with pytest.raises(EngineError, match="num_beams=2"):
            council.chat("a traceback", num_beams=2, **GREEDY)
        assert not council.wellness.ailments()
        with pytest.raises(ConfigError, match="num_beams=2"):
            council.chat("a traceback", experts=["code"], num_beams=2)


def test_a_question_longer_than_the_window_is_refused_by_name(home: Path) -> None:
    with council_of(home) as council:
        with pytest.raises(PromptError, match="the last turn alone takes"):
            council.chat("a traceback " + "word " * 3000, **GREEDY)
        assert not council.wellness.ailments()
        assert council.chat("a traceback", **GREEDY).experts == ("code",)


@pytest.mark.parametrize("content", ["", " \n\t", "<|role=code|>", "<|role=code|>  "])
def test_nothing_is_no_question(home: Path, content: str) -> None:
    with council_of(home) as council, pytest.raises(PromptError, match="question is empty"):
        council.chat(content)


@pytest.mark.parametrize("message", [{"role": "user"}, {"content": "a"}, {"role": "user", "content": None}, "hello", 7])
def test_what_is_no_message_is_refused(home: Path, message: Any) -> None:
    with council_of(home) as council, pytest.raises(PromptError, match="a message has a role and a content"):
        council.chat([message])


def test_a_role_token_is_said_to_the_router_and_not_to_the_expert(home: Path, tmp_path: Path) -> None:
    rules = "default: general\nrules:\n- {name: by role, to: law, roles: [law]}\n"
    (tmp_path / "rules.yaml").write_text(rules, encoding="utf-8")
    with council_of(home, rules=str(tmp_path / "rules.yaml"), memory=str(tmp_path / "memory.db")) as council:
        answer = council.chat("<|role=law|> What may I do?", session="a", **GREEDY)
        assert answer.experts == ("law",)
        assert council.memory is not None
        assert next(iter(council.memory.messages(session="a"))).content == "What may I do?"
        assert council.chat("What may I do?", role="law", user="another", **GREEDY).message == answer.message
        unknown = council.chat("<|role=nonsense|> What may I do?", session="c", **GREEDY)
        assert unknown.experts == ("general",)
        assert "nonsense" in unknown.why


def test_rules_that_name_nobody_of_the_council_and_fallbacks_in_a_circle_are_refused(
    home: Path, tmp_path: Path
) -> None:
    (tmp_path / "rules.yaml").write_text("default: general\nrules:\n- {to: laww, words: [court]}\n", encoding="utf-8")
    with pytest.raises((ConfigError, UnknownNameError), match="laww"):
        council_of(home, rules=str(tmp_path / "rules.yaml"))
    with pytest.raises(ConfigError, match="circle"):
        council_of(home, fallbacks={"code": "law", "law": "code"})


def test_an_expert_larger_than_the_budget_is_stood_in_for_and_is_not_ill(home: Path) -> None:
    with Expert.from_pretrained(home / "code") as code:
        code.chat([ChatMessage("user", "hello")], max_new_tokens=2)
        one = code.num_bytes
    config = config_of(home, budget_mb=1.2 * one / 1e6)
    pool: ExpertPool[TextExpert] = ExpertPool(int(1.2 * one))
    for name in config.experts:
        pool.add(
            name, lambda name=name: Expert.from_pretrained(home / name), num_bytes=3 * one if name == "code" else one
        )  # type: ignore[misc]
    with Council(config, pool=pool) as council, pool:
        answer = council.chat("a traceback", **GREEDY)
        assert answer.experts == ("general",)
        assert "code cannot answer now" in answer.notices[0]
        assert "budget" in answer.notices[0]
        assert not council.wellness.ailments()


def test_an_expert_that_writes_nothing_is_named_and_the_next_is_asked(home: Path) -> None:
    with council_of(home) as council:
        silent = council.chat("a traceback", experts=["code"], max_new_tokens=1, choices=[" "], **GREEDY)
        assert silent.message.content == ""

    class Silent(Expert):
        def stream_chat(self, messages: Any, config: Any = None, **more: Any) -> Any:
            return super().stream_chat(messages, config, **{**more, "max_new_tokens": 1, "choices": [" "]})

    config = config_of(home)
    pool: ExpertPool[TextExpert] = ExpertPool(10**9)
    for name in config.experts:
        kind = Silent if name == "code" else Expert
        pool.add(name, lambda name=name, kind=kind: kind.from_pretrained(home / name), num_bytes=0)  # type: ignore[misc]
    with Council(config, pool=pool) as council, pool:
        answer = council.chat("a traceback", **GREEDY)
        assert answer.experts == ("general",)
        assert "code wrote nothing" in answer.notices


def test_where_nobody_is_sure_the_fallback_answers_and_not_who_was_leant_to(home: Path) -> None:
    class Unsure:
        def route(self, requests: Any) -> list[Route]:
            experts = (ScoredExpert("law", 0.4), ScoredExpert("code", 0.3))
            return [Route(experts, "not sure", "learned", abstains=True) for _ in requests]

    config = config_of(home, rules=None)
    with Council(config, router=Cascade([Unsure()], "general")) as council:
        answer = council.chat("what is this", session="a", **GREEDY)
        assert answer.experts == ("general",)
        assert answer.route.is_fallback
        assert council.chat("what is this", session="b", width=2, **GREEDY).experts == ("general", "law")


@contextmanager
def remote_council(
    home: Path, place: Path, *scripts: Script, **settings: Any
) -> Iterator[tuple[Council, Server, list[float]]]:
    """A council whose expert `code` is a server, the server, and the time by its clock, which tests move on."""
    now = [0.0]
    with serving(*scripts) as (server, expert):
        asked = {"base_url": expert.server.base_url, "model": "tiny", "retries": 0, **settings}
        RemoteServer.from_mapping(asked).save(place)
        config = config_of(home)
        config = config.with_changes(
            experts={**config.experts, "code": config.experts["code"].with_changes(place=str(place))}
        )
        with Council(config, wellness=Wellness(clock=lambda: now[0])) as council:
            yield council, server, now


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (hung_up, "the server at http://127.0.0.1"),
        (silent_after(), "nothing came within 0.2 s for the first piece"),
        (silent_after(STREAM), "nothing came within 0.2 s for the first piece"),
    ],
    ids=["down", "silent", "awake"],
)
def test_a_server_that_is_down_or_slow_is_stood_in_for_and_asked_again_after_a_pause(
    home: Path, tmp_path: Path, fault: Script, words: str
) -> None:
    with remote_council(home, tmp_path, fault, said("at last"), first_token_seconds=0.2) as (council, server, now):
        answer = council.chat("a traceback", **GREEDY)
        assert answer.experts == ("general",)
        assert words in answer.notices[0]
        for _ in range(3):
            assert council.chat("a traceback", **GREEDY).experts == ("general",)
        assert len(server.asked) == 1, "a server that is set aside is asked nothing"
        now[0] = 31.0
        assert council.chat("a traceback", **GREEDY).message.content == "at last"
        assert not council.wellness.ailments()


def test_a_server_that_stays_down_is_asked_once_a_pause_and_each_is_twice_as_long(home: Path, tmp_path: Path) -> None:
    with remote_council(home, tmp_path, hung_up) as (council, server, now):
        asked = []
        for second in range(0, 250, 5):
            now[0] = float(second)
            council.chat("a traceback", **{**GREEDY, "max_new_tokens": 1})
            asked.append(len(server.asked))
        assert [5 * asked.index(number) for number in range(1, asked[-1] + 1)] == [0, 30, 90, 210]


def test_a_server_that_never_stops_is_left_at_the_length_of_the_answer(home: Path, tmp_path: Path) -> None:
    def endless(connected: socket.socket) -> None:
        connected.sendall(STREAM)
        while True:
            connected.sendall(delta("more "))

    with remote_council(home, tmp_path, endless) as (council, _, _):
        answer = council.chat("a traceback", **GREEDY)
        assert answer.experts == ("code",)
        assert answer.message.content.startswith("more more ")
        assert answer.generation.ended == "length"


def test_an_expert_that_never_ends_by_itself_is_stopped_at_the_length_of_the_answer(home: Path) -> None:
    with council_of(home) as council:
        answer = council.chat("a traceback", **GREEDY)
        assert answer.generation.ended == "length"
        assert len(answer.generation.token_ids) == 6


def test_two_who_ask_for_one_cold_expert_load_it_once(home: Path) -> None:
    with council_of(home) as council:
        threads = [
            threading.Thread(target=council.chat, args=("a traceback",), kwargs={"session": str(n), **GREEDY})
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert council.pool.stats().experts["code"].num_loads == 1


@pytest.mark.parametrize("text", ["\udcff python", "\x00 python", "🙂" * 50 + " python", "python‮ suoicilam", "﻿python"])
def test_odd_characters_are_routed_and_answered(home: Path, tmp_path: Path, text: str) -> None:
    with council_of(home, memory=str(tmp_path / "memory.db")) as council:
        try:
            answer = council.chat(text, **GREEDY)
        except PromptError:  # what is no text is refused as what it is
            return
        assert answer.experts == ("code",)
