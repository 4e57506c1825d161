"""`iai` called in this process, as a terminal or a program would call it."""

import json
from typing import Any

import pytest

from interconnected_ai.cli import main


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
