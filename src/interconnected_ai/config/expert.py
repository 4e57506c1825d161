"""The shape of an expert, a small language model of one's own."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from interconnected_ai.config.record import Record
from interconnected_ai.config.sizes import Depth, Length, VocabularySize, Width

NormPlace = Literal["post", "pre"]


class ExpertConfig(Record):
    """The shape of an `ExpertModel`. Defaults are the document's (`001_…`).

    d_ff: hidden size of the feed-forward block; None is 4 × d_model, as all the document's figures have it.
    norm: "post" is the document's Add & Norm; "pre" learns without a long warm-up and travels to GPT-2's format.
    tie_weights: the head uses the embedding's matrix instead of one of its own.
    """

    vocab_size: VocabularySize
    d_model: Width = 512
    n_layers: Depth = 6
    n_heads: Depth = 8
    d_ff: Width | None = None
    max_seq_len: Length = 2048
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    norm: NormPlace = "post"
    tie_weights: bool = False

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.d_model % self.n_heads:
            near = [n for n in range(1, self.d_model + 1) if not self.d_model % n]
            best = min(near, key=lambda n: abs(n - self.n_heads))
            raise ValueError(
                f"d_model={self.d_model} cannot be dealt out over n_heads={self.n_heads}; n_heads must divide it, "
                f"{best} would"
            )
        return self

    @property
    def inner(self) -> int:
        """Hidden size of the feed-forward block."""
        return self.d_ff or 4 * self.d_model

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.n_heads
