"""What every tunable setting does, in English and Russian: default, sensible range, and what happens at both ends of it.

The words stand in `hyperparameters.toml`; defaults are read from `config.SystemConfig` and `config.TrainingConfig`.
"""

import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import Field

from interconnected_ai.config import Record, SystemConfig, TrainingConfig
from interconnected_ai.errors import UnknownNameError

Language = Literal["en", "ru"]
LANGUAGES: tuple[Language, ...] = ("en", "ru")

_FILE = "hyperparameters.toml"
_RECORDS: dict[str, type[Record]] = {"system": SystemConfig, "training": TrainingConfig}

# Fields of the records that are no knobs: they say what is built, where, and what is kept, and change no quality.
NOT_TUNED: dict[type[Record], tuple[str, ...]] = {
    SystemConfig: ("base_model_name", "ffn", "branches"),
    TrainingConfig: (
        "seed",
        "device",
        "feature_cache",
        "checkpoint_every_steps",
        "keep_checkpoints",
        "monitors",
        "baseline",
    ),
}


class Text(Record):
    """A sentence or two in both languages."""

    en: str
    ru: str

    def in_language(self, language: str) -> str:
        """The text in "en" or "ru"; raises `UnknownNameError` for another language."""
        if language not in LANGUAGES:
            raise UnknownNameError("language", language, LANGUAGES)
        return self.ru if language == "ru" else self.en


class End(Text):
    """A value at an end of the sensible range, or one of a few choices, and what happens there."""

    value: bool | int | float | str


class Hyperparameter(Record):
    """One setting. `ends`: the lowest and the highest sensible value, or all choices where there are only a few.

    section: the part of a run's config that it stands in. aliases: the document's names (`000_…`). document_default: the
    document's value, None where it names none. differs: why ours is another one. default_means: what a default that is no
    number stands for. source: where it comes from.
    """

    name: str
    section: Literal["system", "training"]
    does: Text
    ends: Annotated[tuple[End, ...], Field(strict=False, min_length=2)]
    source: str
    aliases: Annotated[tuple[str, ...], Field(strict=False)] = ()
    document_default: int | float | str | None = None
    differs: Text | None = None
    default_means: Text | None = None

    @property
    def record(self) -> type[Record]:
        """The record that has it as a field."""
        return _RECORDS[self.section]

    @property
    def default(self) -> Any:
        """The record's default."""
        return self.record.model_fields[self.name].default

    @property
    def is_choice(self) -> bool:
        """Whether it is one of a few values and not a number in a range."""
        return not all(_is_number(end.value) for end in self.ends)

    @property
    def sensible(self) -> tuple[Any, ...]:
        """Lowest and highest sensible value, or the choices."""
        return tuple(end.value for end in self.ends)


@lru_cache(maxsize=1)
def hyperparameters() -> tuple[Hyperparameter, ...]:
    """Every setting that is a knob, in the order of the records."""
    sections = tomllib.loads((files(__package__) / _FILE).read_text(encoding="utf-8"))
    return tuple(
        Hyperparameter.from_mapping({"name": name, "section": section, **said}, source=f"{_FILE}: {section}.{name}")
        for section, settings in sections.items()
        for name, said in settings.items()
    )


def explain(name: str) -> Hyperparameter:
    """The setting of that name; the document's names (NUM_EXPERTS, LR_MoE, …) are known too, case does not count.

    Raises `UnknownNameError` with the nearest names first.
    """
    wanted = _plain(name)
    for known in hyperparameters():
        if wanted in (_plain(alias) for alias in (known.name, *known.aliases)):
            return known
    raise UnknownNameError("hyperparameter", name, [known.name for known in hyperparameters()])


def _plain(name: str) -> str:
    """Without case, and without the section that people may write before it ("training.lr_moe")."""
    return name.strip().casefold().replace("-", "_").rpartition(".")[2]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
