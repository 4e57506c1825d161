"""How long the second turn of a chat waits for its first piece, beside the first: what need not be read again."""

import time
from dataclasses import dataclass
from statistics import median
from typing import Any

from interconnected_ai.bench.timing import machine
from interconnected_ai.experts import ChatAnswer, Conversation, Expert
from interconnected_ai.types import ChatMessage

_SENTENCES = (
    "A tensor is a multi-dimensional matrix that holds elements of a single data type. ",
    "Its shape says how many elements there are along every dimension. ",
    "An operation that changes a tensor in place is marked with an underscore at its end. ",
    "The memory of a view is that of the tensor which it was made from. ",
)
_NEXT = "And how are two tensors of different shapes added?"


@dataclass(frozen=True)
class _Turn:
    seconds: float  # until the first piece
    answer: ChatAnswer


def bench_second_turn(expert: Expert, *, num_history: int = 1000, num_new: int = 8, repeats: int = 5) -> dict[str, Any]:
    """Chats of two turns, greedy, each begun anew; the first has about `num_history` tokens. Keys are those of `--json`.

    second_turn_share: median time to the first piece of the second answer, over that of the first. same_answers: whether every
    second answer is the one that comes when everything is read again.
    """
    told = _of_tokens(expert, num_history)
    settings: dict[str, Any] = {"max_new_tokens": num_new, "temperature": 0.0}
    firsts, seconds, are_same = [], [], []
    for _ in range(repeats + 1):
        talk = Conversation(expert)
        firsts.append(_turn(talk, told, settings))
        seconds.append(_turn(talk, _NEXT, settings))
        again = expert.chat(talk.messages[:-1], **settings)
        are_same.append(again.generation == seconds[-1].answer.generation)
        talk.reset()
    first, second = (
        median(turn.seconds for turn in turns[1:]) for turns in (firsts, seconds)
    )  # one prepares the weights
    return {
        "machine": machine(),
        "num_first_tokens": firsts[-1].answer.num_prompt_tokens,
        "num_second_tokens": seconds[-1].answer.num_prompt_tokens,
        "num_known_tokens": seconds[-1].answer.num_known_tokens,
        "first_ms": 1000 * first,
        "second_ms": 1000 * second,
        "second_turn_share": second / first,
        "same_answers": all(are_same),
    }


def _turn(talk: Conversation, text: str, settings: dict[str, Any]) -> _Turn:
    began = time.perf_counter()
    with talk.say(text, **settings) as answering:
        next(answering, None)
        waited = time.perf_counter() - began
        return _Turn(waited, answering.result())


def _of_tokens(expert: Expert, num_tokens: int) -> str:
    """Sentences that make a first turn of about this many tokens."""
    text, number = "", 0
    while not text or expert.template.count([ChatMessage("user", text)]) < num_tokens:
        text += _SENTENCES[number % len(_SENTENCES)]
        number += 1
    return text.strip()
