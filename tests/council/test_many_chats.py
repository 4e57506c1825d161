"""Two hundred chats at once over sixteen experts, of which the budget holds five: each is answered as it is alone."""

import threading
from pathlib import Path

import pytest
import yaml

pytest.importorskip("re2")

from tests.council.tiny_councils import saved_expert

from interconnected_ai.config import CouncilConfig
from interconnected_ai.council import Council
from interconnected_ai.experts import Expert
from interconnected_ai.types import ChatMessage

WORDS = "amber birch cedar delta ember fjord grove heath inlet jetty knoll larch maple night ocean pearl".split()
GREEDY = {"temperature": 0.0, "max_new_tokens": 5}
CHATS = 200


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("many")
    for seed, word in enumerate(WORDS):
        saved_expert(place / word, seed)
    rules = {"default": WORDS[0], "rules": [{"name": word, "to": word, "words": [word]} for word in WORDS]}
    (place / "rules.yaml").write_text(yaml.safe_dump(rules), encoding="utf-8")
    return place


def config(home: Path, memory: Path, budget_mb: float) -> CouncilConfig:
    return CouncilConfig.from_mapping(
        {
            "experts": {word: {"place": str(home / word)} for word in WORDS}, "fallback": WORDS[0],
            "rules": str(home / "rules.yaml"), "semantic": False, "memory": str(memory), "budget_mb": budget_mb,
            "wait_seconds": 3600,
        }
    )  # fmt: skip


def test_every_answer_is_the_one_that_the_question_has_alone(home: Path, tmp_path: Path) -> None:
    with Expert.from_pretrained(home / WORDS[0]) as one:
        one.chat([ChatMessage("user", "hello")], **GREEDY)
        taken = one.num_bytes / 1e6
    questions = [f"Tell me of {WORDS[number % 16]}, number {number}." for number in range(CHATS)]
    with Council(config(home, tmp_path / "alone.db", 100.0)) as council:
        alone = [council.chat(text, user=f"user {n}", **GREEDY) for n, text in enumerate(questions)]
    assert len({answer.experts for answer in alone}) > 12

    found: dict[int, object] = {}
    with Council(config(home, tmp_path / "together.db", 5.5 * taken)) as council:

        def ask(number: int) -> None:
            try:
                if number % 7 == 3:  # somebody leaves in the middle
                    stream = council.stream(
                        questions[number], user=f"user {number}", **{**GREEDY, "max_new_tokens": 100}
                    )
                    next(stream)
                    stream.close()
                    found[number] = None
                else:
                    found[number] = council.chat(questions[number], user=f"user {number}", **GREEDY)
            except Exception as error:  # noqa: BLE001 - it is looked at below
                found[number] = error

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(CHATS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        stats = council.pool.stats()
        assert council.memory is not None
        for number, expected in enumerate(alone):
            answer = found[number]
            if number % 7 == 3:
                assert answer is None
                assert not council.memory.sessions(user=f"user {number}")
                continue
            assert getattr(answer, "message", answer) == expected.message
            assert getattr(answer, "experts", None) == expected.experts
            assert getattr(answer, "notices", None) == expected.notices
            said = [message.content for message in council.memory.messages(session="default", user=f"user {number}")]
            assert said[0] == questions[number]
        assert all(each.num_borrowers == 0 for each in stats.experts.values())
        assert stats.num_waiting == 0
        assert stats.num_evictions > 0
        assert stats.peak_bytes <= stats.budget_bytes
        assert not council.wellness.ailments()
