"""Real text that needs no download: what installed libraries say of themselves, and programs to their users.

`documentation` gives whole docstrings for language models, `docstring_rows` short labelled ones for classifiers, and
`message_rows` the same in Russian: messages of programs.
"""

from interconnected_ai.data.harvest.docstrings import DocstringRow, docstring_rows
from interconnected_ai.data.harvest.documentation import documentation, documentation_by_module
from interconnected_ai.data.harvest.libraries import LIBRARIES
from interconnected_ai.data.harvest.messages import PROGRAMS, MessageRow, message_rows

__all__ = [
    "LIBRARIES",
    "PROGRAMS",
    "DocstringRow",
    "MessageRow",
    "docstring_rows",
    "documentation",
    "documentation_by_module",
    "message_rows",
]
