"""Where a run came from: when it was begun, by which version, with which command."""

import os
import shlex
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter

from interconnected_ai import __version__
from interconnected_ai.arguments import checked
from interconnected_ai.training.run_folder import as_record, content_of, write_json_safely

_COMMAND = "iai"


@dataclass(frozen=True)
class Origin:
    """begun: date and time in UTC, ISO 8601. command: what was typed, None where a program of one's own began the run."""

    begun: str
    version: str
    command: str | None = None


def keep_origin(path: Path) -> None:
    """Note in a file that a run begins now."""
    begun = datetime.now(UTC).isoformat(timespec="seconds")
    write_json_safely(path, asdict(Origin(begun, __version__, command_of(sys.argv))))


@checked
def origin_of(path: Path) -> Origin | None:
    """What `keep_origin` noted; None in runs that noted nothing. Raises `IntegrityError` for a damaged file."""
    return as_record(path, content_of(path), TypeAdapter(Origin)) if path.exists() else None


@checked
def command_of(argv: list[str]) -> str | None:
    """The `iai` command that this process was started with, as one types it; None for any other program."""
    program = Path(argv[0]) if argv and argv[0] else None
    if program is None:
        return None
    as_module = program.name == "__main__.py" and program.parent.name == "cli"
    if not as_module and os.path.splitext(program.name)[0] != _COMMAND:
        return None
    return shlex.join([_COMMAND, *argv[1:]])
