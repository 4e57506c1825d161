"""Experts: whole small language models, each for a domain."""

from interconnected_ai.experts.decoder import Decoder
from interconnected_ai.experts.engine import Engine
from interconnected_ai.experts.engines import choose_engine, open_engine, runnable_engines
from interconnected_ai.experts.expert import Expert
from interconnected_ai.experts.export import export_expert, write_gpt2
from interconnected_ai.experts.folder import ExpertCard, save_expert
from interconnected_ai.experts.generation import generate
from interconnected_ai.experts.loading import load_card, load_expert, load_model, load_tokenizer
from interconnected_ai.experts.model import ExpertModel
from interconnected_ai.experts.quantized import QuantizedSize, quantize_expert
from interconnected_ai.experts.scoring import HeldOut, Perplexity, measure
from interconnected_ai.experts.torch_engine import TorchEngine

__all__ = [
    "Decoder",
    "Engine",
    "Expert",
    "ExpertCard",
    "ExpertModel",
    "HeldOut",
    "Perplexity",
    "QuantizedSize",
    "TorchEngine",
    "choose_engine",
    "export_expert",
    "generate",
    "load_card",
    "load_expert",
    "load_model",
    "load_tokenizer",
    "measure",
    "open_engine",
    "quantize_expert",
    "runnable_engines",
    "save_expert",
    "write_gpt2",
]
