"""The report of a run as a page: one HTML file that needs nothing else, or one PNG of the same content."""

from collections.abc import Sequence
from functools import partial
from html import escape
from pathlib import Path

import numpy as np

from interconnected_ai.errors import ConfigError
from interconnected_ai.extras import require
from interconnected_ai.report.canvas import (
    as_pixels,
    in_rows,
    png_of,
    stacked,
    table_pixels,
    text_pixels,
)
from interconnected_ai.report.contents import Section, missing_sentences, sections_of
from interconnected_ai.report.gather import gather_report
from interconnected_ai.report.pictures import COLOURS, WIDTHS, Picture, Table, as_svg, shown
from interconnected_ai.report.records import RunReport
from interconnected_ai.report.wording import Words
from interconnected_ai.storage import atomic_file

_MARGIN, _GAP = 44, 24  # pixels of the PNG page


def write_report(
    run: str | Path,
    page: str | Path,
    *,
    picture: str | Path | None = None,
    language: str = "en",
    usd_per_hour: float | None = None,
) -> RunReport:
    """Gather a run's report and write it as an HTML `page`, and as a PNG `picture` where one is named.

    Each file is written whole or not at all. Raises what `gather_report` does, `ConfigError` for names that end
    otherwise, `UnknownNameError` for an unknown language, `MissingExtraError` without matplotlib.
    """
    _require_ending(page, (".html", ".htm"))
    if picture is not None:
        _require_ending(picture, (".png",))
    words = Words(language)
    require("matplotlib", "training", "drawing a report")  # said now, not after the test rows were answered
    report = gather_report(run, usd_per_hour=usd_per_hour)
    sections = list(sections_of(report, words))
    html = to_html(report, sections, words)
    with atomic_file(page) as scratch:
        scratch.write_text(html, encoding="utf-8")
    if picture is not None:
        drawn = to_png(report, sections, words)
        with atomic_file(picture) as scratch:
            scratch.write_bytes(drawn)
    return report


def to_html(report: RunReport, sections: Sequence[Section], words: Words) -> str:
    """The whole page as HTML: styles and drawings are inside it, and nothing in it can load or run anything."""
    title = escape(words("title", name=shown(report.name)))
    missing = missing_sentences(report, words.language)
    parts = [f"<h1>{title}</h1>", f'<p class="path">{escape(shown(str(report.folder), 300))}</p>']
    if missing:
        items = "".join(f"<li>{escape(sentence)}</li>" for sentence in missing)
        parts.append(f"<aside><h2>{escape(words('missing'))}</h2><ul>{items}</ul></aside>")
    numbers = iter(range(1_000_000))
    for section in sections:
        heading = f"<h2>{escape(section.heading)}</h2>" if section.heading else ""
        sentence = f'<p class="note">{escape(section.sentence)}</p>' if section.sentence else ""
        blocks = "".join(_block_html(block, f"d{next(numbers)}-") for block in section.blocks)
        parts.append(f'<section>{heading}{sentence}<div class="row">{blocks}</div></section>')
    # The policy makes sure of what the page promises: no script, nothing from elsewhere.
    return (
        f'<!doctype html>\n<html lang="{words.language}">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        'img-src data:">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n<title>{title}</title>\n<style>\n{_css()}</style>\n</head>\n'
        f"<body>\n<main>\n{chr(10).join(parts)}\n</main>\n</body>\n</html>\n"
    )


def to_png(report: RunReport, sections: Sequence[Section], words: Words) -> bytes:
    """The same page as a PNG file, on white."""
    whole = partial(text_pixels, inches=WIDTHS["whole"])
    strips = [whole(words("title", name=shown(report.name)), size=17, bold=True)]
    strips.append(whole(shown(str(report.folder), 300), size=8.5, colour="muted"))
    if report.missing:
        strips.append(whole(words("missing"), size=11, bold=True))
        strips += [whole(sentence, size=9) for sentence in missing_sentences(report, words.language)]
    for section in sections:
        strips.append(whole(section.heading, size=13, bold=True))
        strips.append(whole(section.sentence, size=8.5, colour="muted"))
        drawn = [as_pixels(block) if isinstance(block, Picture) else table_pixels(block) for block in section.blocks]
        strips.append(in_rows(drawn, _GAP))
    page = stacked([strip for strip in strips if len(strip)], gap=_GAP // 2)
    return png_of(np.pad(page, ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0)), constant_values=255))


def _require_ending(path: str | Path, endings: tuple[str, ...]) -> None:
    if Path(path).suffix.lower() not in endings:
        raise ConfigError(f"{path} does not end in {' or '.join(endings)}; name a file that does")


def _block_html(block: Picture | Table, prefix: str) -> str:
    if isinstance(block, Table):
        return f'<div class="{block.width}">{_table_html(block)}</div>'
    title, caption = escape(block.title), escape(block.caption)
    return (
        f'<figure class="{block.width}"><figcaption><b>{title}</b></figcaption>{as_svg(block, prefix)}'
        f'<figcaption class="note">{caption}</figcaption></figure>\n'
    )


def _table_html(table: Table) -> str:
    heads = "".join(f'<th scope="col"{_side(table, at)}>{escape(name)}</th>' for at, name in enumerate(table.columns))
    head = f"<thead><tr>{heads}</tr></thead>" if heads else ""
    rows = "".join(f"<tr>{_cells(table, row)}</tr>" for row in table.rows)
    title = f"<figcaption><b>{escape(table.title)}</b></figcaption>" if table.title else ""
    return f'<figure>{title}<div class="scroll"><table>{head}<tbody>{rows}</tbody></table></div></figure>\n'


def _cells(table: Table, row: Sequence[str]) -> str:
    """A row's cells; of facts the first one names the second."""
    facts = not table.columns and len(row) > 1
    return "".join(
        f'<th scope="row">{escape(cell)}</th>' if facts and at == 0 else f"<td{_side(table, at)}>{escape(cell)}</td>"
        for at, cell in enumerate(row)
    )


def _side(table: Table, column: int) -> str:
    return ' class="number"' if column in table.numeric else ""


def _css() -> str:
    light, dark = ("".join(f"--{name}: {values[side]}; " for name, values in COLOURS.items()) for side in (0, 1))
    return (
        f":root {{ --page: #ffffff; {light}}}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ --page: #15181d; {dark}}} }}\n{_RULES}"
    )


_RULES = """\
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif }
main { max-width: 1240px; margin: 0 auto; padding: 24px 20px 60px }
h1 { font-size: 26px; margin: 0 } h2 { font-size: 19px; margin: 36px 0 6px }
.path, .note { color: var(--muted); margin: 4px 0; overflow-wrap: anywhere } .note { font-size: 13px; max-width: 75em }
aside { border-left: 4px solid var(--line-1); padding: 2px 0 2px 14px; margin: 18px 0 }
aside h2 { margin: 0; font-size: 15px } aside ul { margin: 4px 0; padding-left: 18px; overflow-wrap: anywhere }
.row { display: flex; flex-wrap: wrap; gap: 22px 20px; align-items: flex-start }
.row > * { margin: 0; min-width: 0 }
.whole { flex: 0 1 100% } .half { flex: 0 1 590px } .third { flex: 0 1 386px }
figure { margin: 0 } figure svg { display: block; width: 100%; height: auto }
svg * { stroke-linejoin: round; stroke-linecap: butt } svg text { font-family: "DejaVu Sans", system-ui, sans-serif }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: 14px } td, th { padding: 4px 18px 4px 0; text-align: left; vertical-align: top }
thead th, tbody th { color: var(--muted); font-weight: normal } thead tr { border-bottom: 1px solid var(--grid) }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap } th.number { white-space: normal }
@media print { .half, .third, tr { break-inside: avoid } }
"""
