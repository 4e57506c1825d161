"""`Expert`: a model, its tokenizer and an engine, from a folder to text."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

from interconnected_ai.config import ExpertConfig, GenerationConfig
from interconnected_ai.errors import ConfigError, PromptError
from interconnected_ai.experts.engines import open_engine
from interconnected_ai.experts.folder import ExpertCard, load_expert, save_expert
from interconnected_ai.experts.model import ExpertModel
from interconnected_ai.experts.scoring import HeldOut, Perplexity, measure
from interconnected_ai.experts.streaming import TextFeed, stream_steps
from interconnected_ai.experts.torch_engine import TorchEngine
from interconnected_ai.hub import local_folder
from interconnected_ai.text import Tokenizer
from interconnected_ai.types import Generate, Generation


class Expert:
    """A domain language model that reads and writes text.

    engine: what computes; None is `TorchEngine` on this model. Any `Generate` of `interconnected_ai.types` will do.
    """

    def __init__(
        self,
        model: ExpertModel,
        tokenizer: Tokenizer,
        *,
        engine: Generate | None = None,
        card: ExpertCard | None = None,
    ) -> None:
        self.model, self.tokenizer, self.card = model, tokenizer, card or ExpertCard()
        self.engine: Generate = engine or TorchEngine(model, tokenizer)

    @classmethod
    def from_pretrained(
        cls, folder_or_hub_id: str | Path, *, engine: str = "torch", device: str | None = None
    ) -> "Expert":
        """The expert in this folder or hub repository; checksums, shapes, version and tokenizer are checked.

        engine: a name that `experts.engines.open_engine` knows. device: where the torch engine computes, such as "cuda".
        """
        folder = local_folder(folder_or_hub_id)
        model, tokenizer, card = load_expert(folder)
        if device is not None:
            model = model.to(device)
        opened = None if engine == "torch" else open_engine(engine, folder, tokenizer)
        return cls(model, tokenizer, engine=opened, card=card)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write model, tokenizer and card; `folder` is replaced whole or not at all."""
        save_expert(self.model, folder, self.tokenizer, self.card)

    @property
    def config(self) -> ExpertConfig:
        """The model's shape."""
        return self.model.config

    @overload
    def generate(
        self, prompt: str, config: GenerationConfig | None = ..., *, seed: int | None = ..., **settings: Any
    ) -> Generation: ...

    @overload
    def generate(
        self, prompt: Sequence[str], config: GenerationConfig | None = ..., *, seed: int | None = ..., **settings: Any
    ) -> list[Generation]: ...

    def generate(
        self,
        prompt: str | Sequence[str],
        config: GenerationConfig | None = None,
        *,
        seed: int | None = None,
        **settings: Any,
    ) -> Generation | list[Generation]:
        """Continue a prompt, or several at once: `str()` of what comes back is the text.

        settings: the fields of `GenerationConfig`, or changes to `config`. An empty prompt begins a new text.
        """
        asked = [prompt] if isinstance(prompt, str) else list(prompt)
        answers = self.engine([self._token_ids(text) for text in asked], _settled(config, settings), seed=seed)
        return answers[0] if isinstance(prompt, str) else answers

    def stream(
        self, prompt: str, config: GenerationConfig | None = None, *, seed: int | None = None, **settings: Any
    ) -> Iterator[str]:
        """The answer in pieces, as they come; joined they are the text that `generate` gives with the same seed.

        Raises `ConfigError` with beam search, where nothing is final before the end.
        """
        wanted = _settled(config, settings)
        if wanted.num_beams > 1:
            raise ConfigError(f"num_beams={wanted.num_beams}: a beam search has no answer before its end; use generate")
        return self._pieces(self._token_ids(prompt), wanted, seed)

    def _pieces(self, token_ids: list[int], config: GenerationConfig, seed: int | None) -> Iterator[str]:
        feed = TextFeed(self.tokenizer, config.stop)
        for step in stream_steps(self.engine, token_ids, config, seed=seed):
            if piece := feed.add(step.token_id):
                yield piece
        if piece := feed.finish():
            yield piece

    def score(self, texts: str | Sequence[str], *, seq_len: int | None = None, stride: int | None = None) -> Perplexity:
        """How well the model foretells these texts, each a document: perplexity, bits per byte; see `measure`.

        seq_len: tokens of a window; None is that of the training. Raises `DataError` when all texts are empty.
        """
        held = HeldOut.of([texts] if isinstance(texts, str) else texts, self.tokenizer)
        return measure(self.model, held, seq_len=seq_len or self.card.seq_len, stride=stride)

    def _token_ids(self, text: str) -> list[int]:
        if not isinstance(text, str):
            raise PromptError(f"a prompt is text, got {type(text).__name__}")
        return self.tokenizer.encode(text) or [self.tokenizer.end_id]


def _settled(config: GenerationConfig | None, settings: dict[str, Any]) -> GenerationConfig:
    """The settings of one call."""
    if config is None:
        return GenerationConfig.from_mapping(settings, source="generate")
    return config.with_changes(**settings) if settings else config
