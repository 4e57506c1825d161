"""What a store's index and vectors were made with: written down by the first who makes them, held to by all others.

The index of an earlier version of our analyser is searched as it stands, and made anew by jobs.
"""

from interconnected_ai.errors import ConfigError, DataError
from interconnected_ai.memory.jobs import want
from interconnected_ai.memory.store import Rows, Store
from interconnected_ai.text import analyzer_signature, can_search


def claim(store: Store, model_id: str | None) -> bool:
    """Take a new store for our analyser and vector model; returns whether the index can be searched with our analyser.

    Raises `ConfigError` for vectors of another model than ours.
    """
    with store.read() as rows:
        analyzer, model = remembered(rows, "analyzer"), remembered(rows, "vector_model")
        has_vectors = rows.one("SELECT 1 FROM vectors LIMIT 1") is not None
    if model_id is not None and model not in (None, model_id) and has_vectors:
        raise ConfigError(
            f"{store.location} holds vectors of {model!r}, encode is {model_id!r}: vectors of two models "
            "cannot be compared. Open it with the old model, or without encode, and rebuild()"
        )
    is_earlier = analyzer is not None and analyzer != analyzer_signature() and can_search(analyzer)
    wanted = {} if analyzer and not (is_earlier and store.is_writable) else {"analyzer": analyzer_signature()}
    if model_id is not None and model != model_id:
        wanted["vector_model"] = model_id
    if wanted:
        _write(store, wanted, index_again=is_earlier)
    return analyzer is None or can_search(analyzer)


def _write(store: Store, wanted: dict[str, str], *, index_again: bool) -> None:
    with store.write() as rows:
        store.lock_all(rows)
        if index_again and remembered(rows, "analyzer") != analyzer_signature():  # nobody else was first
            for (number,) in rows.all("SELECT number FROM sessions"):
                want(rows, "index", number)
        for name, value in wanted.items():
            remember(rows, name, value)
        if "vector_model" in wanted:
            rows.run("DELETE FROM meta WHERE name = 'vector_dimension'")
            for (number,) in rows.all("SELECT number FROM sessions"):
                want(rows, "embed", number)


def remembered(rows: Rows, name: str) -> str | None:
    """What was written down under this name, if anything."""
    found = rows.one("SELECT value FROM meta WHERE name = ?", name)
    return found[0] if found else None


def remember(rows: Rows, name: str, value: str) -> None:
    """Write it down, in place of what stood there."""
    rows.run(
        "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        name, value,
    )  # fmt: skip


def vector_dimension(rows: Rows) -> int | None:
    """The dimension of the vectors in a store, once there are any."""
    found = remembered(rows, "vector_dimension")
    return int(found) if found else None


def remember_dimension(rows: Rows, dimension: int) -> None:
    """Write down the dimension with the first vectors; a model that changes it is refused with an error."""
    rows.run(
        "INSERT INTO meta (name, value) VALUES ('vector_dimension', ?) ON CONFLICT (name) DO NOTHING", str(dimension)
    )
    found = vector_dimension(rows)
    if found != dimension:
        raise DataError(f"the store holds vectors of {found} dimensions, these have {dimension}")
