"""Checks of single settings, before they are handed on to a library that would fail on them in its own words."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any

from torch import nn

from interconnected_ai.errors import ConfigError, DataError, UnknownNameError
from interconnected_ai.storage import AnyVersion

_KEY = re.compile(r"\w[\w-]{0,62}")
_TAKEN = frozenset(dir(nn.ModuleDict()))  # it refuses names of its own attributes


def need_count(name: str, value: Any, least: int = 1, most: int | None = None) -> None:
    """Raise `ConfigError` unless this is a whole number, `least` or more, and `most` or less."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name} = {value!r}: needs a whole number of at least {least}")
    if most is not None and value > most:
        raise ConfigError(f"{name} = {value!r}: needs a whole number of at most {most}")


def need_seed(value: Any) -> None:
    """Raise `ConfigError` unless torch's generators take this as a seed."""
    need_count("seed", value, 0, 2**63 - 1)


def need_choice(kind: str, value: Any, known: Iterable[str]) -> None:
    """Raise `UnknownNameError` unless this is one of the known names."""
    names = tuple(known)
    if not isinstance(value, str) or value not in names:
        raise UnknownNameError(kind, value, names)


def need_path(name: str, value: Any) -> None:
    """Raise `ConfigError` unless this can be a path."""
    if not isinstance(value, str | PathLike) or "\0" in str(value):
        raise ConfigError(f"{name} = {value!r:.80}: needs a path")


def need_version(value: Any) -> None:
    """Raise `ConfigError` unless this says what must stand where something is saved."""
    if value is not None and not isinstance(value, str | AnyVersion):
        raise ConfigError(f"replaces = {value!r:.80}: needs a version (storage.version_of), None or storage.ANY")


def need_number(name: str, value: Any, above: float = -math.inf, up_to: float = math.inf) -> None:
    """Raise `ConfigError` unless this is a finite number above one bound, up to the other."""
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not fits or not above < value <= up_to:
        bounds = [f"above {above:g}"] * (above > -math.inf) + [f"up to {up_to:g}"] * (up_to < math.inf)
        raise ConfigError(f"{name} = {value!r}: needs a finite number {', '.join(bounds)}".rstrip())


def need_name(name: str, value: Any) -> None:
    """Raise `ConfigError` unless this is text that could name something."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ConfigError(f"{name} = {value!r}: needs a name of printable characters")


def need_key(name: str, value: Any) -> None:
    """Raise `ConfigError` unless this can name a role or an adapter: it becomes part of tokens, tensors and modules."""
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise ConfigError(f"{name} = {value!r:.80}: needs 1 to 63 letters, digits, '_' or '-', such as 'code'")
    if value in _TAKEN:
        raise ConfigError(f"{name} = {value!r} is a word of PyTorch's modules; choose another, such as '{value}-role'")


def need_texts(texts: Any, what: str = "texts") -> None:
    """Raise `DataError` unless this is a list of texts."""
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise DataError(f"{what} are a {type(texts).__name__}; needs a list of texts")
    wrong = next((each for each in texts if not isinstance(each, str)), None)
    if wrong is not None:
        raise DataError(f"{what}: {wrong!r:.60} is a {type(wrong).__name__}, needs text")


def need_numbers(name: str, value: Any) -> tuple[int, ...]:
    """Numbers of experts or layers; raises `ConfigError` for anything else."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise ConfigError(f"{name} = {value!r}: needs a list of numbers")
    numbers = tuple(value)
    for each in numbers:
        if isinstance(each, bool) or not isinstance(each, int):
            raise ConfigError(f"{name}: {each!r} is no whole number")
    return numbers


def need_list(name: str, value: Any) -> Sequence[Any]:
    """Raise `ConfigError` unless this is a list or tuple."""
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise ConfigError(f"{name} = {value!r:.60}: needs a list")
    return value


def need_kind(name: str, value: Any, *kinds: type) -> None:
    """Raise `ConfigError` unless the value is of one of these kinds."""
    if not isinstance(value, kinds):
        raise ConfigError(f"{name} = {value!r:.60}: needs a {' or a '.join(kind.__name__ for kind in kinds)}")


def need_by_layer(name: str, value: Any) -> dict[int, tuple[int, ...]]:
    """Layer → numbers of experts; raises `ConfigError` for anything else."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} = {value!r}: needs layer → expert numbers, such as {{3: [77]}}")
    return {layer: need_numbers(f"{name} of layer {layer}", numbers) for layer, numbers in value.items()}
