"""When two texts are the same, and texts known by 64 bits each: enough to tell that one was seen, too few to read it."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np


def folded(text: str) -> str:
    """The same for texts that differ in case and spacing alone."""
    return " ".join(text.casefold().split())


def digest_of(text: str, key: bytes = b"") -> int:
    """64 bits that are the same for texts that differ in case and spacing alone; other ones for every key (RFC 7693)."""
    return int.from_bytes(_hash(folded(text), key), "little")


def digests_of(texts: Iterable[str], key: bytes = b"") -> np.ndarray:
    """(num_texts,) uint64: `digest_of` each."""
    return np.array([digest_of(text, key) for text in texts], dtype=np.uint64)


def exact_digest_of(text: str) -> int:
    """64 bits of a text as it is written, case and spacing included."""
    return int.from_bytes(_hash(text, b""), "little")


def _hash(text: str, key: bytes) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest()


@dataclass(frozen=True, eq=False)
class KnownTexts:
    """Texts that were seen, 8 bytes each; case and spacing aside. Threads may share it.

    digests: (num_texts,) uint64, ascending, each once. Two different texts have the same one once in 2^64 pairs.
    """

    digests: np.ndarray

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """These texts."""
        return cls(np.unique(digests_of(texts)))

    def holds(self, texts: Sequence[str]) -> np.ndarray:
        """(num_texts,) bool: which of these were seen."""
        return np.isin(digests_of(texts), self.digests)

    def __or__(self, other: "KnownTexts") -> "KnownTexts":
        return KnownTexts(np.union1d(self.digests, other.digests))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KnownTexts) and np.array_equal(self.digests, other.digests)

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self.digests)
