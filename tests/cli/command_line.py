"""`iai` called in this process, as a terminal or a program would call it."""

import json
from collections.abc import Iterator
from typing import Any

import click
import pytest

from interconnected_ai.cli import iai, main


def _commands(group: click.Group = iai, before: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


COMMANDS = dict(_commands())  # every command that works, by its words


def run_main(*args: str) -> int:
    """The exit code of `iai ARGS`."""
    try:
        main(list(args))
    except SystemExit as leave:
        return int(leave.code or 0)
    return 0


def run_json(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> Any:
    """What `iai ARGS --json` prints on stdout: exactly one JSON object."""
    capsys.readouterr()
    assert run_main(*args, "--json") == code
    return json.loads(capsys.readouterr().out)


def error_of(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """What `iai ARGS` complains of."""
    return str(run_json(capsys, *args, code=2)["error"]["message"])
