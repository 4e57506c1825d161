"""What installed libraries document: their public modules, classes, functions and methods, each with its docstring.

What becomes of the docstrings is left to others. The standard library is read from its source files; NumPy, PyTorch and
scikit-learn are imported and asked, because compiled functions have no source to read."""

import ast
import inspect
import sys
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, Literal

from interconnected_ai.errors import UnknownNameError
from interconnected_ai.extras import require

LIBRARIES: tuple[str, ...] = ("stdlib", "numpy", "torch", "sklearn")

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
class Documented:
    """Something public that has a docstring.

    kind: a "definition" is a class or function of a module, a "member" a method or property of a class. label: the
    module it belongs to, at most its first two dotted parts ("torch.nn"), or one for the standard library ("asyncio").
    """

    kind: Literal["module", "definition", "member"]
    docstring: str
    label: str
    source: str


def documented(library: str) -> list[Documented]:
    """All that a library documents, in the order it is found in; some of it stands under several names."""
    if library not in LIBRARIES:
        raise UnknownNameError("library", library, LIBRARIES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what old modules say when read or imported is not news to our caller
        if library == "stdlib":
            return list(_in_stdlib())
        require(library, "bench", f"reading the docstrings of {library}")
        return list(_in_modules(_public_modules(library), library))


def _is_public(dotted: str) -> bool:
    return not any(part.startswith("_") for part in dotted.split("."))


def _found(
    kind: Literal["module", "definition", "member"], docstring: object, label: str, source: str
) -> Iterator[Documented]:
    """The thing, if its last name is public and its docstring says something."""
    if isinstance(docstring, str) and docstring.strip() and _is_public(source.rpartition(".")[2]):
        yield Documented(kind, inspect.cleandoc(docstring), label, source)


# --- read from source files: nothing is imported -------------------------------------------------------------------

_Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _in_stdlib() -> Iterator[Documented]:
    folder = Path(sysconfig.get_path("stdlib"))
    for name in sorted(sys.stdlib_module_names - _LEFT_OUT_STDLIB):
        files = [folder / f"{name}.py", *sorted((folder / name).rglob("*.py"))]
        yield from _in_files([file for file in files if file.is_file()], folder)
    for name in _COMPILED_STDLIB:
        yield from _in_namespace(import_module(name))


def _in_files(files: Iterable[Path], folder: Path) -> Iterator[Documented]:
    for file in files:
        parts = [part for part in file.relative_to(folder).with_suffix("").parts if part != "__init__"]
        if not _is_public(parts[0]) or _TEST_PARTS.intersection(parts):
            continue
        try:
            tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError):
            continue  # a template or a file for another Python version: it documents nothing here
        module = ".".join(parts)
        yield from _found("module", ast.get_docstring(tree), parts[0], module)
        for node in _definitions(tree.body):
            yield from _in_definition(node, "definition", parts[0], module)


def _in_definition(
    node: _Definition, kind: Literal["definition", "member"], label: str, within: str
) -> Iterator[Documented]:
    source = f"{within}.{node.name}"
    yield from _found(kind, ast.get_docstring(node), label, source)
    if isinstance(node, ast.ClassDef) and _is_public(node.name):
        for member in _definitions(node.body):
            yield from _in_definition(member, "member", label, source)


def _definitions(body: list[ast.stmt]) -> Iterator[_Definition]:
    """The classes and functions of a module or class, those under `if` and `try` too."""
    for node in body:
        if isinstance(node, _Definition):
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


def _in_modules(modules: list[ModuleType], library: str) -> Iterator[Documented]:
    """Each object once, at the first module it is found in."""
    seen: dict[int, Any] = {}  # holds the objects, so that no other can take over an id
    for module in modules:
        yield from _found("module", module.__doc__, ".".join(module.__name__.split(".")[:2]), module.__name__)
        for name, thing in _things(module):
            label = _label(thing, module.__name__)
            if id(thing) not in seen and label.split(".")[0] == library and label not in _LEFT_OUT:
                seen[id(thing)] = thing
                yield from _in_thing(thing, label, f"{_home(thing, module.__name__)}.{name}")


def _in_thing(thing: Any, label: str, source: str) -> Iterator[Documented]:
    yield from _found("definition", thing.__doc__, label, source)
    if inspect.isclass(thing):
        for name, member in sorted(_members(thing).items()):
            if isinstance(member, classmethod | staticmethod | property | cached_property) or inspect.isroutine(member):
                yield from _found("member", member.__doc__, label, f"{source}.{name}")


def _members(thing: type) -> dict[str, Any]:
    """A class's own members and those of private bases (`torch.Tensor` has nearly all from `torch._C.TensorBase`)."""
    hidden = [base for base in thing.__mro__[1:] if not _is_public(f"{base.__module__}.{base.__qualname__}")]
    return {name: member for one in (*reversed(hidden), thing) for name, member in vars(one).items()}


def _home(thing: Any, found_in: str) -> str:
    return getattr(thing, "__module__", None) or found_in


def _label(thing: Any, found_in: str) -> str:
    """Where the object says it is from, when that is public; else where it was found."""
    home = ".".join(_home(thing, found_in).split(".")[:2])
    return home if _is_public(home) else ".".join(found_in.split(".")[:2])


def _in_namespace(module: ModuleType) -> Iterator[Documented]:
    yield from _found("module", module.__doc__, module.__name__, module.__name__)
    for name, thing in _things(module):
        if _home(thing, module.__name__) in {module.__name__, "posix", "nt"} and name not in _REPLACEABLE:
            yield from _in_thing(thing, module.__name__, f"{module.__name__}.{name}")


def _things(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """The public classes and functions that stand in a module, by name."""
    for name in sorted(dir(module)):
        thing = getattr(module, name, None) if _is_public(name) else None
        if inspect.isclass(thing) or (callable(thing) and hasattr(thing, "__name__")):
            yield name, thing
