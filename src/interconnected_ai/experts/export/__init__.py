"""Exports: an expert in the formats of other programs."""

from interconnected_ai.experts.export.formats import FORMATS, Exported, export_expert

__all__ = ["FORMATS", "Exported", "export_expert"]
