"""The mutants of a source file: mutmut's operators on libcst nodes, and two of our own.

Left alone is what no test should have to notice: annotations, decorators, docstrings, imports, `__all__`, and the words of
errors, assertions and log lines. Whether an error is raised at all is mutated.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators, operator_string

# Calls whose arguments are words for people or for the type checker.
_WORDS = {"debug", "info", "warning", "warn", "exception", "cast", "TypeVar", "NewType"}


@dataclass(frozen=True)
class Mutant:
    """One small fault, told without line numbers where that is possible, so that it is found again after an edit elsewhere.

    ordinal: which one it is of those that are equal in all the rest. lines: first and last line of the statement, or of
    whatever is run with it: a test that runs none of them cannot notice.
    """

    path: str
    function: str
    operator: str
    before: str
    after: str
    ordinal: int
    line: int
    lines: tuple[int, int]

    @property
    def key(self) -> tuple[str, str, str, str, str, int]:
        """What makes it the same mutant in another version of the file."""
        return (self.path, self.function, self.operator, self.before, self.after, self.ordinal)


class MutableFile:
    """A source file and all its mutants. Parsed once; not for several threads."""

    def __init__(self, path: Path, source: str) -> None:
        self.source = source
        wrapper = MetadataWrapper(cst.parse_module(source))
        self._module = wrapper.module
        collector = _Collector(path.as_posix())
        wrapper.visit(collector)
        self._nodes = collector.found

    @property
    def mutants(self) -> list[Mutant]:
        """In the order of the source."""
        return list(self._nodes)

    def code_of(self, mutant: Mutant) -> str | None:
        """The whole file with this fault in it; None when Python would not take it as source."""
        original, mutated = self._nodes[mutant]
        # mypy: deep_replace of a module gives a module unless the module itself is replaced.
        changed = self._module.deep_replace(original, mutated)
        assert isinstance(changed, cst.Module)
        code = changed.code
        try:
            compile(code, mutant.path, "exec")
        except (SyntaxError, ValueError):
            return None
        return None if code == self.source else code


class _Collector(cst.CSTVisitor):
    """Walks a module and gathers (mutant → node, replacement)."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, path: str) -> None:
        super().__init__()
        self.found: dict[Mutant, tuple[cst.CSTNode, cst.CSTNode]] = {}
        self._path = path
        self._names: list[str] = []
        self._functions: list[CodeRange] = []
        self._spans: list[CodeRange] = []  # of the statements around the node
        self._whole: CodeRange | None = None
        self._seen: Counter[tuple[str, str, str, str]] = Counter()

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.Module):
            self._whole = self._range(node)
        if _is_left_alone(node):
            return False
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self._names.append(node.name.value)
        if isinstance(node, cst.FunctionDef):
            self._functions.append(self._range(node))
            self._spans.append(self._range(node))
        if isinstance(node, cst.SimpleStatementLine):
            self._spans.append(self._range(node))
        for operator, mutated in _mutations(node):
            self._add(node, mutated, operator)
        if isinstance(node, cst.Assert):
            node.test.visit(self)
        return not isinstance(node, cst.Raise | cst.Assert)

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if isinstance(original_node, cst.FunctionDef | cst.ClassDef):
            self._names.pop()
        if isinstance(original_node, cst.FunctionDef):
            self._functions.pop()
        if isinstance(original_node, cst.FunctionDef | cst.SimpleStatementLine) and not _is_left_alone(original_node):
            self._spans.pop()

    def on_visit_attribute(self, node: cst.CSTNode, attribute: str) -> None:
        """A header is run with its block or without: its own lines count, not those of the statement around."""
        if isinstance(node, cst.If | cst.While) and attribute == "test":
            self._spans.append(self._range(node.test))
        if isinstance(node, cst.For) and attribute == "iter":
            self._spans.append(self._range(node.iter))

    def on_leave_attribute(self, original_node: cst.CSTNode, attribute: str) -> None:
        header = isinstance(original_node, cst.If | cst.While) and attribute == "test"
        if header or (isinstance(original_node, cst.For) and attribute == "iter"):
            self._spans.pop()

    def _add(self, node: cst.CSTNode, mutated: cst.CSTNode, operator: str) -> None:
        before, after = _text(node), _text(mutated)
        function = ".".join(self._names)
        equal = (function, operator, before, after)
        span = self._span(node)
        mutant = Mutant(
            self._path, function, operator, before, after, self._seen[equal], self._range(node).start.line, span
        )
        self._seen[equal] += 1
        self.found[mutant] = (node, mutated)

    def _span(self, node: cst.CSTNode) -> tuple[int, int]:
        around = self._spans[-1] if self._functions and self._spans else self._whole
        if isinstance(node, cst.If | cst.While):
            around = self._range(node.test) if self._functions else self._whole
        assert around is not None, "the module is visited first"
        return around.start.line, around.end.line

    def _range(self, node: cst.CSTNode) -> CodeRange:
        found: CodeRange = self.get_metadata(PositionProvider, node)
        return found


def _mutations(node: cst.CSTNode) -> Iterator[tuple[str, cst.CSTNode]]:
    for kind, operator in mutation_operators:
        if isinstance(node, kind):
            name = operator.__name__.removeprefix("operator_")
            results = operator(node)
            # A string in small and in large letters says little more than the string with XX around it.
            yield from ((name, mutated) for mutated in (_first(results) if operator is operator_string else results))
    for name, own in _OWN:
        yield from ((name, mutated) for mutated in own(node))


def _negated_condition(node: cst.CSTNode) -> Iterable[cst.CSTNode]:
    """`if a:` → `if not (a):`"""
    if isinstance(node, cst.If | cst.While):
        test = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
        yield node.with_changes(test=cst.UnaryOperation(cst.Not(), test))


def _left_out_statement(node: cst.CSTNode) -> Iterable[cst.CSTNode]:
    """A call whose result nobody takes, and a raise, are not made."""
    if isinstance(node, cst.Raise) or (isinstance(node, cst.Expr) and isinstance(node.value, cst.Call)):
        yield cst.Pass(semicolon=node.semicolon)


_OWN: tuple[tuple[str, Callable[[cst.CSTNode], Iterable[cst.CSTNode]]], ...] = (
    ("negated_condition", _negated_condition),
    ("left_out_statement", _left_out_statement),
)


def _is_left_alone(node: cst.CSTNode) -> bool:
    match node:
        case cst.Annotation() | cst.Decorator() | cst.Import() | cst.ImportFrom():
            return True
        case cst.Expr(value=cst.SimpleString() | cst.ConcatenatedString()):  # a docstring
            return True
        case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value="__all__"))]):
            return True
        case cst.If(test=cst.Name(value="TYPE_CHECKING")):
            return True
        case cst.Subscript(value=cst.Name(value="Literal")):
            return True
        case cst.Call(func=cst.Name(value=name) | cst.Attribute(attr=cst.Name(value=name))):
            return name in _WORDS
    return False


def _first(results: Iterable[cst.CSTNode]) -> Iterable[cst.CSTNode]:
    return list(results)[:1]


def _text(node: cst.CSTNode) -> str:
    """The code of a node on one line; of an `if` or a `while` the condition."""
    if isinstance(node, cst.If | cst.While):
        return _text(node.test)
    return " ".join(cst.Module([]).code_for_node(node).split())
