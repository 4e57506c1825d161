"""The two folders of a training that leaves an expert: the expert's own, and the training's beside it, EXPERT-training."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, Self

from interconnected_ai.errors import ConfigError, InterconnectedAIError, StorageError
from interconnected_ai.storage import atomic_file, is_complete, refuse_same
from interconnected_ai.training.checkpoints import CheckpointFolder
from interconnected_ai.training.run_folder import drop_folder


class RunRecordWithOutput(Protocol):
    """The config of a run that writes to `output`."""

    output: str

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """The config in a file."""

    def with_changes(self, **changes: Any) -> Self:
        """The same with other settings."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""

    def to_yaml(self) -> str:
        """As a file holds it."""


def beside(expert: Path) -> Path:
    """Where checkpoints, curves and prepared text of an expert's training stand."""
    return expert.with_name(f"{expert.name}-training")


def refuse_taken(output: Path, sources: Sequence[str], *, resume: bool, overwrite: bool) -> None:
    """Raise `StorageError` where an expert or a training stands and nobody said what to do with it. Changes nothing.

    sources: what the training reads. `ConfigError` where a folder is, lies in or contains one of them.
    """
    folder = beside(output)
    if resume and overwrite:
        raise ConfigError("resume and overwrite exclude each other; choose one")
    read = [path for path in sources if not path.startswith(("hf:", "docs:"))]
    for place in (output,) if resume else (output, folder):
        refuse_same(place, *read)
    if output.exists() and not is_complete(output) and (not output.is_dir() or any(output.iterdir())):
        raise StorageError(f"{output} exists and was not written by this package; choose another --out")
    if resume or overwrite:
        return
    if is_complete(output):
        raise StorageError(f"{output} holds an expert; use --overwrite to train it anew, or choose another --out")
    if CheckpointFolder(folder / "checkpoints").steps():  # an attempt without any has nothing to lose
        raise StorageError(
            f"{folder} holds an unfinished training; use --resume to go on with it, --overwrite to drop it, or another --out"
        )


@contextmanager
def gone_if_refused(folder: Path) -> Iterator[None]:
    """A folder that did not stand there goes again when its text or settings are refused; an interruption leaves it."""
    stood = folder.exists()
    try:
        yield
    except (InterconnectedAIError, OSError):
        if not stood:
            drop_folder(folder)
        raise


def keep_config(folder: Path, config: RunRecordWithOutput, *, resume: bool) -> None:
    """Keep the run's config; a resumed run must have the one it began with."""
    kept = folder / "run.yaml"
    if resume and kept.is_file():
        before = type(config).from_file(kept).with_changes(output=config.output).to_dict()
        if before != config.to_dict():
            raise ConfigError(
                f"{kept} differs from the settings given ({', '.join(_differences(before, config.to_dict()))}); resume with "
                "the same, or train into another folder"
            )
        return
    with atomic_file(kept) as scratch:
        scratch.write_text(config.to_yaml(), encoding="utf-8")


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    out = []
    for key, value in now.items():
        if isinstance(value, dict) and isinstance(before.get(key), dict):
            out += [f"{key}.{inner}" for inner in _differences(before[key], value)]
        elif before.get(key) != value:
            out.append(key)
    return out
