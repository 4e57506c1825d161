"""A run's figures over its steps: the one reader of metrics.jsonl. `monitors` writes it."""

import json
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from interconnected_ai.arguments import checked
from interconnected_ai.errors import IntegrityError


@dataclass(frozen=True)
class Curve:
    """One logged figure: its values at the logged steps, in the order of the steps. Immutable: threads may share it."""

    steps: tuple[int, ...] = ()
    values: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.values)

    def since(self, step: int) -> "Curve":
        """The part from a step on."""
        return self._where(s >= step for s in self.steps)

    @property
    def finite(self) -> "Curve":
        """Without the steps at which it was no number or infinite, such as skipped ones."""
        return self._where(map(math.isfinite, self.values))

    @property
    def mean(self) -> float:
        """The mean of the values."""
        return math.fsum(value / len(self.values) for value in self.values)  # the sum itself may be too large

    @property
    def median(self) -> float:
        """The median of the values."""
        return median(self.values)

    @property
    def span(self) -> str:
        """The steps in words."""
        first, last = self.steps[0], self.steps[-1]
        return f"step {first}" if first == last else f"steps {first}–{last}"

    def _where(self, kept: Iterator[bool]) -> "Curve":
        points = [point for point, keep in zip(zip(self.steps, self.values, strict=True), kept, strict=True) if keep]
        return Curve(tuple(step for step, _ in points), tuple(value for _, value in points))


@checked
def read_curves(path: Path) -> dict[str, Curve]:
    """The figures of a metrics.jsonl, by name, in the order of logging; none when there is no file.

    A torn last line is left out (the run may be writing it), and of a step that was logged twice the later line counts.
    Raises `IntegrityError` for any other line that is no JSON object of numbers with a step. May be called while the run
    writes.
    """
    points: dict[str, dict[int, float]] = defaultdict(dict)
    for _, step, figures in _read_lines(path):
        for name, value in figures.items():
            points[name][step] = value
    return {name: _curve(of_step) for name, of_step in points.items()}


def lines_until(path: Path, step: int) -> list[str]:
    """The whole lines of a metrics.jsonl up to a step, as they stand there. Raises `IntegrityError` as `read_curves` does."""
    return [line for line, at, _ in _read_lines(path) if at <= step]


def _read_lines(path: Path) -> Iterator[tuple[str, int, dict[str, float]]]:
    """Each line with its step and figures."""
    for number, line in enumerate(_whole_lines(path), start=1):
        if not line.strip():
            continue
        try:
            yield line, *_figures(json.loads(line))
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise IntegrityError(
                f"{path}, line {number} is not an object of figures with a step: {line.strip()[:60]!r}; was it edited? "
                "Remove the line, or restore the file from a copy"
            ) from error


def _figures(line: Any) -> tuple[int, dict[str, float]]:
    """Step and figures of one line. Raises `ValueError`, `TypeError` or `OverflowError` for anything else."""
    if not isinstance(line, dict):
        raise TypeError(f"a JSON {type(line).__name__}")
    step = line.pop("step", None)
    if not isinstance(step, int) or isinstance(step, bool) or step < 0:
        raise ValueError(f"the step is {step!r}")
    if unfit := [value for value in line.values() if not isinstance(value, int | float) or isinstance(value, bool)]:
        raise TypeError(f"{unfit[0]!r} is no number")
    return step, {name: float(value) for name, value in line.items()}


def _whole_lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise IntegrityError(f"{path} is not UTF-8: {error}; restore it from a copy") from error
    except OSError as error:
        raise IntegrityError(f"{path} cannot be read: {error.strerror}; a run writes a file of lines there") from error
    return text.split("\n")[:-1]  # what stands after the last newline is torn


def _curve(of_step: dict[int, float]) -> Curve:
    steps = sorted(of_step)
    return Curve(tuple(steps), tuple(of_step[step] for step in steps))
