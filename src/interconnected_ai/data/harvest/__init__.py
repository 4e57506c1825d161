"""Real text that needs no download: what installed libraries say of themselves.

`documentation` gives whole docstrings for language models, `docstring_rows` short labelled ones for classifiers.
"""

from interconnected_ai.data.harvest.docstrings import DocstringRow, docstring_rows
from interconnected_ai.data.harvest.documentation import documentation
from interconnected_ai.data.harvest.libraries import LIBRARIES

__all__ = ["LIBRARIES", "DocstringRow", "docstring_rows", "documentation"]
