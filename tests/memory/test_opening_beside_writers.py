"""A store is opened while others write: nobody waits, and nobody's tables are locked against the other."""

import pytest

from interconnected_ai.memory import ThreeLevelMemory
from memory_stores import own_schema


def test_a_store_in_postgresql_is_opened_beside_a_transaction_that_writes(postgres_server: str) -> None:
    psycopg, address = pytest.importorskip("psycopg"), own_schema(postgres_server)
    with ThreeLevelMemory(address, background=False) as memory:
        memory.add("user", "I live in Riga.")
    with psycopg.connect(address) as writer:
        for table in ("messages", "facts", "search", "summaries", "vectors"):
            writer.execute(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE")  # as every writer holds them
        impatient = f"{address}%20-clock_timeout%3D3000"
        with ThreeLevelMemory(impatient, background=False) as beside:
            assert [message.content for message in beside.messages()] == ["I live in Riga."]
