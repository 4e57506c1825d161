"""A comparison of two mixtures as a page: Markdown, or HTML that needs nothing else and runs nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from interconnected_ai.errors import ConfigError
from interconnected_ai.storage import atomic_file
from interconnected_ai.surgery.analysis.comparison import Comparison, LayerDifference
from interconnected_ai.surgery.settings import need_path

SUFFIXES = (".md", ".html", ".htm")
_MOST_ROWS = 50
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}"
    "table{border-collapse:collapse;margin:.5rem 0 1.5rem;font-variant-numeric:tabular-nums}"
    "th,td{padding:.3rem .8rem;border-bottom:1px solid #d8dee4;text-align:left;vertical-align:top}"
    "@media(prefers-color-scheme:dark){body{background:#14171a;color:#e6e9ec}th,td{border-color:#333a41}}"
)


@dataclass(frozen=True)
class Part:
    """A heading with a sentence, and a table where there is one."""

    heading: str
    sentence: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def write_comparison(comparison: Comparison, page: str | Path) -> None:
    """Write the page, by the name's ending; whole or not at all. `ConfigError` for another ending."""
    need_path("page", page)
    path = Path(page)
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"{path}: needs a name that ends in {', '.join(SUFFIXES)}")
    text = to_markdown(comparison) if path.suffix == ".md" else to_html(comparison)
    with atomic_file(path) as scratch:
        scratch.write_text(text, encoding="utf-8")


def parts_of(found: Comparison) -> list[Part]:
    """The page's contents."""
    distance = found.distance
    answers = (
        f"On {distance.num_tokens:,} tokens the likeliest next one is the same for {distance.agreement:.1%}; mean divergence "
        f"{distance.divergence:.3g} nats; largest difference of a logit {distance.largest:.3g}."
    )
    parts = [
        Part(
            "Sizes", f"{found.family[0]}. {'The two are the same model.' if found.same else 'The two differ.'}",
            ("", *found.names),
            (_counts("parameters", found.num_params), _counts("bytes", found.size_bytes)),
        ),
        Part("Answers", answers),
    ]  # fmt: skip
    if found.perplexities:
        rows = tuple(
            (domain, f"{a:.2f}", f"{b:.2f}", f"{b / a - 1:+.1%}") for domain, (a, b) in found.perplexities.items()
        )
        parts.append(Part("Perplexity", "", ("texts", *found.names, "change"), rows))
    parts.append(_layers_part(found))
    parts += _experts_parts(found)
    parts.append(_tensors_part(found))
    if found.besides:
        parts.append(Part("Beside the weights", "; ".join(found.besides) + "."))
    return parts


def _layers_part(found: Comparison) -> Part:
    columns = ("layer", "experts", "top-k", "closed", "moved", "changed", "new", "gone", "router")
    rows = tuple(
        (
            str(layer.number), _pair(layer.num_experts), _pair(layer.top_k), _pair(layer.closed), str(layer.moved),
            str(layer.changed), str(layer.new), str(len(layer.gone)), _far(layer.router),
        )
        for layer in found.layers
    )  # fmt: skip
    return Part("Layers with experts", "Differences are parts of the length that was there.", columns, rows)


def _experts_parts(found: Comparison) -> list[Part]:
    rows = [row for layer in found.layers for row in _expert_rows(layer)]
    if not rows:
        return []
    more = f" The first {_MOST_ROWS} of {len(rows):,}." if len(rows) > _MOST_ROWS else ""
    sentence = f"Those that moved, changed, came or went.{more}"
    return [Part("Experts", sentence, ("layer", "expert", "was", "difference"), tuple(rows[:_MOST_ROWS]))]


def _expert_rows(layer: LayerDifference) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        (str(layer.number), str(each.number), "new" if each.was is None else str(each.was), _far(each.difference))
        for each in layer.experts
        if each.was != each.number or each.difference > 0
    ]
    return rows + [(str(layer.number), "gone", str(number), "") for number in layer.gone]


def _tensors_part(found: Comparison) -> Part:
    rows = [(name, f"only in {found.names[0]}") for name in found.only_first]
    rows += [(name, f"only in {found.names[1]}") for name in found.only_second]
    rows += [(name, "another shape") for name in found.reshaped]
    rows += [(name, _far(apart)) for name, apart in sorted(found.tensors.items(), key=lambda item: -item[1])]
    if not rows:
        return Part("Other tensors", "All the same.")
    more = f"The first {_MOST_ROWS} of {len(rows):,} that differ." if len(rows) > _MOST_ROWS else ""
    return Part("Other tensors", more, ("tensor", "difference"), tuple(rows[:_MOST_ROWS]))


def to_markdown(comparison: Comparison) -> str:
    """The page as Markdown."""
    lines = [f"# {_plain(comparison.names[0])} and {_plain(comparison.names[1])}", ""]
    for part in parts_of(comparison):
        lines += [f"## {part.heading}", ""]
        lines += [_plain(part.sentence), ""] if part.sentence else []
        if part.columns:
            lines += [_row(part.columns), _row(["---"] * len(part.columns)), *map(_row, part.rows), ""]
    return "\n".join(lines)


def to_html(comparison: Comparison) -> str:
    """The page as HTML: nothing in it can load or run anything."""
    title = escape(f"{comparison.names[0]} and {comparison.names[1]}")
    body = [f"<h1>{title}</h1>"]
    for part in parts_of(comparison):
        body.append(f"<h2>{escape(part.heading)}</h2>" + (f"<p>{escape(part.sentence)}</p>" if part.sentence else ""))
        if part.columns:
            head = "".join(f'<th scope="col">{escape(each)}</th>' for each in part.columns)
            rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in part.rows)
            body.append(f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{chr(10).join(body)}\n</body>\n</html>\n"
    )


def _counts(name: str, values: tuple[int, int]) -> tuple[str, ...]:
    return name, *(f"{each:,}" for each in values)


def _pair(values: tuple[int, int]) -> str:
    return str(values[0]) if values[0] == values[1] else f"{values[0]} → {values[1]}"


def _far(apart: float) -> str:
    return "0" if apart == 0 else f"{apart:.2%}" if apart >= 1e-4 else f"{apart:.1e}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_plain, cells)) + " |"


def _plain(text: str) -> str:
    return text.replace("\n", " ").replace("|", "\\|").replace("<", "&lt;")
