"""Training adapters: a LoRA on a frozen pretrained base, from documents or conversations to an adapter's folder."""

from interconnected_ai.training.adapter.ahead import AdapterAhead, look_ahead
from interconnected_ai.training.adapter.examples import Conversations, DocumentPieces, Example, Examples
from interconnected_ai.training.adapter.fit import AdapterFit, fit_adapter
from interconnected_ai.training.adapter.learner import AdapterLearner, Foretold, foretell
from interconnected_ai.training.adapter.network import AdaptedNetwork
from interconnected_ai.training.adapter.objective import AdapterObjective
from interconnected_ai.training.adapter.opening import base_tokenizer
from interconnected_ai.training.adapter.packing import PackedBatch, Packing
from interconnected_ai.training.adapter.run import (
    AdapterRun,
    adapter_training_folder,
    refuse_taken_adapter,
    train_adapter,
)

__all__ = [
    "AdaptedNetwork",
    "AdapterAhead",
    "AdapterFit",
    "AdapterLearner",
    "AdapterObjective",
    "AdapterRun",
    "Conversations",
    "DocumentPieces",
    "Example",
    "Examples",
    "Foretold",
    "PackedBatch",
    "Packing",
    "adapter_training_folder",
    "base_tokenizer",
    "fit_adapter",
    "foretell",
    "look_ahead",
    "refuse_taken_adapter",
    "train_adapter",
]
