"""A run's config from tables alone, for `iai init` and for `iai train` without a config."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interconnected_ai.config import RunConfig, merged, settings_of, with_settings
from interconnected_ai.errors import ConfigError

if TYPE_CHECKING:
    from interconnected_ai.data import Columns, TableSet
    from interconnected_ai.doctor import Change, Check

_CONFIG_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Start:
    """A config with whole paths that tables alone gave, and what was seen in each of them.

    given: the settings that the person named; advice leaves them alone.
    """

    config: RunConfig
    tables: "list[tuple[TableSet, Columns]]"
    given: frozenset[str]

    def advised(self, config: RunConfig, found: "Sequence[Check]") -> "tuple[RunConfig, list[Change], list[Check]]":
        """The config with what the checklist advises, the changes, and the checks that they do not answer."""
        from interconnected_ai.doctor import fixed_config

        free = [check for check in found if not self.given.intersection(check.settings_to_change)]
        config, changes = fixed_config(config, free)
        answered = {change.reason for change in changes}
        return config, changes, [check for check in found if check.name not in answered]


def is_config(path: str) -> bool:
    """Whether an argument names a config; anything else names a table, a folder of tables, or a dataset."""
    place = Path(path)
    if path.startswith("hf:") or place.is_dir():
        return False
    if place.suffix.lower() == ".json":
        return not place.is_file() or _is_json_config(place)
    return place.suffix.lower() in _CONFIG_SUFFIXES or not place.suffix


def _is_json_config(place: Path) -> bool:
    """Whether a JSON file is no table: one object with keys of a config, or nothing that a table begins with."""
    try:
        text = place.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return True  # whose reader says what is wrong
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return not text.lstrip().startswith(("{", "[")) or _is_cut_short(text)
    return isinstance(content, dict) and bool(set(content) & set(RunConfig.model_fields))


def _is_cut_short(text: str) -> bool:
    """Whether not even a first object can be read from it."""
    try:
        json.JSONDecoder().raw_decode(text.lstrip())
    except (ValueError, RecursionError):
        return True
    return False


def start_of(
    paths: Sequence[str],
    *,
    text: str | None = None,
    labels: Sequence[str] = (),
    output: str | None = None,
    changes: Mapping[str, Any] | None = None,
    assignments: Sequence[str] = (),
) -> Start:
    """The config of a run on these tables: a branch a table, or of one table a branch for each of several label columns.

    text, labels: columns that are known. output: the run's folder; None names it after the tables. changes: settings of flags;
    assignments: KEY=VALUE, which go before all. Raises `DataError` where columns cannot be told, and `ConfigError` for
    settings that cannot be.
    """
    from interconnected_ai.data import columns_of, table_sets

    sets = table_sets(list(paths))
    if len(labels) > 1 and len(sets) > 1:
        raise click.UsageError(
            f"several --label make branches of one table, and here are {len(sets)}: {', '.join(each.name for each in sets)}"
        )
    tables = [(each, columns_of(each.path, text=text, labels=list(labels))) for each in sets]
    named = merged(changes or {}, settings_of(assignments))
    settings = {
        "output": output or f"runs/{_name_of_run(paths, sets)}",
        "data": _table(*tables[0]) if len(labels) > 1 else {"branches": [_branch(*each) for each in tables]},
        **(changes or {}),
    }
    config = RunConfig.from_mapping(with_settings(RunConfig, settings, assignments))
    return Start(config, tables, frozenset(_keys(with_settings(RunConfig, named, ()))))


def as_begun(config: RunConfig) -> RunConfig:
    """The config of a run that goes on: what nobody has set is as the run in its folder began, advice and encoder included."""
    kept = Path(config.output) / "run.yaml"
    if not kept.is_file():
        return config
    began, content = RunConfig.from_file(kept).to_dict(), config.to_dict()
    for section, record in (("system", config.system), ("training", config.training)):
        for name, field in type(record).model_fields.items():
            if getattr(record, name) == field.default:
                content[section][name] = began[section][name]
    return RunConfig.from_mapping(content)


def require_one(names: Sequence[str], kind: str) -> str:
    """The only one of these arguments."""
    if len(names) > 1:
        raise click.UsageError(f"{len(names)} {kind} given: {', '.join(names)}; give one")
    return names[0]


def _keys(settings: Mapping[str, Any], above: str = "") -> list[str]:
    """The dotted names of all values."""
    found = []
    for key, value in settings.items():
        found += _keys(value, f"{above}{key}.") if isinstance(value, Mapping) else [f"{above}{key}"]
    return found


def _name_of_run(paths: Sequence[str], sets: "Sequence[TableSet]") -> str:
    if len(sets) == 1:
        return sets[0].name
    if len(paths) == 1:
        return Path(paths[0]).resolve().name or "tables"
    return f"{sets[0].name}-and-{len(sets) - 1}-more"


def _branch(tables: "TableSet", columns: "Columns") -> dict[str, Any]:
    return {"name": tables.name, **_sides(tables), "text": columns.text, "label": columns.labels[0]}


def _table(tables: "TableSet", columns: "Columns") -> dict[str, Any]:
    from interconnected_ai.data import safe_names

    labels = dict(zip(safe_names(columns.labels), columns.labels, strict=True))
    return {"table": {**_sides(tables), "text": columns.text, "labels": labels}}


def _sides(tables: "TableSet") -> dict[str, str]:
    sides = {"path": tables.path, "validation": tables.validation, "test": tables.test}
    return {side: _whole(path) for side, path in sides.items() if path is not None}


def _whole(path: str) -> str:
    return path if path.startswith("hf:") else str(Path(path).resolve())


def refuse_columns(text: str | None, labels: Sequence[str]) -> None:
    """With a config, columns stand there."""
    if text is not None or labels:
        raise ConfigError("--text and --label name columns of a table; with a config they stand there, under data")
