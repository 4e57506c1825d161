"""Real Russian text that needs no download: what installed programs say to their users, as translators have put it.

Each message is labelled with the part of the program that says it. Only catalogues of translations are read; the programs
are not imported."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from interconnected_ai.arguments import checked
from interconnected_ai.data.harvest.docstrings import MAX_CHARACTERS
from interconnected_ai.errors import UnknownNameError
from interconnected_ai.extras import require

MIN_WORDS = 3  # "Открыть файл" is said everywhere


@dataclass(frozen=True)
class MessageRow:
    """One message with its class: the part of the program that says it. source: the catalogue that it stands in."""

    text: str
    label: str
    source: str


@dataclass(frozen=True)
class Program:
    """package: whose folder holds the catalogues. part: what names the part of the program that a message belongs to, the
    catalogue's name, the folder that its `locale` stands in, or the first folder of the source file that the message is in.
    """

    package: str
    part: Literal["catalogue", "folder", "source"]


# fmt: off
PROGRAMS = {
    "jupyterlab": Program("jupyterlab_language_pack_ru_RU", "catalogue"),
    "django": Program("django", "folder"),
    "allauth": Program("allauth", "source"),
}
# fmt: on


@checked
def message_rows(program: str, *, min_rows_per_class: int = 12) -> list[MessageRow]:
    """The Russian messages of a program, labelled by its parts; the same list on every call.

    A text is a message of at least three words on one line, at most 300 characters. Texts are distinct; one found under two
    labels is in neither. Labels with fewer than `min_rows_per_class` texts are left out. Raises `UnknownNameError` for a
    program other than `PROGRAMS`, `MissingExtraError` for one that is not installed.
    """
    if program not in PROGRAMS:
        raise UnknownNameError("program", program, PROGRAMS)
    labels: dict[str, set[str]] = {}
    first: dict[str, MessageRow] = {}
    for row in _messages(PROGRAMS[program]):
        labels.setdefault(row.text, set()).add(row.label)
        first.setdefault(row.text, row)
    clear = [row for text, row in first.items() if len(labels[text]) == 1]
    sizes: dict[str, int] = {}
    for row in clear:
        sizes[row.label] = sizes.get(row.label, 0) + 1
    return [row for row in clear if sizes[row.label] >= min_rows_per_class]


def _messages(program: Program) -> Iterator[MessageRow]:
    for module in ("polib", program.package):
        require(module, "bench", "reading the Russian messages of installed programs")
    import polib

    spec = find_spec(program.package)
    assert spec is not None
    assert spec.origin is not None
    root = Path(spec.origin).parent
    for catalogue in sorted(root.glob("**/locale/ru*/LC_MESSAGES/*.[mp]o")):
        if catalogue.suffix == ".mo" and catalogue.with_suffix(".po").is_file():
            continue  # the .po says more: where a message comes from, and whether it is finished
        read = polib.mofile if catalogue.suffix == ".mo" else polib.pofile
        source = catalogue.relative_to(root).as_posix()
        for entry in read(str(catalogue)):
            text = " ".join((entry.msgstr or entry.msgstr_plural.get(0, "")).split())
            label = _part(program, catalogue, entry)
            if label and not entry.obsolete and "fuzzy" not in entry.flags and _says_something(text):
                yield MessageRow(_cut(text), label, source)


def _part(program: Program, catalogue: Path, entry: Any) -> str | None:
    if program.part == "catalogue":
        return catalogue.stem
    if program.part == "folder":
        return catalogue.parents[3].name
    if not entry.occurrences:
        return None
    place = PurePosixPath(entry.occurrences[0][0]).parts
    return place[1 if place[0] == "templates" else 0]


def _says_something(text: str) -> bool:
    return len(text.split()) >= MIN_WORDS and bool(re.search("[а-яё]", text, re.IGNORECASE))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS + 1].rpartition(" ")[0]
