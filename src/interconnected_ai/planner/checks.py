"""Checks on the numbers that plans are asked for."""

import math

from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.planner.precision import BYTES


def require_count(name: str, value: object, *, least: int = 1) -> None:
    """Raise `ConfigError` for what is no whole number of `least` or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name}={value!r}: needs a whole number of {least} or more")


def require_positive(name: str, value: float) -> None:
    """Raise `ConfigError` for what is no number above 0."""
    if not (math.isfinite(value) and value > 0):
        raise ConfigError(f"{name}={value!r}: needs a number above 0")


def known_precision(precision: str) -> str:
    """This precision; raises `UnknownNameError` for one that is not in the table."""
    if precision not in BYTES:
        raise UnknownNameError("precision", precision, BYTES)
    return precision
