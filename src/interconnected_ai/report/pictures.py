"""The drawings of a run's report: curves, heat maps, confusion, reliability; `canvas` makes pixels of them.

matplotlib is imported when something is drawn, through its objects alone: no pyplot, no setting of its user is read or
changed. Colours are those of a light page; in SVG they become CSS variables, which a dark page gives other values.
"""

import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from interconnected_ai.extras import require
from interconnected_ai.report.answers import BranchAnswers, Reliability, Scope
from interconnected_ai.report.records import ExpertUse
from interconnected_ai.report.wording import Words
from interconnected_ai.training import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# A colour's name in CSS → its value on a light page and on a dark one. No two may be equal: SVG is searched for them.
COLOURS = {
    "ink": ("#1b1f24", "#e8eaed"),
    "muted": ("#68707c", "#9aa3af"),
    "grid": ("#d9dde3", "#363c45"),
    "line-0": ("#1f6fb4", "#6ab0f3"),
    "line-1": ("#c75b00", "#ffa357"),
    "line-2": ("#1a8754", "#5fd095"),
    "line-3": ("#8250c4", "#b99cf5"),
    "line-4": ("#c62f3b", "#ff838c"),
    "line-5": ("#0b8a99", "#4fd0de"),
    "line-6": ("#8a7400", "#dcc64f"),
    "line-7": ("#c2418f", "#f48bc8"),
}
_NUM_COLOURS = sum(name.startswith("line-") for name in COLOURS)
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
_ON_COLOUR = "#fcfdfe"  # on a heat map's darkest cells; the same on every page, as they are

# Inches. Three thirds, or two halves, and what is between them are a whole.
GAP = 0.24
WIDTHS = {"third": (12.6 - 2 * GAP) / 3, "half": (12.6 - GAP) / 2, "whole": 12.6}
_MOST_POINTS = 500  # of one line; more cannot be told apart
_MOST_NAMED = 12  # lines with a name of their own
MOST_LABELLED = 12  # classes that are named at the edges of a confusion matrix
_MOST_COLUMNS = 240  # of a heat map over steps

_STYLE: dict[str, Any] = {
    "font.size": 9, "axes.labelsize": 9, "xtick.labelsize": 8, "ytick.labelsize": 8, "legend.fontsize": 8,
    "text.parse_math": False,  # a label may hold two dollar signs
    "text.color": COLOURS["ink"][0], "axes.labelcolor": COLOURS["ink"][0], "axes.edgecolor": COLOURS["muted"][0],
    "xtick.color": COLOURS["muted"][0], "ytick.color": COLOURS["muted"][0],
    "xtick.labelcolor": COLOURS["ink"][0], "ytick.labelcolor": COLOURS["ink"][0],
    "axes.grid": True, "axes.axisbelow": True, "grid.color": COLOURS["grid"][0], "grid.linewidth": 0.6,
    "axes.spines.top": False, "axes.spines.right": False, "figure.facecolor": "none", "axes.facecolor": "none",
    "savefig.facecolor": "auto", "legend.frameon": False, "legend.labelcolor": COLOURS["ink"][0], "lines.linewidth": 1.5,
    "svg.fonttype": "none", "svg.hashsalt": "interconnected_ai",
}  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """One drawing: its title, a sentence for under it, its width (a key of `WIDTHS`), and how it is drawn."""

    title: str
    caption: str
    width: str
    draw: Callable[[], "Figure"]


@dataclass(frozen=True)
class Table:
    """Rows of cells, as they are shown; `numeric` columns stand to the right. columns: () for a list of facts.

    wide: columns of running text, which keep room for some words on a narrow screen. caption: a sentence for under it.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    width: str = "whole"
    wide: frozenset[int] = frozenset()
    caption: str = ""


@dataclass(frozen=True, eq=False)
class Grid:
    """Counts by row and column of the same names; on a page it scrolls within itself, a picture leaves it out."""

    title: str
    corner: str
    names: tuple[str, ...]
    counts: np.ndarray
    caption: str = ""
    width: str = "whole"


@dataclass(frozen=True)
class Line:
    """A named curve. style: its number among its kind, which gives colour and dash; None: ink, and thicker."""

    name: str
    curve: Curve
    style: int | None


@contextmanager
def drawing() -> Iterator[None]:
    """matplotlib with our settings and nobody else's, put back afterwards."""
    matplotlib = require("matplotlib", "training", "drawing a report")
    with matplotlib.rc_context(), warnings.catch_warnings():
        # Labels of any alphabet: what the font lacks is an empty box in the PNG; a browser has other fonts.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def empty_figure(width: float, height: float, *, layout: str | None = "constrained") -> "Figure":
    """An empty figure, in inches."""
    figure: Figure = require("matplotlib.figure", "training", "drawing a report").Figure(
        figsize=(width, height), layout=layout
    )
    return figure


def as_svg(picture: Picture, prefix: str) -> str:
    """The drawing as an <svg> element for an HTML page. prefix: begins its ids, which must differ from other drawings'."""
    with drawing():
        file = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        picture.draw().savefig(file, format="svg", metadata=nothing)
    drawn = file.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<style.*?</style>", "", drawn, count=1, flags=re.DOTALL)  # it would rule the whole page
    # Only inside tags: the words between them are labels, and stay what they are.
    drawn = re.sub(r"<[^>]+>", lambda tag: _for_page(tag[0], prefix), drawn)
    return drawn.replace("<svg ", f'<svg role="img" aria-label="{escape(picture.title, quote=True)}" ', 1).strip()


def named(curves: Mapping[str, Curve], *, high_is_bad: bool) -> list[str]:
    """The names that get a line of their own: all of them, or those that ended worst where they are too many."""
    if len(curves) <= _MOST_NAMED:
        return list(curves)
    last = {name: curve.values[-1] for name, curve in curves.items()}
    worst = sorted(last, key=lambda name: last[name], reverse=high_is_bad)[:_MOST_NAMED]
    return [name for name in curves if name in worst]


def smoothing(curves: Sequence[Curve]) -> int:
    """Over how many logged steps the lines of noisy figures are averaged: a 20th of them, 1 for short runs."""
    return max(1, max((len(curve.steps) for curve in curves), default=0) // 20)


def draw_lines(
    lines: Sequence[Line],
    *,
    x: str,
    y: str,
    words: Words,
    rest: Sequence[Curve] = (),
    scale: float = 1.0,
    window: int = 1,
    span: tuple[float | None, float | None] = (None, None),
    mark_step: int | None = None,
    mark_value: float | None = None,
) -> "Figure":
    """Curves over steps, with a legend below.

    rest: curves without a name, drawn in grey. scale: values are multiplied by it. window: steps of the running mean.
    span: where the axis begins unless a value is lower, and what it must reach. mark_step, mark_value: dotted lines.
    """
    figure = empty_figure(WIDTHS["half"], 3.1 + 0.2 * _legend_rows([line.name for line in lines]))
    axes = figure.add_subplot()
    for curve in rest:
        axes.plot(*_points(curve, scale, window), color=COLOURS["muted"][0], linewidth=0.6, alpha=0.4)
    handles = [_draw_line(axes, line, scale, window) for line in lines]
    if rest:
        label = words("rest", count=len(rest))
        handles += axes.plot([], [], color=COLOURS["muted"][0], linewidth=0.8, label=label)
    if mark_value is not None:
        axes.axhline(mark_value * scale, color=COLOURS["muted"][0], linestyle=":", linewidth=1.2)
    if mark_step is not None:
        axes.axvline(mark_step, color=COLOURS["muted"][0], linestyle=":", linewidth=1.2)
    _hold(axes, span)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    _write_numbers(axes, words)
    _count_steps(axes, words)
    if len(handles) > 1:
        names = [str(handle.get_label()) for handle in handles]
        figure.legend(handles, names, loc="outside lower center", ncols=_legend_columns(names), handlelength=2.6)
    return figure


def draw_use(use: ExpertUse, words: Words) -> "Figure":
    """A layer's experts × steps, coloured by the share of the assignments."""
    num_experts = len(use.shares)
    figure = empty_figure(WIDTHS["whole"], min(5.0, 1.5 + 0.11 * num_experts))
    axes = figure.add_subplot()
    shares, edges = _in_columns(use)
    even, most = 100 / num_experts, 100 * float(np.nanmax(shares))
    image = axes.imshow(
        100 * shares, aspect="auto", interpolation="none", origin="lower", cmap="viridis",
        norm=_norm(False, max(2 * even, most)), extent=(edges[0], edges[-1], -0.5, num_experts - 0.5),
    )  # fmt: skip
    axes.grid(visible=False)
    axes.set_yticks(range(0, num_experts, max(1, -(-num_experts // 16))))
    axes.set_xlabel(words("step"))
    axes.set_ylabel(words("expert_axis"))
    _count_steps(axes, words)
    scale = figure.colorbar(image, ax=axes, label=words("share_axis"), pad=0.01, fraction=0.04)
    scale.ax.grid(visible=False)
    scale.ax.axhline(even, color=_ON_COLOUR, linewidth=1.5)
    return figure


def draw_confusion(answers: BranchAnswers, words: Words) -> "Figure":
    """True class × answer, coloured by the share of the true class; few classes are named and counted."""
    counts = answers.confusion
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    labels = [short(label) for label in answers.card.spec.labels]
    few = len(labels) <= MOST_LABELLED
    figure = empty_figure(WIDTHS["third"], 4.0)
    axes = figure.add_subplot()
    image = axes.imshow(shares, interpolation="none", cmap=_one_colour(), norm=_norm(few), aspect="auto")
    axes.grid(visible=False)
    if few:
        numbers = range(len(labels))
        look = {"rotation": 90} if len(labels) > 6 else {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(numbers, labels, **look)
        axes.set_yticks(numbers, labels)
        _write_counts(axes, counts, shares)
    axes.set_xlabel(words("answer_axis" if few else "answer_number_axis"))
    axes.set_ylabel(words("true_axis" if few else "true_number_axis"))
    scale = figure.colorbar(image, ax=axes, label=words("confusion_axis"), shrink=0.8, pad=0.03)
    scale.ax.grid(visible=False)
    return figure


def draw_reliability(answers: BranchAnswers, words: Words) -> "Figure":
    """Accuracy over confidence, before and after the branch's temperature."""
    figure = empty_figure(WIDTHS["third"], 3.9)
    axes = figure.add_subplot()
    axes.plot([0, 100], [0, 100], color=COLOURS["muted"][0], linestyle=":", linewidth=1.2)
    for found, kind, colour, filled in (
        (answers.before, "before", "line-1", False),
        (answers.after, "after", "line-0", True),
    ):
        label = words(kind, ece=100 * found.calibration_error)
        _draw_bins(axes, found, COLOURS[colour][0], filled=filled, label=label)
    axes.set_xlim(0, 103)
    axes.set_ylim(-3, 103)
    axes.set_aspect("equal")
    axes.set_xlabel(words("confidence_axis"))
    axes.set_ylabel(words("accuracy_axis"))
    _write_numbers(axes, words)
    figure.legend(loc="outside lower center", ncols=1)
    return figure


def draw_scope(scope: Scope, words: Words) -> "Figure":
    """The share that would be refused at each threshold: of the branch's own rows, and of text that is none of its business."""
    figure = empty_figure(WIDTHS["third"], 3.9)
    axes = figure.add_subplot()
    thresholds = np.linspace(0, 1, 201)
    for scores, kind, colour, dash in (
        (scope.own, "own_rows", "line-1", "-"),
        (scope.others, "other_rows", "line-0", "-"),
        (scope.strange, "strange_texts", "line-3", (0, (5, 2))),
    ):
        if len(scores):
            label = words(kind, count=words.count(len(scores)))
            shares = 100 * scope.refused(scores, thresholds)
            axes.plot(thresholds, shares, color=COLOURS[colour][0], linestyle=dash, label=label)
    axes.axvline(scope.threshold, color=COLOURS["muted"][0], linestyle=":", linewidth=1.2)
    axes.set_xlim(0, 1)
    axes.set_ylim(-2, 103)
    axes.set_xlabel(words("threshold_axis"))
    axes.set_ylabel(words("refused_axis"))
    _write_numbers(axes, words)
    figure.legend(loc="outside lower center", ncols=1)
    return figure


def shown(text: str, most: int = 64) -> str:
    """A name as it is drawn or printed: on one line, without control characters, cut to `most` characters."""
    flat = "".join(c for c in " ".join(text.split()) if c.isprintable()) or "?"
    return flat if len(flat) <= most else f"{flat[: most - 1]}…"


def short(label: str, most: int = 16) -> str:
    """A class's name where there is little room: its beginning and its end, since classes often begin alike."""
    flat = shown(label, 10_000)
    return flat if len(flat) <= most else f"{flat[: most - most // 2 - 1]}…{flat[-(most // 2) :]}"


def _for_page(tag: str, prefix: str) -> str:
    """An SVG tag with ids of its own, colours of the page, and the page's font and size."""
    tag = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}", tag)
    tag = re.sub(r" ?font-family: [^;\"]*;?", "", tag)
    if tag.startswith("<svg"):
        return re.sub(r' (?:width|height)="[^"]*"', "", tag)
    for name, (light, _) in COLOURS.items():
        tag = tag.replace(light, f"var(--{name})")
    return tag


def _draw_line(axes: "Axes", line: Line, scale: float, window: int) -> "Line2D":
    """Draw it, and return what stands for it in the legend."""
    if line.style is None:
        look: dict[str, Any] = {"color": COLOURS["ink"][0], "linewidth": 2.2, "zorder": 3}
    else:
        dash = _DASHES[line.style // _NUM_COLOURS % len(_DASHES)]
        look = {"color": COLOURS[f"line-{line.style % _NUM_COLOURS}"][0], "linestyle": dash}
    steps, values = _points(line.curve, scale, window)
    if len(steps) <= 30:
        look |= {"marker": "o", "markersize": 3.5}
    if window > 1 and line.style is None:
        axes.plot(*_points(line.curve, scale, 1), color=look["color"], linewidth=0.7, alpha=0.25)
    (drawn,) = axes.plot(steps, values, label=short(line.name, 26), **look)
    return drawn


def _points(curve: Curve, scale: float, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values, averaged over `window` neighbours, at most `_MOST_POINTS` of them."""
    steps, values = np.array(curve.steps), scale * np.array(curve.values, dtype=np.float64)
    window = min(window, len(values))  # or the convolution would be longer than the curve
    if window > 1:
        finite = np.isfinite(values)
        total = np.convolve(np.where(finite, values, 0.0), np.ones(window), mode="same")
        count = np.convolve(finite.astype(np.float64), np.ones(window), mode="same")
        values = np.where(count > 0.5, total / np.maximum(count, 1), np.nan)
    stride = max(1, -(-len(steps) // _MOST_POINTS))
    return steps[::stride], values[::stride]


def _hold(axes: "Axes", span: tuple[float | None, float | None]) -> None:
    """Let the vertical axis begin where it should, unless something lies below, and reach at least as high as it should."""
    (low, high), (wanted_low, wanted_high) = axes.get_ylim(), span
    if wanted_low is not None and axes.dataLim.y0 >= wanted_low:
        low = wanted_low
    axes.set_ylim(low, high if wanted_high is None else max(high, wanted_high))


def _count_steps(axes: "Axes", words: Words) -> None:
    ticker = require("matplotlib.ticker", "training", "drawing a report")
    axes.xaxis.set_major_locator(ticker.MaxNLocator(nbins=7, integer=True))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda step, _: words.count(step)))


def _write_numbers(axes: "Axes", words: Words) -> None:
    """Numbers at the axes as the language writes them; English ones are matplotlib's own."""
    if words.language == "en":
        return
    ticker = require("matplotlib.ticker", "training", "drawing a report")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: words.short(value)))


def _legend_columns(names: Sequence[str]) -> int:
    """How many names of this length stand beside each other under a half-width picture."""
    return max(1, min(len(names), 4, int(84 / (max(len(name) for name in names) + 8))))


def _legend_rows(names: Sequence[str]) -> int:
    return -(-len(names) // _legend_columns([short(name, 26) for name in names])) if len(names) > 1 else 0


def _in_columns(use: ExpertUse) -> tuple[np.ndarray, np.ndarray]:
    """(num_experts, num_columns) shares at even distances of steps, and the columns' edges; means where steps are many."""
    steps = np.array(use.steps, dtype=np.float64)
    num_columns = min(_MOST_COLUMNS, len(steps))
    gap = (steps[-1] - steps[0]) / max(1, len(steps) - 1) or 1.0
    edges = np.linspace(steps[0] - gap / 2, steps[-1] + gap / 2, num_columns + 1)
    column_of = np.clip(np.searchsorted(edges, steps, side="right") - 1, 0, num_columns - 1)
    counts = np.bincount(column_of, minlength=num_columns)
    sums = np.stack([np.bincount(column_of, weights=row, minlength=num_columns) for row in use.shares])
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan), edges


def _one_colour() -> Any:
    """From nothing to blue: what is empty looks like the page, whatever its colour."""
    colors = require("matplotlib.colors", "training", "drawing a report")
    red, green, blue = colors.to_rgb(COLOURS["line-0"][0])
    return colors.LinearSegmentedColormap.from_list("share", [(red, green, blue, 0.0), (red, green, blue, 1.0)])


def _norm(few: bool, most: float = 100.0) -> Any:
    """Shares of 0 to `most` %; with many classes or experts a square root, or small shares would look like none."""
    colors = require("matplotlib.colors", "training", "drawing a report")
    return colors.Normalize(0, most) if few else colors.PowerNorm(0.5, 0, most)


def _write_counts(axes: "Axes", counts: np.ndarray, shares: np.ndarray) -> None:
    size = 9 if len(counts) <= 6 else 7
    for true, answer in np.argwhere(counts):
        colour = _ON_COLOUR if shares[true, answer] > 55 else COLOURS["ink"][0]
        axes.text(answer, true, str(counts[true, answer]), ha="center", va="center", size=size, color=colour)


def _draw_bins(axes: "Axes", found: Reliability, colour: str, *, filled: bool, label: str) -> None:
    confidence = [100 * b.confidence for b in found.bins]
    accuracy = [100 * b.accuracy for b in found.bins]
    total = sum(b.num_rows for b in found.bins)
    areas = [14 + 260 * b.num_rows / total for b in found.bins]
    axes.plot(confidence, accuracy, color=colour, linewidth=1.0, alpha=0.7)
    look: dict[str, Any] = {"facecolors": "none", "edgecolors": colour, "linewidths": 1.4}
    if filled:
        look = {"color": colour, "alpha": 0.75}
    axes.scatter(confidence, accuracy, s=areas, clip_on=False, **look)
    axes.plot([], [], color=colour, marker="o", markersize=6, markerfacecolor=colour if filled else "none", label=label)
