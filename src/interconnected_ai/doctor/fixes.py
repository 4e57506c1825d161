"""A config with the doctor's settings in it: what changed, from what, and for which reason."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from interconnected_ai.config import AdapterRunConfig, RunConfig
from interconnected_ai.errors import ConfigError
from interconnected_ai.storage import atomic_file, refuse_standing

Config = TypeVar("Config", RunConfig, AdapterRunConfig)


class Advice(Protocol):
    """A check or an illness: its name and the settings that it wants."""

    @property
    def name(self) -> str:
        """What was found."""

    @property
    def settings_to_change(self) -> dict[str, Any]:
        """Settings by their names, such as {"training.lr_moe": 1e-4}."""


@dataclass(frozen=True)
class Change:
    """One setting that is changed, and what for."""

    setting: str
    before: Any
    after: Any
    reason: str

    @property
    def words(self) -> str:
        """The change in a line."""
        return f"{self.setting}: {self.before} → {self.after} ({self.reason})"


def fixed_config(config: Config, advice: Iterable[Advice], *, output: str | None = None) -> tuple[Config, list[Change]]:
    """The config with the settings that all advice wants, and the changes. Where two want one setting, the first has its way.

    output: folder of the new run, so that it does not ask for the old one's. A setting that cannot stand beside an earlier
    change is left out.
    """
    fixed = config if output is None else config.with_changes(output=output)
    changes: list[Change] = []
    for item in advice:
        for setting, after in item.settings_to_change.items():
            room, _, name = setting.partition(".")
            before = config.to_dict()[room][name]
            if before == after or any(change.setting == setting for change in changes):
                continue
            try:
                fixed = fixed.with_changes(**{room: {**fixed.to_dict()[room], name: after}})
            except ConfigError:
                continue
            changes.append(Change(setting, before, after, item.name))
    return fixed, changes


def write_fixed(
    path: Path, config: RunConfig | AdapterRunConfig, changes: Iterable[Change], *, overwrite: bool = False
) -> None:
    """Write a changed config, the changes named above it. Raises `StorageError` when a file stands there already.

    overwrite: replace that file.
    """
    refuse_standing(path, overwrite=overwrite, name="the file to write,")
    head = "".join(f"#   {change.words}\n" for change in changes)
    with atomic_file(path) as scratch:
        scratch.write_text(f"# Changed by iai doctor:\n{head}\n{config.to_yaml()}", encoding="utf-8")
