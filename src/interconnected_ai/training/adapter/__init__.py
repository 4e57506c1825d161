"""Training adapters: a LoRA on a frozen pretrained base, from documents or conversations to an adapter's folder."""

from interconnected_ai.training.adapter.examples import Conversations, DocumentPieces, Example, Examples
from interconnected_ai.training.adapter.fit import AdapterFit, fit_adapter
from interconnected_ai.training.adapter.learner import AdapterLearner, Foretold, foretell
from interconnected_ai.training.adapter.network import AdaptedNetwork
from interconnected_ai.training.adapter.objective import AdapterObjective
from interconnected_ai.training.adapter.packing import PackedBatch, Packing

__all__ = [
    "AdaptedNetwork",
    "AdapterFit",
    "AdapterLearner",
    "AdapterObjective",
    "Conversations",
    "DocumentPieces",
    "Example",
    "Examples",
    "Foretold",
    "PackedBatch",
    "Packing",
    "fit_adapter",
    "foretell",
]
