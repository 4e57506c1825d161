"""The reference engine: an `ExpertModel` on PyTorch, on any device it runs on."""

from collections.abc import Callable, Generator, Sequence

from interconnected_ai.config import GenerationConfig
from interconnected_ai.experts.generation import generate, generation_steps
from interconnected_ai.experts.model import ExpertModel
from interconnected_ai.experts.torch_decoder import TorchDecoder
from interconnected_ai.text import Tokenizer
from interconnected_ai.types import Generation, TokenStep


class TorchEngine:
    """Continues prompts with an `ExpertModel`; a `Generate` of `interconnected_ai.types`.

    tokenizer: for texts, stop strings and bad words. end_id: the token that ends an answer; None is the tokenizer's, and
    without a tokenizer no token ends one. It may be called from several threads at once.
    """

    name = "torch"

    def __init__(self, model: ExpertModel, tokenizer: Tokenizer | None = None, *, end_id: int | None = None) -> None:
        self.model, self._tokenizer, self._end_id = model, tokenizer, end_id

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
            TorchDecoder(self.model), prompts, config,
            tokenizer=self._tokenizer, end_id=self._end_id, seed=seed, on_step=on_step,
        )  # fmt: skip

    def steps(
        self, prompts: Sequence[Sequence[int]], config: GenerationConfig, *, seed: int | None = None
    ) -> Generator[TokenStep, None, list[Generation]]:
        """The same, token by token: yields every token as it comes, returns the list at the end."""
        return generation_steps(
            TorchDecoder(self.model), prompts, config, tokenizer=self._tokenizer, end_id=self._end_id, seed=seed
        )
