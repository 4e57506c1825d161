"""What a training computes with, where that is found by measuring: kept in its folder, so that a resume measures nothing."""

import logging
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, TypeAdapter

from interconnected_ai.config import Precision
from interconnected_ai.storage import read_json
from interconnected_ai.training.devices import Choice, choose
from interconnected_ai.training.processes import Processes
from interconnected_ai.training.run_folder import as_record, write_json_safely

FILE = "computing.json"
_log = logging.getLogger(__name__)


class Computing(BaseModel, frozen=True, extra="ignore"):
    """Device kind and precision of a run."""

    device: str
    precision: Literal["float32", "bfloat16", "float16"]


_COMPUTING = TypeAdapter(Computing)


def open_processes(device: str, precision: Precision, folder: Path, *, resume: bool) -> Processes:
    """The processes of a training in `folder`; a resumed one computes in the precision that it began with.

    Raises as `Processes.of` does, and `IntegrityError` for a damaged computing.json.
    """
    return Processes.of(_choice(device, precision, folder, resume))


def keep_computing(processes: Processes, folder: Path) -> None:
    """Write down what this training computes with; the main process does. Only while the folder is owned."""
    if processes.is_main:
        computing = Computing(device=processes.device.type, precision=processes.precision)  # type: ignore[arg-type]
        write_json_safely(folder / FILE, computing.model_dump())


def _choice(device: str, precision: Precision, folder: Path, resume: bool) -> Choice:
    kept = _kept(folder) if resume and precision == "auto" else None
    if kept is None:
        return choose(device, precision)
    here = choose(device, kept.precision)
    if here.device.type != kept.device:
        _log.warning(
            "this training began on %s and goes on on %s: the bits of its weights will differ", kept.device, here.device
        )
        return choose(device, precision)
    return Choice(here.device, here.dtype, "as this training began")


def _kept(folder: Path) -> Computing | None:
    path = folder / FILE
    return as_record(path, read_json(path), _COMPUTING) if path.is_file() else None
