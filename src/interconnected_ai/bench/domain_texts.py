"""The documentation of the installed libraries as domains, one a module: dealt out to three sides, and kept as files.

What is held out of a domain is held out of all: an expert of one and a seed of all are measured on text that neither learnt.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interconnected_ai.data import SIDES, TEST, TRAIN, VALIDATION, Document, Texts, survey
from interconnected_ai.errors import DataError
from interconnected_ai.storage import atomic_folder, read_folder, read_json, write_json

KIND = "interconnected_ai texts of domains"
_CONTENT = "domains.json"
_FEWEST_DOCUMENTS = 8  # of a domain, with fewer of which its held-out sides would be single texts


@dataclass(frozen=True)
class Domain:
    """One module's documentation, on three sides."""

    name: str
    sides: tuple[tuple[Document, ...], ...]

    @property
    def train(self) -> tuple[Document, ...]:
        """What is learnt from."""
        return self.sides[TRAIN]

    @property
    def validation(self) -> tuple[Document, ...]:
        """What settings are chosen by."""
        return self.sides[VALIDATION]

    @property
    def test(self) -> tuple[Document, ...]:
        """What is only measured."""
        return self.sides[TEST]

    @property
    def num_bytes(self) -> int:
        """Of what is learnt from, in UTF-8."""
        return sum(len(document.text.encode()) for document in self.train)


def domains_of(
    modules: Mapping[str, Sequence[Document]],
    number: int,
    *,
    validation_fraction: float = 0.04,
    test_fraction: float = 0.06,
    seed: int = 0,
) -> list[Domain]:
    """The `number` modules with the most text, the largest first. Raises `DataError` where there are fewer."""
    sizes = {
        name: sum(len(one.text.encode()) for one in documents)
        for name, documents in modules.items()
        if len(documents) >= _FEWEST_DOCUMENTS
    }
    if len(sizes) < number:
        raise DataError(
            f"{len(sizes)} modules of the installed libraries have {_FEWEST_DOCUMENTS} documented names or more, {number} are "
            "asked for; ask for fewer, or install more of them: pip install interconnected-ai[bench]"
        )
    largest = sorted(sizes, key=lambda name: (-sizes[name], name))[:number]
    return [_dealt_out(name, modules[name], validation_fraction, test_fraction, seed) for name in largest]


def _dealt_out(name: str, documents: Sequence[Document], validation: float, test: float, seed: int) -> Domain:
    found = survey(
        Texts.of_documents(documents, name=name, validation_fraction=validation, test_fraction=test, seed=seed)
    )
    sides: tuple[list[Document], ...] = ([], [], [])
    for side, _, document in found.documents():
        sides[side].append(document)
    return Domain(name, tuple(map(tuple, sides)))


def write_domains(folder: Path, domains: Iterable[Domain], made_with: Mapping[str, Any]) -> None:
    """Keep the domains in `folder`, whole or not at all. made_with: what is to be the same where somebody goes on with them."""
    listed = list(domains)
    with atomic_folder(folder, kind=KIND) as scratch:
        for domain in listed:
            for side, documents in zip(SIDES, domain.sides, strict=True):
                lines = [json.dumps({"text": one.text, "source": one.source}, ensure_ascii=False) for one in documents]
                (scratch / _file(domain.name, side)).write_text("".join(f"{one}\n" for one in lines), encoding="utf-8")
        write_json(scratch / _CONTENT, {"domains": [one.name for one in listed], "made_with": dict(made_with)})


def read_domains(folder: Path) -> tuple[list[Domain], dict[str, Any]]:
    """(the domains, what they were made with).

    Raises `NotAModelError` where there are none, `IntegrityError` for altered ones.
    """

    def read(place: Path) -> tuple[list[Domain], dict[str, Any]]:
        content = read_json(place / _CONTENT)
        domains = [
            Domain(name, tuple(_documents(place / _file(name, side)) for side in SIDES)) for name in content["domains"]
        ]
        return domains, content["made_with"]

    return read_folder(folder, read, kind=KIND)


def files_of(folder: Path, names: Iterable[str], side: int) -> list[str]:
    """Where a side of these domains stands."""
    return [str(folder / _file(name, SIDES[side])) for name in names]


def _file(name: str, side: str) -> str:
    return f"{name}.{side}.jsonl"


def _documents(path: Path) -> tuple[Document, ...]:
    with path.open(encoding="utf-8") as lines:
        return tuple(Document(**json.loads(line)) for line in lines)
