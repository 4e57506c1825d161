"""All sources of a corpus together, each for a side: what is learnt from, what weights are chosen by, what is only measured."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from interconnected_ai.config import CorpusConfig
from interconnected_ai.data.corpus.documents import Document
from interconnected_ai.data.corpus.sources import MemorySource, Reading, Source, open_source

TRAIN, VALIDATION, TEST = range(3)
SIDES = ("train", "validation", "test")


@dataclass(frozen=True)
class Texts:
    """Sources with the side that each belongs to, and the shares that are held out of those to learn from.

    Sources of held-out sides are read first: a text that stands in several belongs to the first, so none that is
    measured on is learnt. fractions: of validation and test; 0 where there are sources for them, or none is wanted.
    """

    sources: tuple[tuple[int, Source], ...]
    fractions: tuple[float, float]
    seed: int = 0
    reading: Reading = field(default_factory=Reading)

    @classmethod
    def of_config(cls, config: CorpusConfig, *, relative_to: Path | None = None) -> "Texts":
        """Those that a config names; paths are relative to `relative_to`. Raises `DataError` for one that is absent."""
        reading = Reading(config.text, config.unit)
        by_side = ((TEST, config.test), (VALIDATION, config.validation), (TRAIN, config.paths))
        sources = [(side, open_source(p, reading, relative_to=relative_to)) for side, paths in by_side for p in paths]
        fractions = (
            0.0 if config.validation else config.validation_fraction,
            0.0 if config.test else config.test_fraction,
        )
        return cls(tuple(sources), fractions, config.split_seed, reading)

    @classmethod
    def of_documents(
        cls,
        documents: Iterable[Document | str],
        *,
        name: str = "text",
        validation_fraction: float = 0.05,
        test_fraction: float = 0.05,
        seed: int = 0,
    ) -> "Texts":
        """Documents that are in memory already."""
        return cls(((TRAIN, MemorySource(name, documents)),), (validation_fraction, test_fraction), seed)

    @classmethod
    def of_sides(cls, sides: Mapping[int, Iterable[Document | str]], *, name: str = "text") -> "Texts":
        """Documents that are in memory already and belong to TRAIN, VALIDATION or TEST each."""
        read_first = (TEST, VALIDATION, TRAIN)
        sources = [(side, MemorySource(f"{name} {SIDES[side]}", sides[side])) for side in read_first if side in sides]
        return cls(tuple(sources), (0.0, 0.0))

    def documents(self) -> Iterator[tuple[int, Document]]:
        """Every document with the number of its source, always in the same order."""
        for number, (_, source) in enumerate(self.sources):
            for document in source.documents():
                yield number, document

    def sha256(self) -> str:
        """Of all content and of how it is read and dealt out."""
        contents = [(side, source.sha256()) for side, source in self.sources]
        settings = [contents, self.fractions, self.seed, self.reading.text, self.reading.unit]
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()
