"""Experts: whole small language models, each for a domain."""

from interconnected_ai.experts.folder import ExpertCard, load_card, load_model, load_tokenizer, save_expert
from interconnected_ai.experts.model import ExpertModel

__all__ = ["ExpertCard", "ExpertModel", "load_card", "load_model", "load_tokenizer", "save_expert"]
