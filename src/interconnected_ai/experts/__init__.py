"""Experts: whole small language models, each for a domain."""

from interconnected_ai.experts.decoder import Decoder
from interconnected_ai.experts.expert import Expert
from interconnected_ai.experts.folder import ExpertCard, load_card, load_expert, load_model, load_tokenizer, save_expert
from interconnected_ai.experts.generation import generate
from interconnected_ai.experts.model import ExpertModel
from interconnected_ai.experts.scoring import HeldOut, Perplexity, measure
from interconnected_ai.experts.torch_engine import TorchEngine

__all__ = [
    "Decoder",
    "Expert",
    "ExpertCard",
    "ExpertModel",
    "HeldOut",
    "Perplexity",
    "TorchEngine",
    "generate",
    "load_card",
    "load_expert",
    "load_model",
    "load_tokenizer",
    "measure",
    "save_expert",
]
