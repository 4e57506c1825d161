"""The engine that any decoder makes: the generation loop over decoders of its own."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence

from interconnected_ai.config import GenerationConfig
from interconnected_ai.experts.decoder import Decoder
from interconnected_ai.experts.generation import generate, generation_steps
from interconnected_ai.text import Tokenizer
from interconnected_ai.types import Generation, TokenStep


class DecoderEngine(ABC):
    """Continues prompts with decoders; a `Generate` of `interconnected_ai.types` that serves every setting.

    tokenizer: for texts, stop strings and bad words. end_id: the token that ends an answer; None is the tokenizer's, and
    without a tokenizer no token ends one. It may be called from several threads at once.
    """

    def __init__(self, tokenizer: Tokenizer | None = None, *, end_id: int | None = None) -> None:
        self._tokenizer, self._end_id = tokenizer, end_id

    @abstractmethod
    def decoder(self) -> Decoder:
        """A decoder of its own for one generation; all of an engine's share the weights."""

    def __call__(
        self,
        prompts: Sequence[Sequence[int]],
        config: GenerationConfig,
        *,
        seed: int | None = None,
        on_step: Callable[[TokenStep], None] | None = None,
    ) -> list[Generation]:
        """One `Generation` for each prompt, in order; see `interconnected_ai.types.Generate`."""
        return generate(
            self.decoder(), prompts, config,
            tokenizer=self._tokenizer, end_id=self._end_id, seed=seed, on_step=on_step,
        )  # fmt: skip

    def steps(
        self, prompts: Sequence[Sequence[int]], config: GenerationConfig, *, seed: int | None = None
    ) -> Generator[TokenStep, None, list[Generation]]:
        """The same, token by token: yields every token as it comes, returns the list at the end."""
        return generation_steps(
            self.decoder(), prompts, config, tokenizer=self._tokenizer, end_id=self._end_id, seed=seed
        )
