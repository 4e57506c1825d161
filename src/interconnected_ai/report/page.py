"""The report of a run as a page: one HTML file that needs nothing else, or one PNG of the same content."""

from collections.abc import Sequence
from functools import partial
from html import escape
from pathlib import Path

import numpy as np

from interconnected_ai.errors import ConfigError
from interconnected_ai.extras import require
from interconnected_ai.report.adapters import AdapterReport, adapter_sections, gather_adapter_report
from interconnected_ai.report.canvas import (
    as_pixels,
    in_rows,
    png_of,
    stacked,
    table_pixels,
    text_pixels,
)
from interconnected_ai.report.contents import Reported, Section, Verdict, missing_sentences, sections_of, verdict_of
from interconnected_ai.report.gather import gather_report
from interconnected_ai.report.pictures import COLOURS, WIDTHS, Grid, Picture, Table, as_svg, shown
from interconnected_ai.report.records import RunReport
from interconnected_ai.report.wording import Words
from interconnected_ai.storage import atomic_file
from interconnected_ai.training import adapter_run_folder

_MARGIN, _GAP = 44, 24  # pixels of the PNG page


def write_report(
    run: str | Path,
    page: str | Path,
    *,
    picture: str | Path | None = None,
    language: str = "en",
    usd_per_hour: float | None = None,
    texts: bool = True,
) -> RunReport | AdapterReport:
    """Gather a run's report and write it as an HTML `page`, and as a PNG `picture` where one is named.

    texts: false leaves out the texts of the run's data, for a page that others may see.
    Each file is written whole or not at all. Raises what `gather_report` does, `ConfigError` for names that end
    otherwise, `UnknownNameError` for an unknown language, `MissingExtraError` without matplotlib.
    """
    _require_ending(page, (".html", ".htm"))
    if picture is not None:
        _require_ending(picture, (".png",))
    words = Words(language)
    require("matplotlib", "training", "drawing a report")  # said now, not after the test rows were answered
    report, sections = _gathered(run, words, usd_per_hour, texts)
    html = to_html(report, sections, words)
    with atomic_file(page) as scratch:
        scratch.write_text(html, encoding="utf-8")
    if picture is not None:
        drawn = to_png(report, sections, words)
        with atomic_file(picture) as scratch:
            scratch.write_bytes(drawn)
    return report


def _gathered(
    run: str | Path, words: Words, usd_per_hour: float | None, texts: bool
) -> tuple[RunReport | AdapterReport, list[Section]]:
    """A run's report and its page, of whichever kind the run is."""
    if adapter_run_folder(run) is not None:
        of_adapter = gather_adapter_report(run)
        return of_adapter, list(adapter_sections(of_adapter, words))
    report = gather_report(run, usd_per_hour=usd_per_hour)
    return report, list(sections_of(report, words, texts=texts))


def to_html(report: Reported, sections: Sequence[Section], words: Words) -> str:
    """The whole page as HTML: styles and drawings are inside it, and nothing in it can load or run anything."""
    title = escape(words("title", name=shown(report.name)))
    missing = missing_sentences(report, words.language)
    parts = [f"<h1>{title}</h1>", f'<p class="path">{escape(shown(str(report.folder), 300))}</p>']
    parts.append(_verdict_html(verdict_of(report, words)))
    if missing:
        items = "".join(f"<li>{escape(sentence)}</li>" for sentence in missing)
        parts.append(f'<aside class="missing"><h2>{escape(words("missing"))}</h2><ul>{items}</ul></aside>')
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


def to_png(report: Reported, sections: Sequence[Section], words: Words) -> bytes:
    """The same page as a PNG file, on white."""
    whole = partial(text_pixels, inches=WIDTHS["whole"])
    strips = [whole(words("title", name=shown(report.name)), size=17, bold=True)]
    strips.append(whole(shown(str(report.folder), 300), size=8.5, colour="muted"))
    verdict = verdict_of(report, words)
    strips.append(whole(verdict.sentence, size=12, bold=True))
    for name, lines in verdict.findings:
        strips.append(whole(name, size=10, bold=True))
        strips += [whole(line, size=9) for line in lines]
    if verdict.unjudged:
        strips.append(whole(verdict.unjudged, size=8.5, colour="muted"))
    if report.missing:
        strips.append(whole(words("missing"), size=11, bold=True))
        strips += [whole(sentence, size=9) for sentence in missing_sentences(report, words.language)]
    for section in sections:
        strips.append(whole(section.heading, size=13, bold=True))
        strips.append(whole(section.sentence, size=8.5, colour="muted"))
        drawn = [
            as_pixels(block) if isinstance(block, Picture) else table_pixels(block)
            for block in section.blocks
            if not isinstance(block, Grid)
        ]
        strips.append(in_rows(drawn, _GAP))
    page = stacked([strip for strip in strips if len(strip)], gap=_GAP // 2)
    return png_of(np.pad(page, ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0)), constant_values=255))


def _require_ending(path: str | Path, endings: tuple[str, ...]) -> None:
    if Path(path).suffix.lower() not in endings:
        raise ConfigError(f"{path} does not end in {' or '.join(endings)}; name a file that does")


def _verdict_html(verdict: Verdict) -> str:
    """The verdict in its colour, and every finding under it."""
    findings = "".join(
        f"<li><b>{escape(name)}</b>" + "".join(f"<p>{escape(line)}</p>" for line in lines) + "</li>"
        for name, lines in verdict.findings
    )
    unjudged = f'<p class="note">{escape(verdict.unjudged)}</p>' if verdict.unjudged else ""
    listed = f"<ol>{findings}</ol>" if findings else ""
    return f'<aside class="verdict {verdict.kind}"><h2>{escape(verdict.sentence)}</h2>{listed}{unjudged}</aside>'


def _block_html(block: Picture | Table | Grid, prefix: str) -> str:
    if isinstance(block, Table):
        return f'<div class="{block.width}">{_table_html(block)}</div>'
    if isinstance(block, Grid):
        return f'<div class="{block.width}">{_grid_html(block)}</div>'
    return (
        f'<figure class="{block.width}">{_caption(block.title, strong=True)}<div class="scroll">{as_svg(block, prefix)}</div>'
        f"{_caption(block.caption)}</figure>\n"
    )


def _caption(text: str, *, strong: bool = False) -> str:
    if not text:
        return ""
    if strong:
        return f"<figcaption><b>{escape(text)}</b></figcaption>"
    return f'<figcaption class="note">{escape(text)}</figcaption>'


def _table_html(table: Table) -> str:
    heads = "".join(f'<th scope="col"{_side(table, at)}>{escape(name)}</th>' for at, name in enumerate(table.columns))
    head = f"<thead><tr>{heads}</tr></thead>" if heads else ""
    rows = "".join(f"<tr>{_cells(table, row)}</tr>" for row in table.rows)
    tall = " tall" if len(table.rows) > _MOST_ROWS else ""
    return (
        f'<figure>{_caption(table.title, strong=True)}<div class="scroll{tall}"><table>{head}<tbody>{rows}</tbody></table>'
        f"</div>{_caption(table.caption)}</figure>\n"
    )


def _cells(table: Table, row: Sequence[str]) -> str:
    """A row's cells; of facts the first one names the second. Each says for itself in which direction it is written."""
    facts = not table.columns and len(row) > 1
    return "".join(
        f'<th scope="row">{escape(cell)}</th>'
        if facts and at == 0
        else f'<td dir="auto"{_side(table, at)}>{escape(cell)}</td>'
        for at, cell in enumerate(row)
    )


def _side(table: Table, column: int) -> str:
    if column in table.numeric:
        return ' class="number"'
    if column in table.wide:
        return ' class="wide"'
    return ' class="name"' if table.columns else ""


def _grid_html(grid: Grid) -> str:
    """A table of counts whose names stay in sight while it scrolls; the darker a cell, the larger its share of the row."""
    heads = "".join(f'<th scope="col"><span dir="auto">{escape(name)}</span></th>' for name in grid.names)
    rows = []
    for number, (name, counts) in enumerate(zip(grid.names, grid.counts.tolist(), strict=True)):
        most = max(1, sum(counts))
        cells = "".join(_grid_cell(count, count / most, right=at == number) for at, count in enumerate(counts))
        rows.append(f'<tr><th scope="row" dir="auto">{escape(name)}</th>{cells}</tr>')
    head = f'<thead><tr><th class="corner">{escape(grid.corner)}</th>{heads}</tr></thead>'
    return (
        f'<figure>{_caption(grid.title, strong=True)}<div class="scroll tall grid"><table>{head}<tbody>{"".join(rows)}</tbody>'
        f"</table></div>{_caption(grid.caption)}</figure>\n"
    )


def _grid_cell(count: int, share: float, *, right: bool) -> str:
    if not count:
        return "<td>"
    colour = "31,111,180" if right else "199,91,0"
    return f'<td style="background:rgba({colour},{0.12 + 0.68 * share:.2f})">{count}'


_MOST_ROWS = 16  # of a table that is shown whole


def _css() -> str:
    light, dark = ("".join(f"--{name}: {values[side]}; " for name, values in COLOURS.items()) for side in (0, 1))
    return (
        f":root {{ --page: #ffffff; --tint: #f4f6f8; {light}}}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ --page: #15181d; --tint: #1d2229; {dark}}} }}\n{_RULES}"
    )


_RULES = """\
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif }
main { max-width: 1240px; margin: 0 auto; padding: 24px 20px 60px }
h1 { font-size: 26px; line-height: 1.2; margin: 0; overflow-wrap: anywhere } h2 { font-size: 19px; margin: 36px 0 6px }
.path, .note { color: var(--muted); margin: 4px 0; overflow-wrap: anywhere } .note { font-size: 13px; max-width: 75em }
aside { border-left: 4px solid var(--line-1); padding: 8px 14px; margin: 18px 0; overflow-wrap: anywhere }
aside h2 { margin: 0; font-size: 17px } aside ul, aside ol { margin: 6px 0; padding-left: 22px } aside li { margin: 8px 0 }
aside p { margin: 2px 0; max-width: 75em } .verdict { background: var(--tint) }
.verdict.good { border-color: var(--line-2) } .verdict.look { border-color: var(--line-4) }
.verdict.unfinished { border-color: var(--muted) } .missing h2 { font-size: 15px }
.row { display: flex; flex-wrap: wrap; gap: 22px 20px; align-items: flex-start }
.row > * { margin: 0; min-width: 0; max-width: 100% }
.whole { flex: 1 1 100% } .half { flex: 0 1 590px } .third { flex: 0 1 386px }
figure { margin: 0; min-width: 0; max-width: 100% } figcaption { overflow-wrap: anywhere }
figure svg { display: block; width: 100%; height: auto }
svg * { stroke-linejoin: round; stroke-linecap: butt } svg text { font-family: "DejaVu Sans", system-ui, sans-serif }
.scroll { overflow-x: auto; max-width: 100% } .tall { overflow-y: auto; max-height: 32rem }
table { border-collapse: collapse; font-size: 14px }
td, th { padding: 4px 18px 4px 0; text-align: start; vertical-align: top }
td { overflow-wrap: anywhere; min-width: 5.5rem; unicode-bidi: isolate }
td.name { min-width: 8rem; max-width: 24rem } td.wide { min-width: 14rem; max-width: 44rem }
thead th, tbody th { color: var(--muted); font-weight: normal } thead tr { border-bottom: 1px solid var(--grid) }
tbody tr + tr { border-top: 1px solid var(--grid) }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap } th.number { white-space: normal }
.tall thead th { position: sticky; top: 0; background: var(--page); z-index: 2 }
.grid table { font-size: 12px }
.grid td { min-width: 1.9rem; padding: 2px 4px; text-align: center; border: 1px solid var(--grid) }
.grid th { min-width: 0; padding: 2px 8px 2px 0 }
.grid thead th { vertical-align: bottom; padding: 4px 2px }
.grid thead span { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 11rem; overflow: hidden }
.grid tbody th { position: sticky; left: 0; z-index: 1; background: var(--page) }
.grid tbody th { overflow-wrap: anywhere; min-width: 10rem; max-width: 14rem }
.grid thead .corner { left: 0; z-index: 3; max-width: 14rem }
@media (max-width: 640px) {
  main { padding: 16px 12px 40px } h1 { font-size: 21px } td, th { padding-right: 12px }
  .half svg { min-width: 480px } .whole svg { min-width: 760px } .grid tbody th { min-width: 6rem; max-width: 7rem }
}
@media print {
  .half, .third, tr, li { break-inside: avoid } .tall { max-height: none } .scroll { overflow: visible }
  .tall thead th, .grid tbody th { position: static } h2 { break-after: avoid }
}
"""
