"""The frozen, strict record that every config is: unknown keys are errors that name the nearest known key."""

import os
from collections.abc import Mapping
from pathlib import Path
from reprlib import Repr
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from interconnected_ai.config.settings import as_yaml, settings_in
from interconnected_ai.errors import Blame, ConfigError, nearest_first

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)  # it has no public name

# A value is shown in a complaint so far that one can recognise it, however deep and long it is.
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 200


# Where something stands; `~` at its beginning is a person's home folder.
Place = Annotated[str, AfterValidator(os.path.expanduser)]


class _Constructor(ModelMetaclass):
    """Calls of a record's class say what is wrong as `from_mapping` does."""

    def __call__(cls: Any, *args: Any, **settings: Any) -> Any:
        if args:
            raise ConfigError(f"{cls.__name__}: needs settings by name, got {_SHORT.repr(args[0])}")
        try:
            return super().__call__(**settings)
        except ValidationError as error:
            raise _wrong(cls, error, cls.__name__) from error


class Record(BaseModel, metaclass=_Constructor):
    """A frozen record: unknown keys and wrong types are errors, equal contents are equal."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True, allow_inf_nan=False)

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any], *, source: str = "settings") -> Self:
        """The record these settings describe; `ConfigError` names every key that is wrong, and the remedy."""
        if not isinstance(settings, Mapping):
            raise ConfigError(f"{source}: needs a mapping of keys to values, got {_kind_of(settings)}")
        try:
            return cls.model_validate(dict(settings))
        except ValidationError as error:
            raise _wrong(cls, error, source) from error

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """The record in a YAML or JSON file."""
        return cls.from_mapping(settings_in(path), source=str(path))

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON or YAML; `from_mapping` reads them back to an equal record."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """The record as YAML, keys in the order of their definition."""
        return as_yaml(self.to_dict())

    def with_changes(self, **changes: Any) -> Self:
        """A copy with some settings changed, checked like a new record."""
        return self.from_mapping({**self.to_dict(), **changes})


def _kind_of(settings: object) -> str:
    return "NoneType; is the file empty?" if settings is None else type(settings).__name__


def _wrong(record: type[Record], error: ValidationError, source: str) -> ConfigError:
    """One line per mistake: where, what was got, what is needed."""
    lines, blames = [], []
    for mistake in error.errors():
        where = ".".join(str(part) for part in mistake["loc"]) or record.__name__
        if mistake["type"] == "extra_forbidden":
            known = _known_keys(record, mistake["loc"][:-1])
            nearest = ", ".join(nearest_first(str(mistake["loc"][-1]), known)[:5])
            said = f"unknown key; known, nearest first: {nearest}"
            lines.append(f"{source}: unknown key {where!r}; known, nearest first: {nearest}")
        elif mistake["type"] == "missing":
            said = "it is missing"
            lines.append(f"{source}: key {where!r} is missing")
        elif mistake["type"] == "value_error":
            said = str(mistake["ctx"]["error"])
            lines.append(f"{source}: {where}: {said}")
        else:
            said = f"{_SHORT.repr(mistake['input'])}: {mistake['msg']}"
            lines.append(f"{source}: {where} = {said}")
        if mistake["loc"]:
            blames.append(Blame(where, said))
    return ConfigError("\n".join(lines)).blaming(*blames)


def _known_keys(record: type[Record], path: tuple[int | str, ...]) -> list[str]:
    """The keys allowed at `path` inside `record`."""
    for part in path:
        if isinstance(part, int) or part not in record.model_fields:
            continue
        inner = record_within(record.model_fields[part].annotation)
        if inner is None:
            return []
        record = inner
    return list(record.model_fields)


def record_within(annotation: Any) -> type[Record] | None:
    """The record class inside an annotation such as `tuple[BranchSpec, ...]` or `TableData | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return annotation
    return next((r for arg in getattr(annotation, "__args__", ()) if (r := record_within(arg)) is not None), None)
