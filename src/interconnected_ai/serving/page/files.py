"""`Page`: the files of the page as they are sent, and its shell in the language and theme of the reader."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from interconnected_ai import __version__

HOME = Path(__file__).parent
STATIC = HOME / "static"
LANGUAGES = ("en", "ru")
THEMES = ("auto", "light", "dark")
VIEWS = ("chat", "branches", "experts", "memory", "planner")
_KINDS = {
    ".css": "text/css", ".js": "text/javascript", ".json": "application/json", ".svg": "image/svg+xml",
}  # fmt: skip


@dataclass(frozen=True)
class Sent:
    """A file as it is sent. tag: its ETag, which follows from the bytes."""

    body: bytes
    kind: str
    tag: str


class Page:
    """Everything of the page, read once.

    Threads: any number at once.
    """

    def __init__(self) -> None:
        self.files: Mapping[str, Sent] = {
            path.relative_to(STATIC).as_posix(): _read(path) for path in STATIC.rglob("*") if path.suffix in _KINDS
        }
        self._words: Mapping[str, Mapping[str, str]] = json.loads(self.files["catalogue.json"].body)
        shown = Environment(loader=FileSystemLoader(HOME / "templates"), autoescape=True, undefined=StrictUndefined)
        self._shell = shown.get_template("page.html")

    def shell(self, *, language: str, theme: str, needs_key: bool) -> str:
        """The HTML that loads the modules. language, theme: of `LANGUAGES` and `THEMES`."""
        views = [view for view in VIEWS if f"views/{view}.js" in self.files]
        return self._shell.render(
            language=language, theme=theme, views=views, needs_key=needs_key, version=__version__,
            t=lambda key: self._words[key][language],
        )  # fmt: skip


def _read(path: Path) -> Sent:
    body = path.read_bytes()
    return Sent(body, f"{_KINDS[path.suffix]}; charset=utf-8", f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def language_of(accepted: str) -> str:
    """The language of `LANGUAGES` that an Accept-Language header likes best; English where it names none."""
    best, most = "en", 0.0
    for part in accepted.split(","):
        name, _, quality = part.partition(";")
        language = name.strip().lower().partition("-")[0]
        weight = _weight(quality)
        if language in LANGUAGES and weight > most:
            best, most = language, weight
    return best


def _weight(quality: str) -> float:
    """What stands behind `q=`; 1 where nothing does, 0 where it is no number."""
    name, _, value = quality.strip().partition("=")
    if not name:
        return 1.0
    try:
        return float(value) if name == "q" else 0.0
    except ValueError:
        return 0.0
