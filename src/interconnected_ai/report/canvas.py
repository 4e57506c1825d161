"""Drawings, tables and paragraphs as pixels, put together on one white sheet: the PNG of a run's report."""

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from interconnected_ai.extras import require
from interconnected_ai.report.pictures import COLOURS, GAP, WIDTHS, Picture, Table, drawing, empty_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 125
_BETWEEN_COLUMNS = 0.25  # inches


def as_pixels(picture: Picture) -> np.ndarray:
    """(height, width, 3) bytes: the drawing on white, with its title above and its caption below."""
    inches = WIDTHS[picture.width]
    above = text_pixels(picture.title, inches, size=10.5, bold=True)
    below = text_pixels(picture.caption, inches, size=8, colour="muted")
    with drawing():
        drawn = _pixels(picture.draw())
    return stacked([above, drawn, below])


def text_pixels(text: str, inches: float, *, size: float, colour: str = "ink", bold: bool = False) -> np.ndarray:
    """(height, width, 3) bytes: a paragraph, wrapped to `inches`. An empty text has no height."""
    if not text:
        return np.full((0, round(inches * _DPI), 3), 255, dtype=np.uint8)
    with drawing():
        weight = "bold" if bold else "normal"
        lines = _wrapped(text, inches, _ruler(size=size, weight=weight))
        figure = empty_figure(inches, len(lines) * size * 1.45 / 72 + 0.06, layout=None)
        look: dict[str, Any] = {"size": size, "weight": weight, "color": COLOURS[colour][0], "linespacing": 1.3}
        figure.text(0, 1, "\n".join(lines), va="top", **look)
        return _pixels(figure)


def table_pixels(table: Table) -> np.ndarray:
    """(height, width, 3) bytes: a table with its title."""
    inches, size = WIDTHS[table.width], 8.5
    rows = [table.columns, *table.rows] if table.columns else list(table.rows)
    with drawing():
        widths = _column_inches(rows, size)
        size *= min(1.0, inches / sum(widths))
        widths = _column_inches(rows, size)
        line = size * 1.75 / 72
        figure = empty_figure(inches, len(rows) * line + 0.05, layout=None)
        for number, row in enumerate(rows):
            y = 1 - (number + 0.5) * line / figure.get_figheight()
            for column, cell in enumerate(row):
                names = (number if table.columns else column) == 0
                right = column in table.numeric
                x = sum(widths[: column + right]) - (_BETWEEN_COLUMNS if right else 0)
                figure.text(
                    x / inches, y, cell, ha="right" if right else "left", va="center", size=size,
                    color=COLOURS["muted" if names else "ink"][0],
                )  # fmt: skip
        drawn = _pixels(figure)
    return stacked([text_pixels(table.title, inches, size=10.5, bold=True), drawn])


def stacked(parts: Sequence[np.ndarray], gap: int = 0) -> np.ndarray:
    """Drawings one under another, `gap` pixels apart, filled up with white to the widest."""
    width = max(part.shape[1] for part in parts)
    return np.concatenate([_filled(part, part.shape[0] + gap, width) for part in parts])


def in_rows(drawn: Sequence[np.ndarray], gap: int) -> np.ndarray:
    """Drawings side by side as long as they fit into a page's width, then the next row."""
    between = np.full((1, round(GAP * _DPI), 3), 255, dtype=np.uint8)
    rows: list[list[np.ndarray]] = [[]]
    for part in drawn:
        if rows[-1] and sum(p.shape[1] for p in rows[-1]) + part.shape[1] > WIDTHS["whole"] * _DPI:
            rows.append([])
        rows[-1] += [between, part] if rows[-1] else [part]
    return stacked([_beside(row) for row in rows], gap)


def png_of(pixels: np.ndarray) -> bytes:
    """(height, width, 3) bytes as a PNG file."""
    image = require("matplotlib.image", "training", "drawing a report")
    file = io.BytesIO()
    image.imsave(file, pixels, format="png", metadata={"Software": None}, dpi=_DPI)
    return file.getvalue()


def _pixels(figure: "Figure") -> np.ndarray:
    """(height, width, 3) bytes: the figure on white."""
    figure.set_dpi(_DPI)
    figure.set_facecolor("white")
    canvas = _canvas(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def _ruler(**look: Any) -> Callable[[str], float]:
    """How many inches wide a text is in this type."""
    figure = empty_figure(1, 1, layout=None)
    renderer = _canvas(figure).get_renderer()
    return lambda text: float(figure.text(0, 0, text, **look).get_window_extent(renderer).width) / figure.dpi


def _wrapped(text: str, inches: float, width_of: Callable[[str], float]) -> list[str]:
    """Lines that fit: whole words, and a word that is wider than a line in pieces."""
    if width_of(text) <= inches:
        return [text]
    lines: list[str] = []
    for word in text.split():
        for start, piece in enumerate(_pieces(word, inches, width_of)):
            longer = f"{lines[-1]} {piece}" if lines and not start else piece
            if lines and not start and width_of(longer) <= inches:
                lines[-1] = longer
            else:
                lines.append(piece)
    return lines


def _pieces(word: str, inches: float, width_of: Callable[[str], float]) -> list[str]:
    """The word, or parts of it of equal length that fit into a line."""
    count = max(1, -(-width_of(word) // inches))
    length = -(-len(word) // int(count))
    if count > 1:
        length = max(1, length - 2)  # letters are not equally wide
    return [word[start : start + length] for start in range(0, len(word), length)]


def _column_inches(rows: Sequence[Sequence[str]], size: float) -> list[float]:
    """How wide each column is in type of this size, with the distance to the next one."""
    width_of = _ruler(size=size)
    return [max(width_of(row[column]) for row in rows) + _BETWEEN_COLUMNS for column in range(len(rows[0]))]


def _beside(row: Sequence[np.ndarray]) -> np.ndarray:
    height = max(part.shape[0] for part in row)
    return np.concatenate([_filled(part, height, part.shape[1]) for part in row], axis=1)


def _filled(part: np.ndarray, height: int, width: int) -> np.ndarray:
    """The drawing in the upper left corner of white."""
    return np.pad(part, ((0, height - part.shape[0]), (0, width - part.shape[1]), (0, 0)), constant_values=255)


def _canvas(figure: "Figure") -> Any:
    return require("matplotlib.backends.backend_agg", "training", "drawing a report").FigureCanvasAgg(figure)
