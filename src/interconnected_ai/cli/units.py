"""Figures as people say them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interconnected_ai.planner import Range


def spoken_count(number: float) -> str:
    """12,300,000 → 12.3 M"""
    for size, letter in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:.3g}"


def spoken_bytes(number: float) -> str:
    """12,300,000 → 12.3 MB"""
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f} B"


def spoken_seconds(found: "Range") -> str:
    """Expected, and the range in the same unit."""
    sizes = ((86400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
    size, unit = next(((size, unit) for size, unit in sizes if found.expected >= size), (1e-3, "ms"))
    low, middle, high = (_short(value / size) for value in (found.low, found.expected, found.high))
    return f"{middle} {unit} ({low}–{high})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
