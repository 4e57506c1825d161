"""Six domains that are on every machine with this package's extras: documentation of four libraries, Python, C++ headers."""

import ast
import re
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch

from interconnected_ai.bench.domain_texts import Domain, domains_of
from interconnected_ai.data import LIBRARIES, Document, documentation
from interconnected_ai.text import digest_of

_KEY = b"council"
_SHORTEST, _LONGEST = 200, 2_000  # characters of a piece of code
_HEADERS = ("c10", "torch/csrc/api")


def council_domains(names: Sequence[str], *, most_bytes: int, held_fraction: float, seed: int = 0) -> list[Domain]:
    """These domains, each of as many bytes: `most_bytes`, or what the smallest of them has.

    held_fraction: of each, for validation and for the test. What is kept is drawn by a hash of the texts.
    Raises `MissingExtraError` for a library that is not installed.
    """
    texts = {name: SOURCES[name]() for name in names}
    room = min(most_bytes, *(sum(map(_size, found)) for found in texts.values()))
    kept = {name: _drawn(found, room) for name, found in texts.items()}
    found = domains_of(kept, len(kept), validation_fraction=held_fraction, test_fraction=held_fraction, seed=seed)
    return sorted(found, key=lambda domain: list(names).index(domain.name))


def _drawn(documents: Sequence[Document], room: int) -> list[Document]:
    kept = []
    for document in sorted(documents, key=lambda one: digest_of(one.text, _KEY)):
        room -= _size(document)
        if room < 0:
            break
        kept.append(document)
    return kept


def _size(document: Document) -> int:
    return len(document.text.encode())


def _python() -> list[Document]:
    """Functions and classes of the standard library without their docstrings, which are another domain's."""
    folder = Path(sysconfig.get_path("stdlib"))
    return [
        document
        for path in sorted(folder.rglob("*.py"))
        if not {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3"}
        & set(path.relative_to(folder).parts)
        for document in _definitions(path, str(path.relative_to(folder)))
    ]


def _definitions(path: Path, source: str) -> Iterator[Document]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return  # a template, or for another version
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield from _pieces(ast.unparse(node), f"{source}:{node.name}")


def _headers() -> list[Document]:
    """What PyTorch's C++ headers declare, cut at empty lines."""
    include = Path(torch.__file__).parent / "include"
    paths = [path for folder in _HEADERS for path in sorted((include / folder).rglob("*.h"))]
    return [
        document
        for path in paths
        for document in _pieces(path.read_text(encoding="utf-8", errors="replace"), str(path.relative_to(include)))
    ]


def _pieces(text: str, source: str) -> Iterator[Document]:
    """Paragraphs put together up to `_LONGEST` characters; what is short alone is left out."""
    piece = ""
    for paragraph in [*re.split(r"\n\s*\n", text), ""]:
        if piece and (not paragraph or len(piece) + len(paragraph) > _LONGEST):
            if len(piece) >= _SHORTEST:
                yield Document(piece[:_LONGEST], source)
            piece = ""
        piece = f"{piece}\n\n{paragraph}" if piece else paragraph


def _documentation(library: str) -> Callable[[], list[Document]]:
    return lambda: documentation(library)


SOURCES: Mapping[str, Callable[[], list[Document]]] = {
    **{library: _documentation(library) for library in LIBRARIES},
    "python": _python,
    "c++": _headers,
}
DOMAINS = tuple(SOURCES)
