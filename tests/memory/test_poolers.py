"""A pooler in transaction mode gives each transaction another of the server's connections: nothing may be left on one.

What people report of programs behind PgBouncer and Supavisor: prepared statements that are there already, or not any more.
"""

import pytest

from interconnected_ai.errors import ConfigError, StorageError
from interconnected_ai.memory import ThreeLevelMemory
from memory_stores import count_words, own_schema

PREPARED = "SELECT count(*) FROM pg_prepared_statements"


def opened(address: str, more: str = "") -> ThreeLevelMemory:
    return ThreeLevelMemory(f"{address}{more}", background=False, count_tokens=count_words)


def used(memory: ThreeLevelMemory) -> int:
    """How many statements the server has prepared, once the memory has been used."""
    for number in range(12):
        memory.add("user", f"I like thing{number}.")
        assert memory.context("thing1", budget_tokens=100).text
    with memory.store.read() as rows:
        (number,) = rows.one(PREPARED) or (0,)
    return int(number)


def test_nothing_is_prepared_where_the_address_tells_of_a_pooler(postgres_server: str) -> None:
    address = own_schema(postgres_server)
    with opened(address, "&pgbouncer=true") as memory:
        assert used(memory) == 0
        assert "pgbouncer" not in memory.store.location
    with opened(address) as memory:
        assert used(memory) > 0


@pytest.mark.parametrize("more", ["&pgbouncer=true", "&pgbouncer=false", ""])
def test_bytes_are_erased_and_nothing_stays_set_on_the_connection(postgres_server: str, more: str) -> None:
    psycopg, address = pytest.importorskip("psycopg"), own_schema(postgres_server)
    with opened(address, more) as memory:
        memory.add("user", "I like plums.")
        with psycopg.connect(address) as reader:
            reader.execute("LOCK TABLE summaries IN ACCESS SHARE MODE")
            assert not memory.store.erase()
        assert memory.store.erase()
        with memory.store.read() as rows:
            assert rows.one("SHOW lock_timeout") == ("0",)


def mix_up(memory: ThreeLevelMemory) -> None:
    """As if a statement that was prepared went to another connection."""
    with memory.store.write() as rows:
        for _ in range(8):
            rows.one("SELECT 1")
        rows.run("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$")
        rows.one("SELECT 1")


def test_statements_that_are_mixed_up_are_an_error_that_names_the_remedy(postgres_server: str) -> None:
    with opened(own_schema(postgres_server)) as memory:
        used(memory)
        with pytest.raises(StorageError, match="add pgbouncer=true to the address"):
            mix_up(memory)
        assert len(list(memory.messages())) == 12


def test_a_pooler_is_there_or_not(postgres_server: str) -> None:
    with pytest.raises(ConfigError, match=r"pgbouncer=perhaps .*true or false"):
        opened(postgres_server, ("&" if "?" in postgres_server else "?") + "pgbouncer=perhaps")
