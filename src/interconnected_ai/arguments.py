"""Arguments looked at where they enter: `checked` holds a public call to the kinds that its annotations name.

What a value means (a known label, a matching shape) is each call's own affair.
"""

import functools
import inspect
import numbers
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from reprlib import Repr
from typing import Any, Literal, ParamSpec, TypeVar, get_args, get_origin

from interconnected_ai.errors import ConfigError

P = ParamSpec("P")
R = TypeVar("R")

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 80


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """The function, raising `ConfigError` for an argument of another kind than its annotation.

    True is no number. Where a sequence is asked for, text and sets are refused, and a list's items are looked at; a
    generator, an array or a table's column is made a list, once. Items of an `Iterable` are left to the call, and what
    annotations do not say in classes is let through. Any number of threads may call it.
    """
    signature = inspect.signature(function)
    hints = functools.cache(lambda: _hints_of(function))

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature.bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            hint = hints().get(name, Any)
            if signature.parameters[name].kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
                continue
            if not _fits(value, hint):
                raise ConfigError(
                    f"{function.__qualname__}: {name}={shown(value)} is {_kind(value)}; needs {_described(hint)}"
                )
            if _wants_sequence(hint) and value is not None and not isinstance(value, Sequence):
                bound.arguments[name] = list(value)
        return function(*bound.args, **bound.kwargs)

    return call


def whole_number(value: object, name: str, *, least: int) -> int:
    """The value as an int; `ConfigError` for anything that is no whole number of `least` or more."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ConfigError(f"{name}={shown(value)}: needs a whole number of {least} or more")
    return int(value)


def is_whole_number(value: object) -> bool:
    """Whether it is an int of Python's or NumPy's, and no truth value."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def shown(value: object) -> str:
    """A value so far that one can recognise it."""
    try:
        return _SHORT.repr(value)
    except Exception:  # noqa: BLE001  # the `__repr__` of anybody's class
        return f"<{type(value).__name__}>"


def _hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except NameError:  # named for type checkers alone
        return {}


def _fits(value: object, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in get_args(hint))
    if isinstance(hint, typing.TypeVar):
        return any(_fits(value, part) for part in hint.__constraints__ or (hint.__bound__ or Any,))
    if origin is Literal:
        return any(type(value) is type(known) and value == known for known in get_args(hint))
    kind = origin or hint
    if kind in (None, type(None)):
        return value is None
    if kind in _NUMBERS:
        return isinstance(value, _NUMBERS[kind]) and not isinstance(value, bool)
    if kind in (Sequence, Iterable):
        is_one = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping | Set)
        return is_one and (kind is Iterable or not isinstance(value, list | tuple) or _all_fit(value, hint))
    if kind is Mapping:
        return isinstance(value, Mapping) and _all_fit(value.keys(), hint, 0) and _all_fit(value.values(), hint, 1)
    if not isinstance(kind, type):
        return True
    try:
        return isinstance(value, kind)
    except TypeError:  # a protocol that does not look at instances
        return True


def _all_fit(values: Iterable[object], hint: Any, place: int = 0) -> bool:
    kinds = get_args(hint)
    return not kinds or all(_fits(value, kinds[place]) for value in values)


_NUMBERS: dict[Any, Any] = {int: numbers.Integral, float: numbers.Real}


def _wants_sequence(hint: Any) -> bool:
    if get_origin(hint) in (typing.Union, types.UnionType):
        return any(_wants_sequence(part) for part in get_args(hint))
    return get_origin(hint) is Sequence or hint is Sequence


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _described(hint: Any) -> str:
    if get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(_described(part) for part in get_args(hint))
    if get_origin(hint) is Literal:
        return " or ".join(repr(known) for known in get_args(hint))
    if get_origin(hint) in (Sequence, Iterable):
        return "a list of " + ", ".join(_described(part) for part in get_args(hint))
    return "None" if hint is type(None) else getattr(hint, "__name__", str(hint))
