"""Answers of one model made together: rows of any number of calls join and leave between two steps (continuous batching)."""

from interconnected_ai.experts.batching.admission import Admission
from interconnected_ai.experts.batching.batcher import Batcher, BatcherStats
from interconnected_ai.experts.batching.reading import RowDecoder

__all__ = ["Admission", "Batcher", "BatcherStats", "RowDecoder"]
