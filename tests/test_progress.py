"""Progress of long work off a terminal: when a line comes, and what it says."""

import logging
from pathlib import Path

import pytest

from interconnected_ai.memory import ThreeLevelMemory
from interconnected_ai.progress import Progress, spoken_duration


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_a_line_comes_every_ten_seconds_and_says_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Progress(100, 0, "training", clock=clock) as progress:
        for step in range(1, 101):
            clock.seconds += 1.0
            progress.advance(step, f"loss {step}")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[0] == "training: 10 of 100, loss 10, 10 s, 1 min 30 s left"
    assert lines[1] == "training: 20 of 100, loss 20, 20 s, 1 min 20 s left"
    assert lines[-1] == "training: 100 of 100, loss 100, 1 min 40 s"


def test_the_last_state_is_told_where_lines_were_told_before_it(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Progress(12, 0, "encoding", clock=clock) as progress:
        for step in range(1, 13):
            clock.seconds += 1.0
            progress.advance(step)
    assert capsys.readouterr().err.splitlines() == ["encoding: 10 of 12, 10 s, 2 s left", "encoding: 12 of 12, 12 s"]


def test_short_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(100, 0, "training", clock=Clock()) as progress:
        for step in range(100):
            progress.advance(step)
    assert capsys.readouterr().err == ""


def test_what_an_earlier_run_has_done_does_not_count_as_fast(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Progress(1000, 900, "training", clock=clock) as progress:
        clock.seconds = 10.0
        progress.advance(950)
    assert capsys.readouterr().err == "training: 950 of 1,000, 10 s, 10 s left\n"


def test_a_logger_that_shows_warnings_alone_makes_progress_silent(capsys: pytest.CaptureFixture[str]) -> None:
    ours, clock = logging.getLogger("interconnected_ai"), Clock()
    before = ours.level
    ours.setLevel(logging.WARNING)
    try:
        with Progress(10, 0, "training", clock=clock) as progress:
            clock.seconds = 60.0
            progress.advance(5)
    finally:
        ours.setLevel(before)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (100.4, "1 min 40 s"), (7500, "2 h 05 min")],
)
def test_durations_are_said_in_the_units_that_count(seconds: float, words: str) -> None:
    assert spoken_duration(seconds) == words


def test_an_import_tells_of_its_lines_and_its_work_of_the_jobs_left(tmp_path: Path) -> None:
    rows = [f'{{"role": "user", "content": "my cat number {n} is called Tom {n}"}}\n' for n in range(300)]
    (tmp_path / "chat.jsonl").write_text("".join(rows), encoding="utf-8")
    lines: list[tuple[int, int]] = []
    jobs: list[int] = []
    with ThreeLevelMemory(tmp_path / "memory.db", background=False) as memory:
        memory.import_jsonl(tmp_path / "chat.jsonl", progress=lambda done, total: lines.append((done, total)))
        waiting = memory.stats().num_jobs
        assert memory.catch_up(progress=jobs.append) == 0
    assert lines == [(n, 300) for n in range(1, 301)]
    assert waiting
    assert len(jobs) >= waiting
    assert jobs[-1] == 0
