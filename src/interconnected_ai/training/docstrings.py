"""Real text that needs no download: the docstrings of installed libraries, each labelled with the module it documents.

The rows are the public classes and functions of a module (not their methods), each with the prose its docstring opens
with; `docstring_rows` says exactly which of them are kept."""

import ast
import inspect
import re
import sys
import sysconfig
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from interconnected_ai.errors import UnknownNameError
from interconnected_ai.extras import require

LIBRARIES: tuple[str, ...] = ("stdlib", "numpy", "torch", "sklearn")

MAX_CHARACTERS = 300  # what a short encoder window (64 tokens) can see
MIN_WORDS = 6  # "Return the name." says nothing about where it stands

# Written in C or loaded at start, with no source to read: on every platform, and importing them does nothing else.
_COMPILED_STDLIB = ("builtins", "cmath", "gc", "itertools", "math", "os", "sys", "time", "unicodedata")

# Anybody may put their own in place of these (pytest does), so what they say depends on who is asking.
_REPLACEABLE = frozenset({"breakpointhook", "displayhook", "excepthook", "unraisablehook"})

# fmt: off
# Games, windows and tools rather than libraries; and what 3.12 and 3.13 took out, so that the versions agree.
_LEFT_OUT_STDLIB = frozenset({
    "antigravity", "ensurepip", "idlelib", "lib2to3", "test", "this", "tkinter", "turtle", "turtledemo", "venv",
    "aifc", "asynchat", "asyncore", "audioop", "cgi", "cgitb", "chunk", "crypt", "distutils", "imghdr", "imp",
    "mailcap", "msilib", "nis", "nntplib", "ossaudiodev", "pipes", "smtpd", "sndhdr", "spwd", "sunau", "telnetlib",
    "uu", "xdrlib",
})

# Left unimported: old names that only warn, tools for a compiler, a cluster, mypy or pytest, copies of other
# libraries, and the twins of torch.cuda for other devices, which say the same in the same words.
_LEFT_OUT = frozenset({
    "numpy.core", "numpy.distutils", "numpy.matlib", "numpy.typing.mypy_plugin", "sklearn.externals",
    "sklearn.utils.estimator_checks", "torch.accelerator", "torch.ao",
    "torch.contrib", "torch.cpu", "torch.distributed", "torch.fx", "torch.jit", "torch.mps", "torch.mtia",
    "torch.nn.intrinsic", "torch.nn.qat", "torch.nn.quantizable", "torch.nn.quantized", "torch.onnx",
    "torch.quantization", "torch.testing", "torch.utils", "torch.xpu",
})
# fmt: on
_TEST_PARTS = frozenset({"conftest", "test", "tests"})


@dataclass(frozen=True)
class DocstringRow:
    """One text with its class: the opening prose of a docstring, and the module that it documents."""

    text: str
    label: str
    source: str


def docstring_rows(library: str, *, min_rows_per_class: int = 12) -> list[DocstringRow]:
    """The documented public classes and functions of a library, labelled by module; the same list on every call.

    A label is the module's first two dotted parts ("torch.nn"), or one for the standard library ("asyncio"). A text is
    the docstring up to its first section, example or directive, without signature lines, at most 300 characters and at
    least 6 words. Texts are distinct; one found under two labels is in neither. Labels with fewer than
    `min_rows_per_class` texts are left out."""
    if library not in LIBRARIES:
        raise UnknownNameError("library", library, LIBRARIES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what old modules say when read or imported is not news to our caller
        found = sorted(set(_documented(library)), key=lambda row: (row.label, row.source, row.text))
    return _in_large_classes(_distinct(found), min_rows_per_class)


def _documented(library: str) -> Iterator[DocstringRow]:
    if library == "stdlib":
        return _stdlib_rows()
    require(library, "bench", f"reading the docstrings of {library}")
    return _rows_in_modules(_public_modules(library), library)


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


def _is_public(dotted: str) -> bool:
    return not any(part.startswith("_") for part in dotted.split("."))


# --- read from source files: nothing is imported -------------------------------------------------------------------


def _stdlib_rows() -> Iterator[DocstringRow]:
    folder = Path(sysconfig.get_path("stdlib"))
    for name in sorted(sys.stdlib_module_names - _LEFT_OUT_STDLIB):
        files = [folder / f"{name}.py", *sorted((folder / name).rglob("*.py"))]
        yield from _rows_in_files([file for file in files if file.is_file()], folder)
    for name in _COMPILED_STDLIB:
        yield from _rows_in_namespace(import_module(name))


def _rows_in_files(files: Iterable[Path], folder: Path) -> Iterator[DocstringRow]:
    for file in files:
        parts = [part for part in file.relative_to(folder).with_suffix("").parts if part != "__init__"]
        if not _is_public(parts[0]) or _TEST_PARTS.intersection(parts):
            continue
        try:
            tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError):
            continue  # a template or a file for another Python version: it documents nothing here
        for node in _definitions(tree.body):
            yield from _row(ast.get_docstring(node), node.name, parts[0], ".".join([*parts, node.name]))


def _definitions(body: list[ast.stmt]) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """The classes and functions at module level, those under `if` and `try` too."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        elif isinstance(node, ast.If | ast.Try):
            yield from _definitions(node.body)
            yield from _definitions(node.orelse)
        if isinstance(node, ast.Try):
            for handler in node.handlers:
                yield from _definitions(handler.body)


# --- asked of imported modules: compiled functions have no source to read --------------------------------------------


def _public_modules(library: str) -> list[ModuleType]:
    """The library and its public submodules, the shortest names first; all imported before any is looked into."""
    found: list[ModuleType] = []
    waiting = [library]
    while waiting:
        name = waiting.pop(0)
        try:
            module = import_module(name)
        except (ImportError, RuntimeError, OSError):
            continue  # this part wants another platform, device or package
        found.append(module)
        inside = sorted(f"{name}.{entry.name}" for entry in iter_modules(getattr(module, "__path__", [])))
        waiting += [submodule for submodule in inside if _is_wanted(submodule)]
    return found


def _is_wanted(module: str) -> bool:
    return _is_public(module) and module not in _LEFT_OUT and not _TEST_PARTS.intersection(module.split("."))


def _rows_in_modules(modules: list[ModuleType], library: str) -> Iterator[DocstringRow]:
    """Each object once, at the first module it is found in."""
    seen: dict[int, Any] = {}  # holds the objects, so that no other can take over an id
    for module in modules:
        for name, thing in _things(module):
            label = _label(thing, module.__name__)
            if id(thing) not in seen and label.split(".")[0] == library and label not in _LEFT_OUT:
                seen[id(thing)] = thing
                yield from _row(thing.__doc__, name, label, f"{_home(thing, module.__name__)}.{name}")


def _home(thing: Any, found_in: str) -> str:
    return getattr(thing, "__module__", None) or found_in


def _label(thing: Any, found_in: str) -> str:
    """Where the object says it is from, when that is public; else where it was found."""
    home = ".".join(_home(thing, found_in).split(".")[:2])
    return home if _is_public(home) else ".".join(found_in.split(".")[:2])


def _rows_in_namespace(module: ModuleType) -> Iterator[DocstringRow]:
    for name, thing in _things(module):
        if _home(thing, module.__name__) in {module.__name__, "posix", "nt"} and name not in _REPLACEABLE:
            yield from _row(thing.__doc__, name, module.__name__, f"{module.__name__}.{name}")


def _things(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """The public classes and functions that stand in a module, by name."""
    for name in sorted(dir(module)):
        thing = getattr(module, name, None) if _is_public(name) else None
        if inspect.isclass(thing) or (callable(thing) and hasattr(thing, "__name__")):
            yield name, thing


# --- from docstring to text ---------------------------------------------------------------------------------------

_PROSE_ENDS = re.compile(
    r"^[ \t]*(?:>>>|\.\. |-{3,}\s*$|={3,}\s*$|[A-Z][a-z]+(?: [A-Z]?[a-z]+)?\s*:{1,2}[ \t]*$"
    r"|[A-Z][a-z]+(?: [A-Z]?[a-z]+)?\n[ \t]*[-=~]{3,})",
    re.MULTILINE,
)


def _row(docstring: object, name: str, label: str, source: str) -> Iterator[DocstringRow]:
    text = _prose(inspect.cleandoc(docstring)) if isinstance(docstring, str) and _is_public(name) else ""
    if len(text.split()) >= MIN_WORDS:
        yield DocstringRow(text, label, source)


def _prose(docstring: str) -> str:
    """What the docstring says before its first section, example or directive, on one line."""
    text = _without_signatures(docstring.strip())
    end = _PROSE_ENDS.search(text)
    words = " ".join(text[: end.start()].split() if end else text.split())
    return words if len(words) <= MAX_CHARACTERS else words[: MAX_CHARACTERS + 1].rpartition(" ")[0]


def _without_signatures(text: str) -> str:
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
