"""A memory: remembering, finding, packing, moving, forgetting, with and without vectors."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from interconnected_ai.bench.growth.inputs import texts
from interconnected_ai.bench.growth.verb import Verb
from interconnected_ai.memory import Capacities, ThreeLevelMemory

Call = Callable[[], object]
_SMALL = Capacities(current_tokens=2000, stale_tokens=8000, long_tokens=20_000)


def _encode(given: Sequence[str], /) -> Any:
    """64 numbers a text, from its words."""
    table = np.zeros((len(given), 64), dtype=np.float32)
    for row, text in enumerate(given):
        for word in text.split():
            table[row, crc32(word.encode()) % 64] += 1.0
    return table / np.linalg.norm(table, axis=1, keepdims=True)


def _open(folder: Path, **settings: Any) -> ThreeLevelMemory:
    return ThreeLevelMemory(folder / "memory.db", _SMALL, background=False, **settings)


def _fill(memory: ThreeLevelMemory, count: int, *, num_sessions: int = 1) -> ThreeLevelMemory:
    for number, text in enumerate(texts(count)):
        role = "assistant" if number % 2 else "user"
        memory.add(role, text, session=f"s{number % num_sessions}", time=1e9 + 60 * number, id=f"m{number}")
    return memory


def _filled(count: int, folder: Path, **settings: Any) -> ThreeLevelMemory:
    memory = _fill(_open(folder, **settings), count)
    memory.catch_up()
    return memory


def _add(count: int, folder: Path) -> Call:
    memory = _open(folder)
    return lambda: _fill(memory, count)


def _add_sessions(count: int, folder: Path) -> Call:
    memory = _open(folder)
    return lambda: _fill(memory, 3 * count, num_sessions=count)


def _catch_up(count: int, folder: Path, **settings: Any) -> Call:
    memory = _fill(_open(folder, **settings), count)
    return lambda: memory.catch_up()


def _search(count: int, folder: Path, **settings: Any) -> Call:
    memory, queries = _filled(count, folder, **settings), texts(20, words=6, seed=9)
    return lambda: [memory.search(query, session="s0") for query in queries]


def _context(count: int, folder: Path) -> Call:
    memory, queries = _filled(count, folder), texts(5, words=6, seed=9)
    return lambda: [memory.context(query, session="s0", budget_tokens=3000) for query in queries]


def _read_all(count: int, folder: Path) -> Call:
    memory = _filled(count, folder)
    return lambda: (list(memory.messages(session="s0")), memory.summaries(session="s0"), memory.facts(session="s0"),
                    memory.stats(), memory.sessions())  # fmt: skip


def _pins(count: int, folder: Path) -> Call:
    memory, given = _open(folder), texts(count, words=2)  # pins together are short
    return lambda: ([memory.pin(text) for text in given], memory.pins())


def _export(count: int, folder: Path) -> Call:
    memory = _filled(count, folder)
    return lambda: memory.export_jsonl(folder / "log.jsonl", overwrite=True)


def _import(count: int, folder: Path) -> Call:
    source = _fill(_open(folder), count)
    source.export_jsonl(folder / "log.jsonl")
    source.close()
    empty = ThreeLevelMemory(folder / "other.db", _SMALL, background=False)
    return lambda: empty.import_jsonl(folder / "log.jsonl")


def _forget(count: int, folder: Path) -> Call:
    memory = _filled(count, folder)
    return lambda: memory.forget(session="s0", user="default", everything=True)


def _forget_some(count: int, folder: Path) -> Call:
    """A tenth of the messages, by their ids."""
    memory = _filled(count, folder)
    return lambda: memory.forget(*(f"m{number}" for number in range(0, count, 10)))


def _rebuild(count: int, folder: Path) -> Call:
    memory = _filled(count, folder)
    return lambda: memory.rebuild()


VERBS = (
    Verb("memory", "add", "messages", 150, _add, once=True),
    Verb("memory", "add", "sessions", 50, _add_sessions, once=True),
    Verb("memory", "catch up", "messages", 300, _catch_up, once=True),
    Verb("memory", "catch up with vectors", "messages", 300, lambda n, to: _catch_up(n, to, encode=_encode), once=True),
    Verb("memory", "search", "messages", 400, _search),
    Verb("memory", "search with vectors", "messages", 400, lambda n, to: _search(n, to, encode=_encode)),
    Verb("memory", "context", "messages", 400, _context),
    Verb("memory", "messages, summaries, facts, stats", "messages", 400, _read_all),
    Verb("memory", "pin", "pins", 15, _pins, once=True),
    Verb("memory", "export", "messages", 400, _export),
    Verb("memory", "import", "messages", 200, _import, once=True),
    Verb("memory", "forget a session", "messages", 200, _forget, once=True),
    Verb("memory", "forget messages", "messages", 200, _forget_some, once=True),
    Verb("memory", "rebuild", "messages", 300, _rebuild),
)
