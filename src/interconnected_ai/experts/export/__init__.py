"""Exports: an expert in the formats of other programs."""

from interconnected_ai.experts.export.formats import FORMATS, PRECISIONS, Exported
from interconnected_ai.experts.export.gpt2 import write_gpt2

__all__ = ["FORMATS", "PRECISIONS", "Exported", "write_gpt2"]
