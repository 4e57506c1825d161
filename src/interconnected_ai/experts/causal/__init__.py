"""Pretrained causal language models of Hugging Face on the torch engine: any architecture, and a lean way for Llama's kin."""

from interconnected_ai.experts.causal.engine import CausalEngine
from interconnected_ai.experts.causal.generic_decoder import GenericDecoder
from interconnected_ai.experts.causal.int4_engine import Int4Engine
from interconnected_ai.experts.causal.int4_parts import why_not_int4
from interconnected_ai.experts.causal.lean_decoder import LeanDecoder
from interconnected_ai.experts.causal.llama_parts import LlamaParts, why_not_lean

__all__ = ["CausalEngine", "GenericDecoder", "Int4Engine", "LeanDecoder", "LlamaParts", "why_not_int4", "why_not_lean"]
