"""What commands write to, checked once for all of them before they do anything: `OutputPath` marks what is written.

An output is none of the command's inputs, and what exists is replaced with --overwrite alone. Inputs are the other paths of
the command (`click.Path`, and `Source` where a hub id may stand instead); what a config names, its command looks at itself.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from interconnected_ai.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])

OVERWRITE = "--overwrite"
_ASKED = f"{__name__}.asked"
# What a file system gives no path for.
_NAMED_ELSEWHERE = ("hf:", "docs:")


class OutputPath(click.Path):
    """A file or folder that the command writes."""

    def __init__(
        self, *suffixes: str, may_lie_inside: tuple[str, ...] = (), may_stand: bool = False, **settings: Any
    ) -> None:
        """suffixes: those the name may end in, any where none is given.

        may_lie_inside: suffixes of files that may be written into a folder that is read. may_stand: the command itself looks at
        what stands there (a training that can go on, a folder that gets files beside others).
        """
        super().__init__(path_type=Path, **settings)
        self.suffixes, self.may_lie_inside, self.may_stand = suffixes, may_lie_inside, may_stand

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, if it ends in one of the suffixes."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if self.suffixes and path.suffix not in self.suffixes:
            self.fail(f"{path} needs a name that ends in {', '.join(self.suffixes)}", param, ctx)
        return path


class Source(click.types.StringParamType):
    """What the command reads: a path as text, or a name that is looked up elsewhere (a hub id, hf:…, docs:…)."""


def overwrite_option(function: F) -> F:
    """Give a command the flag --overwrite; the function does not receive it, it may ask `asked_to_replace`."""

    def keep(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        context.meta[_ASKED] = value

    return click.option(
        OVERWRITE, is_flag=True, expose_value=False, callback=keep, help="Replace what stands where the output goes."
    )(function)


def asked_to_replace() -> bool:
    """Whether --overwrite was given to the command that runs."""
    return bool(click.get_current_context().meta.get(_ASKED))


def refuse_unsafe_outputs(context: click.Context) -> None:
    """Raise for an output that is an input or another output (`ConfigError`), or stands there already (`StorageError`)."""
    outputs = list(_outputs(context))
    if not outputs:
        return
    from interconnected_ai.storage import refuse_same, refuse_standing

    inputs = list(_inputs(context))
    for number, (kind, name, path) in enumerate(outputs):
        refuse_same(path, *inputs, name=name, may_lie_inside=kind.may_lie_inside)
        if twice := [other for _, other, place in outputs[:number] if _same_place(path, place)]:
            raise ConfigError(f"{twice[0]} and {name} are both {path}; give each output a place of its own")
        if not kind.may_stand:
            refuse_standing(path, overwrite=bool(context.meta.get(_ASKED)), name=name)


def _outputs(context: click.Context) -> Iterator[tuple[OutputPath, str, Path]]:
    """(type, name of the argument, path) of every output that was given."""
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if isinstance(parameter.type, OutputPath) and isinstance(value, Path):
            yield (
                parameter.type,
                parameter.opts[0] if isinstance(parameter, click.Option) else parameter.human_readable_name,
                value,
            )


def _inputs(context: click.Context) -> Iterator[str | Path]:
    """Every path that is read; a name that is looked up elsewhere is none."""
    for parameter in context.command.params:
        is_read = isinstance(parameter.type, click.Path | Source) and not isinstance(parameter.type, OutputPath)
        value = context.params.get(parameter.name or "") if is_read else None
        for each in value if isinstance(value, tuple | list) else (value,):
            if isinstance(each, Path) or (isinstance(each, str) and not each.startswith(_NAMED_ELSEWHERE)):
                yield each


def _same_place(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
