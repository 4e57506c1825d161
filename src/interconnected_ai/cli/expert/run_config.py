"""What the verbs that train a language model do alike with options, config files and interrupted trainings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from interconnected_ai.config import AdapterRunConfig, ExpertRunConfig, settings_in
from interconnected_ai.errors import ConfigError

Run = TypeVar("Run", ExpertRunConfig, AdapterRunConfig)
_SOURCES = ("paths", "validation", "test")


def is_bare(given: Mapping[str, Any]) -> bool:
    """Whether nothing but --out was said."""
    return given["out"] is not None and all(value in (None, ()) for flag, value in given.items() if flag != "out")


def resumed(record: type[Run], given: Mapping[str, Any]) -> Run:
    """The config that an interrupted training keeps beside what it is to leave. Raises `ConfigError` where there is none."""
    out: Path = given["out"]
    kept = out.with_name(f"{out.name}-training") / "run.yaml"
    if not kept.is_file():
        raise ConfigError(f"{kept} does not exist: there is no training of {out} to go on with; leave --resume out")
    return record.from_file(kept).with_changes(output=str(out))


def settings_of_file(file: Path | None) -> dict[str, Any]:
    """The settings of a config; none without one."""
    settings = settings_in(file) if file else {}
    if not isinstance(settings, dict):
        raise ConfigError(f"{file}: needs a mapping of keys to values, got {type(settings).__name__}")
    return settings


def given_keys(given: Mapping[str, Any], flags: Mapping[str, str]) -> dict[str, Any]:
    """What was said of these flags, by the key of the config. flags: flag → key."""
    return {key: given[flag] for flag, key in flags.items() if given[flag] is not None}


def make_sources_absolute(settings: Mapping[str, Any], parts: Sequence[str], folder: Path) -> None:
    """Paths in these parts of a config are relative to its folder; they are made absolute in place."""
    for name in parts:
        if isinstance(part := settings.get(name), dict):
            for key in _SOURCES:
                if isinstance(paths := part.get(key), list | tuple):
                    part[key] = [absolute(path, folder) if isinstance(path, str) else path for path in paths]


def expert_place(expert: str, folder: Path) -> str:
    """An expert's folder does not depend on where it is read from; what stands nowhere there may be a hub id."""
    return absolute(expert, folder) if (folder / expert).exists() else expert


def absolute(path: str, folder: Path) -> str:
    """A path that does not depend on where it is read from; datasets and documentation have none."""
    return path if path.startswith(("hf:", "docs:")) else str((folder / path).resolve())
