"""What a turn of a council costs beside the expert's own work: memory, routing and pool, with the expert in memory."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from statistics import median
from typing import Any

from interconnected_ai.bench.council_quickstart import COUNCIL, QUESTIONS
from interconnected_ai.bench.everyday_requests import EVERYDAY_REQUESTS
from interconnected_ai.bench.timing import machine
from interconnected_ai.config import CouncilConfig
from interconnected_ai.council import Council, CouncilAnswer, Timings

ANSWER_TOKENS = 64
MOST_OVERHEAD = 0.15
_TOLD = 400  # messages that the memory holds before the first turn
Say = Callable[[str], None]


def bench_council_turn(folder: Path, *, repeats: int = 3, say: Say = print) -> dict[str, Any]:
    """Seconds of the parts of a turn in the council that `run_council_quickstart` made in `folder`. Keys of the JSON.

    Every question is asked `repeats` times, each in a session of its own, of a memory with some hundred messages, which is
    thrown away afterwards. overhead_share: of all turns together.
    """
    with tempfile.TemporaryDirectory() as scratch:
        config = CouncilConfig.from_file(folder / COUNCIL).seen_from(folder.resolve())
        config = config.with_changes(memory=str(Path(scratch) / "memory.db"))
        with Council(config) as council:
            _fill(council)
            questions = [question for own in QUESTIONS.values() for question in own]
            say(f"Asking {len(questions)} questions once to warm up, then {repeats} times …")
            _ask(council, questions, "warm")
            answers = [answer for number in range(repeats) for answer in _ask(council, questions, str(number))]
    return {"machine": machine(), "answer_tokens": ANSWER_TOKENS, **turn_figures(answers)}


def turn_figures(answers: Sequence[CouncilAnswer]) -> dict[str, Any]:
    """overhead_share, and the median milliseconds of every part of a turn."""
    own = sum(_overhead(answer.timings) for answer in answers)
    all_of_it = own + sum(answer.timings.generate for answer in answers)
    parts = {
        field.name: median(1000 * getattr(answer.timings, field.name) for answer in answers)
        for field in fields(Timings)
    }
    return {
        "num_turns": len(answers),
        "overhead_share": own / all_of_it if all_of_it else 0.0,
        "turn_ms": parts,
        "turn_prompt_tokens": median(answer.num_prompt_tokens for answer in answers),
        "turn_recalled_tokens": median(answer.num_recalled_tokens for answer in answers),
    }


def _overhead(took: Timings) -> float:
    return took.recall + took.route + took.borrow + took.remember


def _fill(council: Council) -> None:
    """What was said before: everyday talk in sessions of ten messages."""
    assert council.memory is not None
    for number in range(_TOLD):
        text = EVERYDAY_REQUESTS[number % len(EVERYDAY_REQUESTS)]
        role = "user" if number % 2 == 0 else "assistant"
        council.memory.add(role, f"{text} ({number})", session=f"before {number // 10}", user="somebody")


def _ask(council: Council, questions: Sequence[str], session: str) -> list[CouncilAnswer]:
    settings: dict[str, Any] = {"temperature": 0.0, "max_new_tokens": ANSWER_TOKENS}
    return [
        council.chat(question, session=f"{session} {number}", user="somebody", **settings)
        for number, question in enumerate(questions)
    ]
