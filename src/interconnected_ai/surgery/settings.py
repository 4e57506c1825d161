"""Checks of single settings, before they are handed on to a library that would fail on them in its own words."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from interconnected_ai.errors import ConfigError, DataError


def need_count(name: str, value: Any, least: int = 1) -> None:
    """Raise `ConfigError` unless this is a whole number, `least` or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name} = {value!r}: needs a whole number of at least {least}")


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


def need_by_layer(name: str, value: Any) -> dict[int, tuple[int, ...]]:
    """Layer → numbers of experts; raises `ConfigError` for anything else."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} = {value!r}: needs layer → expert numbers, such as {{3: [77]}}")
    return {layer: need_numbers(f"{name} of layer {layer}", numbers) for layer, numbers in value.items()}
