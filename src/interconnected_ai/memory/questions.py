"""What is asked, made ready for the search: its words, the time it speaks of, its vector."""

import logging
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from interconnected_ai.errors import ConfigError
from interconnected_ai.memory.provenance import vector_dimension
from interconnected_ai.memory.store import Store
from interconnected_ai.memory.times import Window, time_window
from interconnected_ai.memory.vectors import VectorModel
from interconnected_ai.text import unit_rows

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Question:
    """A query as the legs take it. vector: its embedding, where there is one. window: the time it speaks of.

    zone: where the asker's clock hangs, None where this machine's does.
    """

    text: str
    window: Window | None = None
    vector: Any = None
    zone: tzinfo | None = None


def question_of(query: str, now: float, zone: tzinfo | None, store: Store, model: VectorModel | None) -> Question:
    """The question in a query. now: the moment that "yesterday" is seen from, in seconds since 1970, by a clock in the zone."""
    if not isinstance(query, str):
        raise ConfigError(f"query is {type(query).__name__}; needed is text")
    return Question(query, time_window(query, now, zone), _vector_of(query, store, model), zone)


def _vector_of(query: str, store: Store, model: VectorModel | None) -> Any:
    """The query's embedding; None without a model, and when the model fails: words find most of it too."""
    if model is None or not query.strip():
        return None
    with store.read() as rows:
        dimension = vector_dimension(rows)
    if dimension is None:  # nothing is embedded yet
        return None
    try:
        return unit_rows(model.encode_query([query]), 1, dimension, model.model_id)[0]
    except Exception as error:  # noqa: BLE001 - a foreign callable may raise anything
        log.warning("memory: %s failed on the query, the search goes on without vectors: %s", model.model_id, error)
        return None
