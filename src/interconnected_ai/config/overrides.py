"""Single settings over a whole config: `training.epochs=3` by the dotted names that its record has."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import AliasChoices

from interconnected_ai.config.record import Record, record_within
from interconnected_ai.config.settings import merged, settings_of
from interconnected_ai.errors import ConfigError, nearest_first


def with_settings(record: type[Record], settings: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """The settings of a record of that kind with KEY=VALUE laid over them; their types are the record's affair.

    Raises `ConfigError` for what is no KEY=VALUE, and for a key that the record does not have, with the nearest first: a
    setting of that name in any section, else the names that are written alike.
    """
    given = list(assignments)
    known = setting_names(record)
    for assignment in given:
        key = assignment.partition("=")[0].strip()
        if "=" in assignment and key not in known and not _is_free(record, key):
            same = [name for name in known if name.rpartition(".")[2] == key.rpartition(".")[2]]
            nearest = ", ".join([*same, *(name for name in nearest_first(key, known) if name not in same)][:5])
            raise ConfigError(f"--set {assignment}: unknown key {key!r}; known, nearest first: {nearest}")
    return merged(_by_name(record, settings), _by_name(record, settings_of(given)))


def setting_names(record: type[Record]) -> list[str]:
    """Every dotted name that a record and the records inside it have, other names of the same setting among them."""
    found = []
    for name, field in record.model_fields.items():
        inner = record_within(field.annotation)
        names = [name, *_aliases(field.validation_alias)]
        found += names
        if inner is not None and "tuple" not in str(field.annotation):
            found += [f"{name}.{below}" for below in setting_names(inner)]
    return list(dict.fromkeys(found))


def _is_free(record: type[Record], key: str) -> bool:
    """Whether it is a key of a mapping whose keys are anybody's, such as data.table.labels.topic."""
    above = key.rpartition(".")[0]
    return above in setting_names(record) and _annotation(record, above).startswith("dict")


def _annotation(record: type[Record], key: str) -> str:
    first, _, rest = key.partition(".")
    annotation = record.model_fields[first].annotation
    inner = record_within(annotation)
    if not rest:
        return str(annotation)
    return "" if inner is None else _annotation(inner, rest)


def _by_name(record: type[Record], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings under their own names, so that one that has two names does not stand there twice."""
    names = {a: name for name, field in record.model_fields.items() for a in _aliases(field.validation_alias)}
    out = {}
    for key, value in settings.items():
        name = names.get(key, key)
        inner = record_within(record.model_fields[name].annotation) if name in record.model_fields else None
        out[name] = _by_name(inner, value) if inner is not None and isinstance(value, Mapping) else value
    return out


def _aliases(alias: Any) -> list[str]:
    return [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else []
