"""What no argument of any command may be, whatever it means: checked once for all, before the command looks at it.

NaN and infinity, whole numbers beyond 64 bits, text that is no UTF-8, a path that is empty or below a file. `~` is a person's
home folder wherever a path begins with it: shells leave it as it is in quotes and after `--option=`.
"""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from interconnected_ai.cli.failures import Invocation
from interconnected_ai.cli.outputs import Source

_MOST = 2**63 - 1
_LONGEST_NAME, _LONGEST_PATH = 255, 4095  # bytes, on all common file systems


def refuse_unusable(context: click.Context) -> None:
    """Raises `click.BadParameter` for the first argument of the command that no command can use."""
    written = _as_written(context)
    for parameter in context.command.params:
        if _is_path(parameter) and _is_empty(context.params, written, parameter.name or ""):
            raise click.BadParameter("the path is empty; is a shell variable not set?", context, parameter)
        for value in _single(context.params.get(parameter.name or "")):
            if fault := _fault(value):
                raise click.BadParameter(fault, context, parameter)


def expand_home(context: click.Context) -> None:
    """Put the home folder of a person in place of the `~` with which paths among the command's arguments begin."""
    for parameter in filter(_is_path, context.command.params):
        name = parameter.name or ""
        context.params[name] = _at_home(context.params.get(name))


def _at_home(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(_at_home(each) for each in value)
    if isinstance(value, Path):
        return value.expanduser() if str(value).startswith("~") else value
    return os.path.expanduser(value) if isinstance(value, str) else value


def _is_path(parameter: click.Parameter) -> bool:
    return isinstance(parameter.type, click.Path | Source)


def _is_empty(params: Mapping[str, Any], written: Mapping[str, Any], name: str) -> bool:
    """Whether the path is, or one of the paths are, the empty text."""
    given = list(_single(params.get(name)))
    return "" in given or (Path() in given and "" in _single(written.get(name)))


def _as_written(context: click.Context) -> dict[str, Any]:
    """The arguments by their parameters' names before they were made paths and numbers: an empty path is "." afterwards.

    Nothing where the command was not called by `main`, which keeps the words of the command line.
    """
    words: Sequence[str] = Invocation.current().arguments
    steps: list[str | None] = []
    at = context
    while at.parent is not None:
        steps.insert(0, at.info_name)
        at = at.parent
    for step in steps:
        words = words[words.index(step) + 1 :] if step in words else ()
    return context.command.make_parser(context).parse_args(list(words))[0] if words else {}


def _single(value: Any) -> Iterator[Any]:
    """The values of an argument that may be given several times."""
    if isinstance(value, tuple | list):
        for each in value:
            yield from _single(each)
    else:
        yield value


def _fault(value: Any) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is no finite number"
    if isinstance(value, int) and abs(value) > _MOST:
        return f"a number of {len(str(abs(value)))} digits is beyond what 64 bits hold"
    if isinstance(value, str):
        return _text_fault(value)
    if isinstance(value, Path):
        return _text_fault(str(value)) or _path_fault(value)
    return None


def _text_fault(text: str) -> str | None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return f"{text!r} is not UTF-8"
    return None


def _path_fault(path: Path) -> str | None:
    if long := [name for name in path.parts if len(os.fsencode(name)) > _LONGEST_NAME]:
        return f"the name {long[0][:20]}… has {len(os.fsencode(long[0]))} bytes; at most {_LONGEST_NAME} are possible"
    if len(os.fsencode(path)) > _LONGEST_PATH:
        return f"a path of {len(os.fsencode(path))} bytes is longer than the {_LONGEST_PATH} that are possible"
    above = next((folder for folder in path.parents if folder.exists()), None)
    return f"{path} cannot be below {above}, which is a file" if above is not None and not above.is_dir() else None
