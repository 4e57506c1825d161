"""What is asked of a pretrained model: tokens, precisions, adapters, each checked."""

from dataclasses import dataclass

from interconnected_ai.errors import ConfigError
from interconnected_ai.planner.precision import BYTES, FLOAT_PRECISIONS


@dataclass(frozen=True)
class Load:
    """What is asked of a model. See `size_ways`."""

    batch: int
    seq_tokens: int
    precision: str
    gradient_precision: str
    lora_rank: int
    single_expert_layers: int
    checkpointing: bool

    @property
    def tokens(self) -> int:
        """Tokens in one step on one device."""
        return self.batch * self.seq_tokens

    @property
    def computing(self) -> str:
        """The precision of activations and of weights that learn."""
        return self.precision if self.precision in FLOAT_PRECISIONS else "bfloat16"

    @property
    def each(self) -> int:
        """Bytes of a number in that precision."""
        return int(BYTES[self.computing])


def require_precision(precision: str) -> None:
    """Raise `ConfigError` for a precision that is not in the table."""
    if precision not in BYTES:
        raise ConfigError(f"precision = {precision!r}: needs one of {', '.join(BYTES)}")


def require_float(what: str, precision: str) -> None:
    """Raise `ConfigError` for one that numbers cannot be computed in."""
    if precision not in FLOAT_PRECISIONS:
        raise ConfigError(f"{what} = {precision!r}: needs one of {', '.join(FLOAT_PRECISIONS)}")
