"""Text for language models: from files to token blocks."""

from interconnected_ai.training.corpus.documents import Document

__all__ = ["Document"]
