"""What no argument of any command may be, whatever it means: checked once for all, before the command looks at it.

NaN and infinity, whole numbers beyond 64 bits, text that is no UTF-8, a path below a file.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

_MOST = 2**63 - 1
_LONGEST_NAME, _LONGEST_PATH = 255, 4095  # bytes, on all common file systems


def refuse_unusable(context: click.Context) -> None:
    """Raises `click.BadParameter` for the first argument of the command that no command can use."""
    for parameter in context.command.params:
        for value in _single(context.params.get(parameter.name or "")):
            if fault := _fault(value):
                raise click.BadParameter(fault, context, parameter)


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
