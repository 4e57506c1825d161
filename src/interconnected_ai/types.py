"""Callables and small records that rooms hand each other, so that strangers need not know each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from interconnected_ai.config import GenerationConfig  # pydantic is 15 MB that a memory does not need


@dataclass(frozen=True)
class TokenStep:
    """One token as it comes: the row it continues, its id, and log probabilities where they were asked for.

    logprob: natural logarithm of its probability under the model, before temperature and cuts. top: the likeliest
    tokens' ids with theirs, best first.
    """

    row: int
    token_id: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Generation:
    """What continues one prompt: the new tokens alone, their log probabilities, and why it ended there.

    text: None where no tokenizer was at hand. ended: "length" (max_new_tokens), "eos" (the end token, not in `token_ids`),
    "stop" (a stop string, not in `text`).
    """

    token_ids: tuple[int, ...]
    ended: Literal["length", "eos", "stop"]
    text: str | None = None
    steps: tuple[TokenStep, ...] = ()

    def __str__(self) -> str:
        return "" if self.text is None else self.text


class Generate(Protocol):
    """Continues prompts, given as token ids: what every engine is.

    seed: of the sampling; the same seed on the same engine gives the same tokens. on_step: called with every token as it
    comes, rows in turn (not with beam search, where a token is final only at the end).
    Raises `PromptError` for a prompt the model cannot read, `EngineError` for a setting the engine lacks.
    """

    def __call__(
        self,
        prompts: Sequence[Sequence[int]],
        config: "GenerationConfig",
        *,
        seed: int | None = None,
        on_step: Callable[[TokenStep], None] | None = None,
    ) -> list[Generation]:
        """One `Generation` for each prompt, in order."""


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
