"""`Embedder`: the encoder of a system as a model of vectors, with what a client is told beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interconnected_ai.branches import Encoder


@dataclass(frozen=True)
class Embedded:
    """vectors: (num_texts, dimension) float32. num_tokens: of all texts. cut: which were longer than the encoder reads."""

    vectors: Any
    num_tokens: int
    cut: tuple[int, ...]


class Embedder:
    """Makes vectors of texts. name: of the encoder. Any number of threads may ask at once."""

    def __init__(self, encoder: "Encoder") -> None:
        from interconnected_ai.branches import TextVectors

        self._encoder, self._vectors = encoder, TextVectors(encoder)
        self.name = PurePath(self._vectors.model_id).name  # of a folder its name, never where it stands

    def embed(self, texts: Sequence[str]) -> Embedded:
        """The mean of each text's token vectors, of length 1."""
        lengths = [len(ids) for ids in self._encoder.tokenize(texts)]
        # the tokenizer tells no more than it kept: a text that fills the window may have had more
        cut = tuple(number for number, length in enumerate(lengths) if length >= self._encoder.max_seq_len)
        return Embedded(self._vectors(texts), sum(lengths), cut)
