"""Exports: an expert in the formats of other programs."""

from interconnected_ai.experts.export.formats import FORMATS, Exported, export_expert
from interconnected_ai.experts.export.gpt2 import write_gpt2

__all__ = ["FORMATS", "Exported", "export_expert", "write_gpt2"]
