"""What is in a corpus, in figures: documents, bytes, words, tokens, languages, copies, and what was passed over."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from interconnected_ai.data.corpus.documents import Document


@dataclass(frozen=True)
class SourceReport:
    """What one source holds, without what was passed over.

    num_words: runs of letters and digits. languages: bytes by language. left_out: how many documents or files, by
    reason. shortest, longest: characters and place. num_tokens: None before the text was tokenised; end tokens not
    counted.
    """

    name: str
    num_documents: int = 0
    num_characters: int = 0
    num_bytes: int = 0
    num_words: int = 0
    languages: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    shortest: tuple[int, str] | None = None
    longest: tuple[int, str] | None = None
    num_tokens: int | None = None

    @property
    def num_duplicates(self) -> int:
        """Documents left out because their text, case and spacing aside, stands before them."""
        return self.left_out.get("duplicate", 0)

    @property
    def tokens_per_word(self) -> float | None:
        """Tokens over words, signs and spaces included among the tokens."""
        return None if self.num_tokens is None else self.num_tokens / max(1, self.num_words)

    @property
    def bytes_per_token(self) -> float | None:
        """Bytes over tokens."""
        return None if self.num_tokens is None else self.num_bytes / max(1, self.num_tokens)

    def language_shares(self) -> dict[str, float]:
        """Share of each language in the bytes, the largest first."""
        return {name: count / self.num_bytes for name, count in Counter(self.languages).most_common()}


@dataclass(frozen=True)
class SideReport:
    """What one side holds: "train", "validation" or "test". num_tokens: end tokens counted; None until it is stored."""

    name: str
    num_documents: int
    num_bytes: int
    num_tokens: int | None = None


@dataclass(frozen=True)
class CorpusReport:
    """What a corpus holds, by source and by side."""

    sources: tuple[SourceReport, ...]
    sides: tuple[SideReport, ...]

    @property
    def total(self) -> SourceReport:
        """All sources together."""
        languages, left_out = Counter[str](), Counter[str]()
        for one in self.sources:
            languages.update(one.languages)
            left_out.update(one.left_out)
        tokens = [one.num_tokens for one in self.sources if one.num_tokens is not None]
        return SourceReport(
            "all",
            sum(one.num_documents for one in self.sources),
            sum(one.num_characters for one in self.sources),
            sum(one.num_bytes for one in self.sources),
            sum(one.num_words for one in self.sources),
            dict(languages),
            dict(left_out),
            min((one.shortest for one in self.sources if one.shortest), default=None),
            max((one.longest for one in self.sources if one.longest), default=None),
            sum(tokens) if len(tokens) == len(self.sources) else None,
        )

    def with_tokens(
        self, by_source: Sequence[int], by_side: Sequence[int | None] = (None, None, None)
    ) -> "CorpusReport":
        """The report with the tokens of each source, and of each side where it is stored."""
        return CorpusReport(
            tuple(replace(one, num_tokens=count) for one, count in zip(self.sources, by_source, strict=True)),
            tuple(replace(one, num_tokens=count) for one, count in zip(self.sides, by_side, strict=True)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "sources": [_with_shares(one) for one in self.sources],
            "sides": [asdict(one) for one in self.sides],
            "total": _with_shares(self.total),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "CorpusReport":
        """The report that `to_dict` made plain values of."""
        fields = SourceReport.__dataclass_fields__
        sources = [{key: value for key, value in one.items() if key in fields} for one in content["sources"]]
        for one in sources:
            for end in ("shortest", "longest"):
                one[end] = tuple(one[end]) if one[end] else None
        return cls(tuple(SourceReport(**one) for one in sources), tuple(SideReport(**one) for one in content["sides"]))


def _with_shares(one: SourceReport) -> dict[str, Any]:
    derived = {"tokens_per_word": one.tokens_per_word, "bytes_per_token": one.bytes_per_token}
    return {**asdict(one), **derived, "num_duplicates": one.num_duplicates}


class Tally:
    """Counts up a `SourceReport`."""

    def __init__(self, name: str, left_out: Mapping[str, int]) -> None:
        self.name = name
        self._counts, self._languages, self._left_out = Counter[str](), Counter[str](), Counter[str](left_out)
        self._shortest: tuple[int, str] | None = None
        self._longest: tuple[int, str] | None = None

    def add(self, document: Document, num_bytes: int, num_words: int, language: str) -> None:
        """Count a document that is kept."""
        self._counts.update(documents=1, characters=len(document.text), bytes=num_bytes, words=num_words)
        self._languages[language] += num_bytes
        length = (len(document.text), document.source)
        if self._shortest is None or length[0] < self._shortest[0]:
            self._shortest = length
        if self._longest is None or length[0] > self._longest[0]:
            self._longest = length

    def left_out(self, reason: str) -> None:
        """Count a document that is not kept."""
        self._left_out[reason] += 1

    def report(self) -> SourceReport:
        """The figures so far."""
        count = self._counts
        return SourceReport(
            self.name,
            count["documents"],
            count["characters"],
            count["bytes"],
            count["words"],
            dict(self._languages),
            dict(self._left_out),
            self._shortest,
            self._longest,
        )
