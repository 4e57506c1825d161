"""Real text that needs no download: the docstrings of installed libraries, each labelled with the module it documents.

The rows are the public classes and functions of a module (not their methods), each with the prose its docstring opens
with; `docstring_rows` says exactly which of them are kept."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from interconnected_ai.arguments import checked
from interconnected_ai.data.harvest.libraries import LIBRARIES, Documented, documented

__all__ = ["LIBRARIES", "DocstringRow", "docstring_rows"]

MAX_CHARACTERS = 300  # what a short encoder window (64 tokens) can see
MIN_WORDS = 6  # "Return the name." says nothing about where it stands


@dataclass(frozen=True)
class DocstringRow:
    """One text with its class: the opening prose of a docstring, and the module that it documents."""

    text: str
    label: str
    source: str


@checked
def docstring_rows(library: str, *, min_rows_per_class: int = 12) -> list[DocstringRow]:
    """The documented public classes and functions of a library, labelled by module; the same list on every call.

    A label is the module's first two dotted parts ("torch.nn"), or one for the standard library ("asyncio"). A text is
    the docstring up to its first section, example or directive, without signature lines, at most 300 characters and at
    least 6 words. Texts are distinct; one found under two labels is in neither. Labels with fewer than
    `min_rows_per_class` texts are left out."""
    rows = {row for one in documented(library) if one.kind == "definition" for row in _row(one)}
    return _in_large_classes(
        _distinct(sorted(rows, key=lambda row: (row.label, row.source, row.text))), min_rows_per_class
    )


def _distinct(rows: list[DocstringRow]) -> list[DocstringRow]:
    """Each text once, at its first source; none that stands under several labels."""
    labels: dict[str, set[str]] = {}
    first: dict[str, DocstringRow] = {}
    for row in rows:
        labels.setdefault(row.text, set()).add(row.label)
        first.setdefault(row.text, row)
    return [row for text, row in first.items() if len(labels[text]) == 1]


def _in_large_classes(rows: list[DocstringRow], smallest: int) -> list[DocstringRow]:
    sizes = Counter(row.label for row in rows)
    return [row for row in rows if sizes[row.label] >= smallest]


# --- from docstring to text ---------------------------------------------------------------------------------------

_PROSE_ENDS = re.compile(
    r"^[ \t]*(?:>>>|\.\. |-{3,}\s*$|={3,}\s*$|[A-Z][a-z]+(?: [A-Z]?[a-z]+)?\s*:{1,2}[ \t]*$"
    r"|[A-Z][a-z]+(?: [A-Z]?[a-z]+)?\n[ \t]*[-=~]{3,})",
    re.MULTILINE,
)


def _row(one: Documented) -> Iterator[DocstringRow]:
    text = _prose(one.docstring)
    if len(text.split()) >= MIN_WORDS:
        yield DocstringRow(text, one.label, one.source)


def _prose(docstring: str) -> str:
    """What the docstring says before its first section, example or directive, on one line."""
    text = without_signatures(docstring.strip())
    end = _PROSE_ENDS.search(text)
    words = " ".join(text[: end.start()].split() if end else text.split())
    return words if len(words) <= MAX_CHARACTERS else words[: MAX_CHARACTERS + 1].rpartition(" ")[0]


def without_signatures(text: str) -> str:
    """The text after any leading `name(arguments) -> result` lines."""
    while re.match(r"[\w.]+\(", text):
        after = _after_parentheses(text)
        line, _, rest = after.partition("\n")
        if line.strip() and not line.lstrip().startswith(("->", "=>", ":")):
            break  # prose that opens with a call: "divmod(a, b) is ..."
        text = (line.partition(" -- ")[2] + "\n" + rest).strip()
    return text


def _after_parentheses(text: str) -> str:
    """What follows the first balanced pair of parentheses; nothing when it never closes."""
    depth = 0
    for place, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == ")" and depth == 0:
            return text[place + 1 :]
    return ""
