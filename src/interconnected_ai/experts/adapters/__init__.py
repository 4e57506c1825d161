"""Adapters: LoRA matrices of some MB, each with a base that many of them share."""

from interconnected_ai.experts.adapters.card import is_adapter, read_card
from interconnected_ai.experts.adapters.folder import AdapterFiles, export_peft, read_adapter, save_adapter
from interconnected_ai.experts.adapters.weights import AdapterWeights, LowRank

__all__ = [
    "AdapterFiles",
    "AdapterWeights",
    "LowRank",
    "export_peft",
    "is_adapter",
    "read_adapter",
    "read_card",
    "save_adapter",
]
