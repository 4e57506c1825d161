"""What a training begins with, as its folder remembers it: random weights, or those of another expert."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter

from interconnected_ai.errors import DataError
from interconnected_ai.storage import read_json
from interconnected_ai.training.checkpoints import CheckpointFolder
from interconnected_ai.training.run_folder import as_record, write_json_safely

_FILE = "init.json"


@dataclass(frozen=True)
class Start:
    """The expert that a training began with; None where its weights were random.

    init: its name. init_key: what tells its weights and tokenizer from all others.
    """

    init: str | None = None
    init_key: str | None = None

    @classmethod
    def kept_in(cls, folder: Path) -> Self:
        """As a training's folder remembers it."""
        path = folder / _FILE
        return cls() if not path.is_file() else as_record(path, read_json(path), TypeAdapter(cls))

    def to_dict(self) -> dict[str, str]:
        """For the card: nothing where the weights were random."""
        return {key: value for key, value in asdict(self).items() if value is not None}


def keep_start(folder: Path, init: str | None, find: Callable[[], Start], *, resume: bool) -> None:
    """Keep what the training in `folder` begins with, which `find` says; `init` is where that stands.

    One that is resumed goes on from its checkpoints, whatever has become of that expert; without any it needs the same one:
    `DataError` where it is another now.
    """
    if resume and has_checkpoints(folder):
        return
    start, before = find(), Start.kept_in(folder)
    if resume and (folder / _FILE).is_file() and before != start:
        raise DataError(
            f"this training was begun with the weights of {before.init!r} ({before.init_key}), which stand at {init} no "
            f"more ({start.init_key}); --overwrite begins anew with those that stand there now"
        )
    write_json_safely(folder / _FILE, asdict(start))


def has_checkpoints(folder: Path) -> bool:
    """Whether a training in this folder has something to go on from."""
    return bool(CheckpointFolder(folder / "checkpoints").steps())
