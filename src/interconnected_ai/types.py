"""Names of the callables that rooms hand each other; a room that needs another's work takes one of these."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

__all__ = ["CountTokens", "Encode", "Extract", "Summarize"]

CountTokens = Callable[[str], int]
"""Text → number of tokens, as the model that will read it counts them."""


class Encode(Protocol):
    """Texts → an array (num_texts, dimension) of floats, one row a text, in order.

    A model that treats questions and passages differently may also have a method `encode_query` of the same form. An
    attribute `model_id` names the model, so that vectors of two models are never mixed.
    """

    def __call__(self, texts: Sequence[str], /) -> Any:
        """The vectors of the texts."""


class Summarize(Protocol):
    """A text → its summary in the same language, of at most `max_tokens` tokens."""

    def __call__(self, text: str, /, *, max_tokens: int) -> str:
        """The summary."""


Extract = Callable[[str], Sequence[Any]]
"""One message → its facts, each a mapping or record with `subject`, `relation` and `value`."""
