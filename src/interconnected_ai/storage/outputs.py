"""Where something is to be written: never where it is read from, and nothing that stands there goes unless that is asked for.

Both looks change nothing and may be taken by any number of threads; they answer for the moment in which they are taken.
"""

import os
from pathlib import Path

from interconnected_ai.errors import ConfigError, StorageError
from interconnected_ai.storage.manifests import is_complete


def refuse_same(
    output: str | Path, *inputs: str | Path, name: str = "output", may_lie_inside: tuple[str, ...] = ()
) -> None:
    """Raise `ConfigError` where writing `output` could touch what is read: it is an input, lies in one, or contains one.

    Links and `..` are followed, and a name is the file that the system opens by it, also where case makes no difference. An
    input that does not exist (the id of a model on a hub, a name that is refused later) is nothing one could write to.
    name: of the argument, for the message. may_lie_inside: suffixes such as ".html" of files that a folder of inputs takes in.
    """
    for source in inputs:
        if (how := _touches(_resolved(output), _resolved(source), may_lie_inside)) is not None:
            raise ConfigError(
                f"{name} {output} {how} {source}, which is read: an output must be apart from all inputs, or what is read is "
                "lost; name another place"
            )


def refuse_standing(output: str | Path, *, overwrite: bool, name: str = "output") -> None:
    """Raise `StorageError` where something stands at `output`: ours, while nobody asked to replace it, or a folder of others.

    An empty folder is nothing. name: of the argument, for the message.
    """
    place = _resolved(output)
    if place.is_dir() and any(place.iterdir()) and not is_complete(place):
        raise StorageError(
            f"{name} {output} exists and was not written by this package; choose another folder, or empty that one"
        )
    if not overwrite and (place.is_file() or is_complete(place)):
        raise StorageError(f"{name} {output} exists; --overwrite (overwrite=True) replaces it, or name another place")


def _resolved(path: str | Path) -> Path:
    """Where writing would go: `absent/../file` is the file, though the system finds nothing by that name."""
    return Path(os.path.realpath(path))


def _touches(output: Path, source: Path, may_lie_inside: tuple[str, ...]) -> str | None:
    """How the two lie to each other, where that is too near."""
    if not source.exists():
        return None
    if output.exists() and output.samefile(source):
        return "is the same as"
    if source.is_dir() and _lies_in(output, source) and output.suffix not in may_lie_inside:
        return "lies in"
    return "contains" if output.is_dir() and _lies_in(source, output) else None


def _lies_in(inner: Path, outer: Path) -> bool:
    above = Path(os.path.realpath(inner)).parents
    return any(folder.exists() and folder.samefile(outer) for folder in above)
