"""The comparison as a picture: parameters, memory, FLOPs and time of every way. PNG, SVG, or a page of HTML."""

import io
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interconnected_ai.errors import ConfigError
from interconnected_ai.extras import require
from interconnected_ai.planner.comparison import Plan
from interconnected_ai.planner.way import Way
from interconnected_ai.storage import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SUFFIXES = (".png", ".svg", ".html")
_INK, _GRID = "#1b1f24", "#d9dde3"
_COLOURS = {"frozen": "#9aa3af", "trained": "#1f6fb4", "weights": "#9aa3af", "gradients": "#c75b00", "optimiser": "#1a8754",
            "activations": "#8250c4", "moments": "#c2418f", "forward": "#1f6fb4", "backward": "#c75b00"}  # fmt: skip


def draw_plan(plan: Plan, target: str | Path) -> Path:
    """Draw the plan to `target`, whole or not at all; the suffix says as what. Needs matplotlib.

    Raises `ConfigError` for another suffix and `StorageError` when the file cannot be written.
    """
    target = Path(target)
    if target.suffix not in _SUFFIXES:
        raise ConfigError(f"--plot {target}: needs a name that ends in {', '.join(_SUFFIXES)}")
    content = _page(plan) if target.suffix == ".html" else _figure(plan, target.suffix[1:])
    with atomic_file(target) as scratch:
        scratch.write_bytes(content)
    return target


def _figure(plan: Plan, kind: str) -> bytes:
    """The four panels as bytes of an image."""
    matplotlib = require("matplotlib", "planner", "drawing a plan")
    figures = require("matplotlib.figure", "planner", "drawing a plan")
    with matplotlib.rc_context({"font.size": 9, "svg.fonttype": "none", "text.color": _INK, "axes.axisbelow": True}):
        figure = figures.Figure(figsize=(12, 7.2), layout="constrained")
        figure.suptitle(_title(plan), fontsize=12, x=0.01, ha="left")
        panels = figure.subplots(2, 2).flatten()
        names = [_name(way) for way in plan.ways]
        _stacked(panels[0], "parameters, millions", names, _parameters(plan))
        _stacked(panels[1], "peak memory of training, MB", names, _memory(plan))
        _stacked(panels[2], "FLOPs of a training step, billions", names, _flops(plan))
        _times(panels[3], plan, names)
        out = io.BytesIO()
        figure.savefig(out, format=kind, dpi=130)
        return out.getvalue()


def _title(plan: Plan) -> str:
    return (
        f"{len(plan.request.system.branches)} branches, {plan.request.num_rows:,} rows of {plan.request.mean_tokens} tokens "
        f"on {plan.device.name} in {plan.precision} — recommended: {plan.recommendation.choice}"
    )


def _name(way: Way) -> str:
    return {"moe": "MoE", "added branch": "adding a branch"}.get(way.name, way.name)


def _parameters(plan: Plan) -> dict[str, list[float]]:
    return {
        "frozen": [(way.num_params - way.num_trainable_params) / 1e6 for way in plan.ways],
        "trained": [way.num_trainable_params / 1e6 for way in plan.ways],
    }


def _memory(plan: Plan) -> dict[str, list[float]]:
    parts = [way.training for way in plan.ways]
    shown = {
        "weights": [m.weights_bytes / 1e6 for m in parts],
        "gradients": [m.gradients_bytes / 1e6 for m in parts],
        "optimiser": [m.optimizer_bytes / 1e6 for m in parts],
    }
    # The rest of the peak: activations and what lives for moments (not all parts are there at the same time).
    rest = [max(0.0, m.peak_bytes / 1e6 - sum(column[i] for column in shown.values())) for i, m in enumerate(parts)]
    return {**shown, "activations": rest}


def _flops(plan: Plan) -> dict[str, list[float]]:
    return {
        "forward": [(way.step_training_flops - way.step_backward_flops) / 1e9 for way in plan.ways],
        "backward": [way.step_backward_flops / 1e9 for way in plan.ways],
    }


def _stacked(axes: "Axes", title: str, names: list[str], parts: dict[str, list[float]]) -> None:
    """Horizontal bars, a colour for each part, the total beside each bar."""
    start = [0.0] * len(names)
    for part, values in parts.items():
        axes.barh(names, values, left=start, label=part, color=_COLOURS[part], height=0.6)
        start = [a + b for a, b in zip(start, values, strict=True)]
    for row, total in enumerate(start):
        axes.annotate(f" {total:,.3g}" if total < 100 else f" {total:,.0f}", (total, row), va="center")
    axes.margins(x=0.14)
    axes.legend(frameon=False, ncols=len(parts), loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.2)
    axes.set_xlabel(title)
    _bare(axes)


def _times(axes: "Axes", plan: Plan, names: list[str]) -> None:
    """The whole training, and a request: expected, with the range as a line."""
    rows = [("training", "#1f6fb4", [way.run_seconds for way in plan.ways], 0.18),
            ("one answer", "#c75b00", [way.latency_seconds for way in plan.ways], -0.18)]  # fmt: skip
    for label, colour, ranges, shift in rows:
        for row, found in enumerate(ranges):
            axes.plot([found.low, found.high], [row + shift] * 2, color=colour, linewidth=3, alpha=0.45)
            axes.plot(found.expected, row + shift, "o", color=colour, label=label if row == 0 else None)
            axes.annotate(_spoken(found.expected), (found.high, row + shift), va="center", xytext=(5, 0),
                          textcoords="offset points")  # fmt: skip
    axes.set_xscale("log")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.margins(x=0.2)
    axes.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.2)
    axes.set_xlabel("seconds (logarithmic); dots: expected, lines: range")
    _bare(axes)


def _spoken(seconds: float) -> str:
    sizes = ((86400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
    size, unit = next(((size, unit) for size, unit in sizes if seconds >= size), (1e-3, "ms"))
    return f"{seconds / size:.2g} {unit}" if seconds / size < 100 else f"{seconds / size:.0f} {unit}"


def _bare(axes: "Axes") -> None:
    axes.grid(axis="x", color=_GRID)
    axes.invert_yaxis()
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _page(plan: Plan) -> bytes:
    """A page that needs nothing else: the picture, the reasons, what the figures rest on."""
    svg = _figure(plan, "svg").decode("utf-8")
    svg = svg[svg.index("<svg") :]

    def items(sentences: Any) -> str:
        return "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)

    reasons = [r.text + (f" → {r.speaks_for}" if r.speaks_for else "") for r in plan.recommendation.reasons]
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{escape(_title(plan))}</title>
<style>body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2rem auto; padding: 0 1rem;
color: {_INK}; background: #fff }} svg {{ width: 100%; height: auto }}</style></head><body>
{svg}
<h2>Recommended: {escape(plan.recommendation.choice)}</h2><ul>{items(reasons)}</ul>
<h2>Where the document and the figures part</h2><ul>{items(plan.recommendation.disagreements)}</ul>
<h2>What the figures rest on</h2><ul>{items([plan.assumption.text, *plan.notes])}</ul>
</body></html>
""".encode()
