"""Arguments of a command that shut one another out, or that mean nothing without another: refused, never dropped.

The decorators stand below a command's options and above `with_output`, and name its parameters as the function does.
"""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar

import click
from click.core import ParameterSource

F = TypeVar("F", bound=Callable[..., Any])
_STANDARD_INPUT = "-"
_BY_THE_PERSON = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)


def alternatives(*names: str | Sequence[str]) -> Callable[[F], F]:
    """At most one of these parameters, or groups of parameters, may be given: `click.UsageError` names those that were."""
    groups = [[each] if isinstance(each, str) else each for each in names]

    def refuse(context: click.Context) -> None:
        named = [[_shown(context, name) for name in group if is_given(context, name)] for group in groups]
        given = [group[0] for group in named if group]
        if len(given) > 1:
            raise click.UsageError(f"{' and '.join(given)} shut each other out; give one of them", context)

    return _checked(refuse)


def only_with(needed: str, *names: str) -> Callable[[F], F]:
    """These parameters speak of what `needed` gives: without it they are a `click.UsageError`."""

    def refuse(context: click.Context) -> None:
        if is_given(context, needed):
            return
        other = _shown(context, needed)
        for name in names:
            if is_given(context, name):
                shown = _shown(context, name)
                raise click.UsageError(
                    f"{shown} says something of {other} alone; give {other}, or leave {shown} out", context
                )

    return _checked(refuse)


def is_given(context: click.Context, name: str) -> bool:
    """Whether the person gave this parameter, be it with the value that it has by default."""
    return context.get_parameter_source(name) in _BY_THE_PERSON and context.params.get(name) not in (None, ())


def means_standard_input(values: Sequence[str]) -> bool:
    """Whether the values of an argument are the one `-`. `click.UsageError` for a `-` among others."""
    if _STANDARD_INPUT in values and len(values) > 1:
        raise click.UsageError("`-` stands for standard input, which goes alone; leave it or the others out")
    return list(values) == [_STANDARD_INPUT]


def _checked(refuse: Callable[[click.Context], None]) -> Callable[[F], F]:
    def add(function: F) -> F:
        @wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            refuse(click.get_current_context())
            return function(*args, **kwargs)

        return checked  # type: ignore[return-value]

    return add


def _shown(context: click.Context, name: str) -> str:
    """A parameter as the person writes it: --file, TEXTS."""
    parameter = next(each for each in context.command.params if each.name == name)
    return parameter.opts[0] if isinstance(parameter, click.Option) else parameter.human_readable_name
