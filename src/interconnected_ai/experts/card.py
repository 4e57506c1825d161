"""`ExpertCard`: what an expert says of itself, whatever kind it is. Imports no torch."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ExpertCard:
    """What is known of an expert besides its weights; None and empty where it is not known.

    tokenizer_sha256: of the tokenizer it was trained with, None before any training. training: plain values of how it was
    trained and how well it does, such as bits per byte. kind: a row's name of the table of kinds. base, base_sha256: the model
    it stands on, for an expert that is a change of another. num_bytes: of its own files. context: tokens that it can look back
    on. languages: as ISO 639 says them. licence: an SPDX name where there is one. examples: prompts to try it with.
    """

    name: str = ""
    tokenizer_sha256: str | None = None
    training: dict[str, Any] = field(default_factory=dict)
    kind: str = "expert"
    architecture: str | None = None
    base: str | None = None
    base_sha256: str | None = None
    num_bytes: int | None = None
    num_params: int | None = None
    vocab_size: int | None = None
    context: int | None = None
    languages: tuple[str, ...] = ()
    licence: str | None = None
    examples: tuple[str, ...] = ()

    @property
    def seq_len(self) -> int | None:
        """Tokens of the windows it was trained on, which is also how far it should be read; None where that is not known."""
        return self.training.get("seq_len")

    @property
    def bits_per_byte(self) -> float | None:
        """On the text that its training held out; None where it was not measured."""
        found = self.training.get("bits_per_byte")
        return float(found) if isinstance(found, int | float) else None
