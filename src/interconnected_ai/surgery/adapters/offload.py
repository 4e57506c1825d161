"""Tensors that an undo needs and memory need not hold: put aside in files until the step can no longer be undone."""

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from interconnected_ai.errors import StorageError
from interconnected_ai.storage import load_tensors, save_tensors

_REMEDY = "Name a folder with room (spill=…)"


class OffloadFolder:
    """A temporary folder of safetensors files. It goes with the last reference to the folder, at the latest when Python ends.

    within: the folder it is made in; None is the system's temporary folder. need_bytes: what will be put there.
    Raises `StorageError` where there is no room or no right to write.
    """

    def __init__(self, within: str | Path | None, need_bytes: int) -> None:
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="surgery-undo-", dir=within))
            weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
            free_bytes = shutil.disk_usage(self.folder).free
        except OSError as error:
            raise StorageError(
                f"no folder for the undo in {within or 'the temporary folder'}: {error.strerror}; {_REMEDY}"
            ) from error
        if free_bytes < need_bytes:
            raise StorageError(
                f"undoing this step later needs {need_bytes:,} bytes in {self.folder.parent}, where {free_bytes:,} are free; "
                f"the model is unchanged. {_REMEDY}"
            )

    def put(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Write tensors under a name."""
        try:
            save_tensors(self.folder / f"{name}.safetensors", tensors)
        except OSError as error:
            raise StorageError(
                f"could not put {name} aside in {self.folder.parent}: {error.strerror or error}; the model is unchanged. "
                f"{_REMEDY}"
            ) from error

    def take(self, name: str) -> dict[str, Tensor]:
        """The tensors under a name, to the last bit, in memory of their own (kernels may round otherwise in a mapped file)."""
        return {key: tensor.clone() for key, tensor in load_tensors(self.folder / f"{name}.safetensors").items()}
