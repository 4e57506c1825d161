"""What a turn of a conversation brings to an engine beside its prompt: further end tokens, what is known already."""

from collections.abc import Callable
from dataclasses import dataclass

from interconnected_ai.experts.decoder import PrefixState


@dataclass(frozen=True)
class Turn:
    """end_ids: tokens that end the answer beside the engine's own. known: what a decoder remembers of the prompt's beginning.

    keep: is handed what the decoder remembers when the answer ends or is stopped; in the thread that reads the answer, or in
    the one that makes all answers together.
    """

    end_ids: tuple[int, ...] = ()
    known: PrefixState | None = None
    keep: Callable[[PrefixState], None] | None = None


NO_TURN = Turn()  # a prompt that comes alone
