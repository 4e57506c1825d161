"""`TextExpert`: what every kind of expert is: text in, text out, wherever it is computed."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, overload

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import ConfigError, PromptError
from interconnected_ai.experts.batch_limits import BatchLimits
from interconnected_ai.experts.card import ExpertCard
from interconnected_ai.types import Generation, Stream


class TextExpert(ABC):
    """Continues texts: `Expert`, which has token ids and a model, and `RemoteExpert`, which has neither.

    card: what it says of itself.

    Threads: any number of calls and streams at once; `close` from any thread.
    """

    card: ExpertCard

    @property
    @abstractmethod
    def num_bytes(self) -> int:
        """Bytes of memory that it takes here."""

    def batch(self, limits: BatchLimits | None = None) -> bool:
        """Make the answers of all calls together from here on, within these limits (None: those of `BatchLimits()`).

        False where it makes each by itself, as engines do that batch on their own. Threads: from any, once for all.
        """
        return False

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

        settings: the fields of `GenerationConfig`, or changes to `config`. Raises `PromptError` for what is no text,
        `EngineError` for a setting that the expert lacks.
        """
        self._require_open()
        wanted = _settled(config, settings)
        if isinstance(prompt, str):
            return self._generate([prompt], wanted, seed)[0]
        return self._generate(listed(prompt), wanted, seed)

    def stream(
        self, prompt: str, config: GenerationConfig | None = None, *, seed: int | None = None, **settings: Any
    ) -> Stream[str, Generation]:
        """The answer in pieces, as they come; joined they are the text that `generate` gives with the same seed.

        Its `result` is what `generate` gives. Closing it, from any thread, stops the expert at its next token and gives back
        what the answer took; see `Stream`. What is wrong with a request is raised here, before the first piece is asked for.
        Raises `ConfigError` with beam search, where nothing is final before the end.
        """
        self._require_open()
        wanted = _settled(config, settings)
        require_text("a prompt", prompt)
        return self._stream(prompt, wanted, seed)

    @abstractmethod
    def _generate(self, prompts: Sequence[str], config: GenerationConfig, seed: int | None) -> list[Generation]:
        """One answer for each prompt."""

    @abstractmethod
    def _stream(self, prompt: str, config: GenerationConfig, seed: int | None) -> Stream[str, Generation]:
        """The answer to one, in pieces."""

    @abstractmethod
    def _require_open(self) -> None:
        """Raise `ClosedError` after `close`."""

    @abstractmethod
    def close(self) -> None:
        """Give everything back; what is asked afterwards raises `ClosedError`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def listed(texts: Sequence[str]) -> list[str]:
    """Several texts; raises `PromptError` for what is no list of them."""
    try:
        return list(texts)
    except TypeError as error:
        raise PromptError(f"needed is a text or a list of texts, got {type(texts).__name__}") from error


def require_text(what: str, text: object) -> None:
    """Raise `PromptError` for anything but text. what: it is, in words."""
    if not isinstance(text, str):
        raise PromptError(f"{what} is text, got {type(text).__name__}")


def _settled(config: GenerationConfig | None, settings: dict[str, Any]) -> GenerationConfig:
    """The settings of one call."""
    if config is None:
        return GenerationConfig.from_mapping(settings, source="generate")
    if not isinstance(config, GenerationConfig):
        raise ConfigError(f"the settings are a GenerationConfig, got {type(config).__name__}")
    return config.with_changes(**settings) if settings else config
