"""Where a chat template runs: Jinja without a way out, and with an end.

A template comes with a model from anybody. It sees plain values alone, and what it does is counted: whoever loops for ever or
doubles a text until memory is full is stopped with an error.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from functools import wraps
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

_LARGEST = 1 << 26  # characters or items that one call may make
_LARGEST_NUMBER = 1 << 128
_WEIGHT_OF_ONE = 8  # a number, or the brackets of a list
_WIDEST = 1 << 16  # of a format's field
_WIDEST_INDENT = 16
_GROWING = frozenset("batch center expandtabs indent join ljust replace rjust slice wordwrap zfill".split())
_LISTWISE = frozenset(  # filters that go through a list or mapping, and write nothing
    "batch count d default dictsort first groupby items last length list map max min reject rejectattr reverse select "
    "selectattr slice sort sum unique".split()
)
_WIDE = re.compile(r"%[-+ #0]*\d*\.?\d{5}|\{[^{}]*:[^{}]*\d{5}")  # a width or precision that is written down
_WIDTH_GIVEN = re.compile(r"%[-+ #0]*\d*\.?\*|\{[^{}]*:[^{}]*\{")  # or one that is an argument


class AllowanceError(TemplateError):
    """A template did more than it may."""


@dataclass
class Allowance:
    """What one rendering may do: `steps` loop rounds and calls, `chars` characters made on the way."""

    steps: int
    chars: int

    def spend(self, steps: int, chars: int) -> None:
        """Take this much away. Raises `AllowanceError` where nothing is left."""
        self.steps -= steps
        self.chars -= chars
        if self.steps < 0:
            raise AllowanceError("it loops or calls more often than a chat needs")
        if self.chars < 0:
            raise AllowanceError("it writes more than a chat needs")


@dataclass
class Rendering:
    """A rendering that is going on: what it may do, the pieces so far, and `generation` blocks (where each began, its text)."""

    allowance: Allowance
    pieces: list[str] = field(default_factory=list)
    blocks: list[tuple[int, str]] = field(default_factory=list)


_RENDERING: ContextVar[Rendering] = ContextVar("rendering")
_MOMENT: ContextVar[datetime | None] = ContextVar("moment", default=None)


@contextmanager
def rendering(allowance: Allowance) -> Iterator[Rendering]:
    """Templates that this thread renders inside draw on this allowance."""
    going = Rendering(allowance)
    token = _RENDERING.set(going)
    try:
        yield going
    finally:
        _RENDERING.reset(token)


@contextmanager
def at_one_moment(now: Callable[[], datetime]) -> Iterator[None]:
    """What this thread renders inside has one time of day, that of the outermost: renderings are compared with one another."""
    token = _MOMENT.set(_MOMENT.get() or now())
    try:
        yield
    finally:
        _MOMENT.reset(token)


def _spend(steps: int, chars: int) -> None:
    _RENDERING.get().allowance.spend(steps, chars)


class ChatEnvironment(ImmutableSandboxedEnvironment):
    """Jinja as chat templates expect it (the names and options of transformers' `apply_chat_template`), sandboxed and counted.

    `strftime_now` tells the time of `at_one_moment`. There is no loader: nothing is included or imported.

    Threads: any number may compile and render at once.
    """

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[_GenerationBlocks, loopcontrols],
            optimized=False,  # nothing is computed before it is counted
            finalize=_counted_output,
        )
        self.filters = {name: _guarded(name, function) for name, function in self.filters.items()}
        self.filters["tojson"] = _guarded("tojson", _to_json)
        self.filters[_ROUNDS], self.filters[_JOINED] = _rounds, _joined
        self.globals = {
            "range": self.globals["range"],  # the sandbox's, of 100,000 at most
            "dict": _Dicts(),
            "namespace": _Namespace,
            "cycler": self.globals["cycler"],
            "joiner": self.globals["joiner"],
            "raise_exception": _raise_exception,
            "strftime_now": _strftime_now,
        }

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """The tree of a template, in which every loop and every `~` passes by the count."""
        tree = super()._parse(source, name, filename)
        for loop in list(tree.find_all(nodes.For)):
            written = sum(len(text.data) for text in loop.find_all(nodes.TemplateData))
            loop.iter = _filtered(loop.iter, _ROUNDS, nodes.Const(written))
        for concat in list(tree.find_all(nodes.Concat)):
            _count_concat(concat)
        return tree

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call something for a template: counted, and refused where the result would be huge."""
        method = getattr(__obj, "__wrapped__", __obj)  # the sandbox wraps str.format
        owner, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
        if isinstance(owner, str):
            _require_small(name, owner, (*args, *kwargs.values()))
        result = super().call(__context, __obj, *args, **kwargs)
        _spend(1, _size(result) + (len(owner) if isinstance(owner, str) else 0))
        return result

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """An operator whose result may be larger than what went in."""
        if operator == "**":
            _require_small_power(left, right)
        elif operator == "%" and isinstance(left, str):
            _require_small("format", left, right if isinstance(right, tuple) else (right,))
        elif operator == "*":
            _require_product(max(_size(left), _size(right)), max(_number(left), _number(right)))
        result = super().call_binop(context, operator, left, right)
        if isinstance(result, int) and abs(result) > _LARGEST_NUMBER:
            raise AllowanceError("it computes with huge numbers")
        _spend(0, _size(result))
        return result


class _GenerationBlocks(Extension):
    """`{% generation %}` … `{% endgeneration %}`: where a template says that the answers of the model stand."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        """The block as a call that notes where it stood."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_note"), [], [], body).set_lineno(line)

    @staticmethod
    def _note(caller: Macro) -> str:
        text = str(caller())
        going = _RENDERING.get()
        going.blocks.append((sum(map(len, going.pieces)), text))
        return text


# What the count puts into a template's tree

_ROUNDS, _JOINED = "counted rounds", "counted join"  # no template can spell a name with a space


def _filtered(node: nodes.Node, name: str, *args: nodes.Expr) -> nodes.Filter:
    made = nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno)
    if node.environment is not None:
        made.set_environment(node.environment)
    return made


def _count_concat(concat: nodes.Concat) -> None:
    """`a ~ b` becomes the join of a list."""
    parts = nodes.List(list(concat.nodes), lineno=concat.lineno)
    concat.nodes = [_filtered(parts, _JOINED)]


def _rounds(iterable: Any, written: int) -> Any:
    """What a loop goes through: counted at once where its length is known, else as it comes."""
    try:
        num_rounds = len(iterable)
    except TypeError:
        return _as_they_come(iterable, written)
    _spend(num_rounds, num_rounds * written)
    return iterable


def _as_they_come(iterable: Iterable[Any], written: int) -> Iterator[Any]:
    for item in iterable:
        _spend(1, written)
        yield item


def _joined(parts: list[Any]) -> str:
    _spend(0, _weight(parts))
    return "".join(map(str, parts))


def _counted_output(value: Any) -> Any:
    _spend(0, _weight(value))
    return value


# What a call may make

_PLAIN = (str, int, float, list, tuple, Mapping)


def _guarded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter whose work is counted, and which makes nothing huge of its arguments."""

    @wraps(function)  # keeps what tells Jinja to hand it the environment or context first
    def guarded(*args: Any, **kwargs: Any) -> Any:
        values = [v for v in args if isinstance(v, _PLAIN) and not isinstance(v, Context)]  # which says it is a mapping
        if values:
            _spend(1, _size(values[0]) if name in _LISTWISE else _weight(values[0]))
            _require_small(name, values[0], (*values[1:], *kwargs.values()))
        result = function(*args, **kwargs)
        _spend(0, _size(result))
        return result

    return guarded


def _require_small(name: str, owner: Any, args: tuple[Any, ...]) -> None:
    """Refuse a call that could make a huge text: of a wide format, or of a long text times a long or large argument."""
    largest = max((max(_number(value), _weight(value)) for value in args), default=0)
    if name in _GROWING:
        _require_product(_size(owner), largest)
    elif name in ("format", "format_map") and (
        _WIDE.search(owner) or (_WIDTH_GIVEN.search(owner) and max(map(_number, args), default=0) > _WIDEST)
    ):
        raise AllowanceError("it formats to a width that is larger than a chat needs")


def _require_product(size: int, times: int) -> None:
    if (size + 1) * (times + 1) > _LARGEST:
        raise AllowanceError("it makes a text or a list that is larger than a chat needs")


def _require_small_power(left: Any, right: Any) -> None:
    if (
        isinstance(left, int)
        and isinstance(right, int)
        and left.bit_length() * max(right, 1) > _LARGEST_NUMBER.bit_length()
        and abs(left) > 1
    ):
        raise AllowanceError("it computes with huge numbers")


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str | list | tuple | Mapping) else 0


def _number(value: Any) -> int:
    return abs(value) if isinstance(value, int) and not isinstance(value, bool) else 0


def _weight(value: Any) -> int:
    """About how many characters a value is when it is written: a list that holds one text many times holds it many times."""
    total, waiting = 0, [value]
    while waiting:
        one = waiting.pop()
        total += len(one) if isinstance(one, str) else _WEIGHT_OF_ONE
        if isinstance(one, Mapping):
            waiting.extend(one.keys())
            waiting.extend(one.values())
        elif isinstance(one, list | tuple):
            waiting.extend(one)
        if total > _LARGEST:
            raise AllowanceError("it makes a text or a list that is larger than a chat needs")
    return total


# Names that templates use


def _strftime_now(form: str) -> str:
    moment = _MOMENT.get()
    assert moment is not None, "a template runs at one moment"
    return moment.strftime(form)


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as it is, where Jinja's own filter would write it for HTML."""
    if max(_number(indent), _size(indent), *map(_size, separators or [""])) > _WIDEST_INDENT:
        raise AllowanceError("it indents JSON further than a chat needs")
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


class _Dicts:
    """`dict(…)` without the attributes of the class."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)


class _Namespace(Namespace):
    """`namespace(…)` that keeps no name of Python's own machinery."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, *rest = args
        given = dict(*rest, **kwargs)
        for name in given:
            _require_plain_name(name)
        Namespace.__init__(self, given)

    def __setitem__(self, name: str, value: Any) -> None:
        _require_plain_name(name)
        super().__setitem__(name, value)


def _require_plain_name(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace holds no name that begins with an underscore, got {name!r}")
