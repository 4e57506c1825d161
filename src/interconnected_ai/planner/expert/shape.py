"""The shape of an expert model, the document's sizes of it, and the checks on what is asked."""

from dataclasses import dataclass

from interconnected_ai.config import ExpertConfig
from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.planner.checks import require_count
from interconnected_ai.planner.precision import BYTES


def known_precision(precision: str) -> str:
    """This precision; raises `UnknownNameError` for one that is not in the table."""
    if precision not in BYTES:
        raise UnknownNameError("precision", precision, BYTES)
    return precision


@dataclass(frozen=True)
class ExpertShape:
    """The shape of an `ExpertModel`. Defaults are the document's; d_ff None is 4 × d_model, as all its figures have it.

    tie_weights: the head is the embedding's matrix. Where the norms stand changes no count.
    Raises `ConfigError` for a shape that cannot be.
    """

    vocab_size: int
    d_model: int = 512
    n_layers: int = 6
    n_heads: int = 8
    d_ff: int | None = None
    max_seq_len: int = 2048
    dropout: float = 0.1
    tie_weights: bool = False

    @classmethod
    def of(cls, config: ExpertConfig) -> "ExpertShape":
        """The shape of the model that this config describes."""
        return cls(**config.model_dump(exclude={"norm"}))

    def __post_init__(self) -> None:
        for name in ("vocab_size", "d_model", "n_layers", "n_heads", "max_seq_len"):
            require_count(name, getattr(self, name))
        if self.d_ff is not None:
            require_count("d_ff", self.d_ff)
        if self.d_model % self.n_heads:
            near = [n for n in range(1, self.d_model + 1) if not self.d_model % n]
            best = min(near, key=lambda n: abs(n - self.n_heads))
            raise ConfigError(
                f"d_model={self.d_model} cannot be dealt out over n_heads={self.n_heads}; "
                f"n_heads must divide it, {best} would"
            )
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"dropout={self.dropout}: needs 0 or more and less than 1")

    @property
    def inner(self) -> int:
        """Width of the feed-forward block's hidden layer."""
        return self.d_ff or 4 * self.d_model

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.n_heads


def require_fits(shape: ExpertShape, num_tokens: int) -> None:
    """Raise `ConfigError` for more tokens than the model reads."""
    if num_tokens < 0:
        raise ConfigError(f"{num_tokens} tokens: needs 0 or more")
    if num_tokens > shape.max_seq_len:
        raise ConfigError(
            f"{num_tokens} tokens are more than max_seq_len={shape.max_seq_len}; shorten the context or raise max_seq_len"
        )


# The document's table of sizes gives parameter counts and no shapes. These shapes have exactly its counts; they are a
# reconstruction: the only ones with a vocabulary of whole thousands, d_model a multiple of 64 and d_ff = 4 · d_model.
# Counts say nothing of heads: they are 64 wide here, as in the document's example (512 / 8).
PRESETS: dict[str, ExpertShape] = {
    "tiny": ExpertShape(vocab_size=5_000, d_model=128, n_layers=2, n_heads=2),
    "small": ExpertShape(vocab_size=10_000, d_model=256, n_layers=4, n_heads=4),
    "medium": ExpertShape(vocab_size=32_000, d_model=512, n_layers=6, n_heads=8),
    "large": ExpertShape(vocab_size=50_000, d_model=768, n_layers=8, n_heads=12),
}


def preset(name: str) -> ExpertShape:
    """One of the document's sizes: tiny, small, medium or large; raises `UnknownNameError` for another."""
    if name.casefold() not in PRESETS:
        raise UnknownNameError("expert size", name, PRESETS)
    return PRESETS[name.casefold()]
