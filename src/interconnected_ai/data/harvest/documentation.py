"""Real text for a first expert, with no download: the documentation of the installed libraries, whole docstrings.

Each text stands once. Libraries repeat themselves (`numpy.random.normal` and `Generator.normal`, `torch.add` and
`Tensor.add`), and a text that is learnt from in one copy cannot be held out in another."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from interconnected_ai.arguments import checked
from interconnected_ai.data.corpus.documents import Document
from interconnected_ai.data.harvest.docstrings import without_signatures
from interconnected_ai.data.harvest.libraries import LIBRARIES, documented

__all__ = ["LIBRARIES", "documentation", "documentation_by_module"]

MIN_WORDS = 4
_RUN_WORDS = 8  # two texts that share most of their runs of eight words are copies of one another
_MOST_REPEATED = 0.5

_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")  # where an object lay in memory: another number in every process
_INVISIBLE = re.compile(r"[^\S\n ]|[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\ufeff]")
# SciPy, once somebody has imported it, writes this section into numpy.sinc: the texts would depend on who was here first.
_ADDED_BY_SCIPY = re.compile(r"^\*\*Array API Standard Support\*\*$.*?(?=^\w+\n-{3,}$|\Z)", re.MULTILINE | re.DOTALL)
_WORD = re.compile(r"\w+")


@checked
def documentation(library: str) -> list[Document]:
    """All docstrings of a library's public modules, classes, functions and methods, in order of their names.

    A docstring is kept whole, with its sections and examples; its source is the dotted name that it documents. Left out
    are signatures without a sentence, texts of fewer than four words, and copies: texts of which more than half (counted
    in runs of eight words) stands in others, whose names are shorter.

    Raises `UnknownNameError` for a library other than `LIBRARIES`, `MissingExtraError` for one that is not installed.
    """
    return _kept(
        {Document(_clean(one.docstring), one.source) for one in documented(library) if _is_of(library, one.source)}
    )


@checked
def documentation_by_module(libraries: Sequence[str] = LIBRARIES) -> dict[str, list[Document]]:
    """The same of several libraries by the module that is documented: its first two dotted parts ("torch.nn"), or one for the
    standard library ("asyncio"); in the order of their names. Copies stand once in all of them together.

    Raises as `documentation` does.
    """
    modules: dict[Document, str] = {}
    for library in libraries:
        for one in documented(library):
            if _is_of(library, one.source):
                modules.setdefault(Document(_clean(one.docstring), one.source), one.label)
    found: dict[str, list[Document]] = defaultdict(list)
    for document in _kept(modules):
        found[modules[document]].append(document)
    return dict(sorted(found.items()))


def _kept(found: Iterable[Document]) -> list[Document]:
    shortest_first = sorted(found, key=lambda one: (len(one.source), one.source, one.text))
    return sorted(_without_copies(shortest_first), key=lambda one: (one.source, one.text))


def _is_of(library: str, source: str) -> bool:
    """Whether a name is the library's own: modules also hold what they import, such as `functools.reduce`."""
    return library == "stdlib" or source.split(".")[0] == library


def _clean(docstring: str) -> str:
    """NFC, no trailing or invisible characters, at most one empty line in a row."""
    text = _ADDED_BY_SCIPY.sub("", unicodedata.normalize("NFC", docstring.expandtabs()))
    text = _ADDRESS.sub("at 0x…", _INVISIBLE.sub(" ", text))
    lines = "\n".join(line.rstrip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", lines).strip("\n")


def _without_copies(documents: Iterable[Document]) -> Iterator[Document]:
    seen: set[tuple[str, ...]] = set()
    for document in documents:
        words = _WORD.findall(document.text.casefold())
        runs = {tuple(words[start : start + _RUN_WORDS]) for start in range(max(1, len(words) - _RUN_WORDS + 1))}
        says_something = len(words) >= MIN_WORDS and without_signatures(document.text)
        if says_something and len(runs & seen) <= _MOST_REPEATED * len(runs):
            yield document
        seen |= runs
