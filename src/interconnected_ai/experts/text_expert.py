"""`TextExpert`: what every kind of expert is: text in, text out, wherever it is computed."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol, Self, overload, runtime_checkable

from interconnected_ai.config import GenerationConfig
from interconnected_ai.experts.card import ExpertCard
from interconnected_ai.types import Generation, Stream


@runtime_checkable
class TextExpert(Protocol):
    """Continues texts: `Expert`, which has token ids and a model, and `RemoteExpert`, which has neither.

    Threads: any number of calls and streams at once; `close` from any thread.
    """

    @property
    def card(self) -> ExpertCard:
        """What it says of itself."""

    @property
    def num_bytes(self) -> int:
        """Bytes of memory that it takes here."""

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
        """Continue a prompt, or several at once: `str()` of what comes back is the text."""

    def stream(
        self, prompt: str, config: GenerationConfig | None = None, *, seed: int | None = None, **settings: Any
    ) -> Stream[str, Generation]:
        """The answer in pieces, as they come; its `result` is what `generate` gives."""

    def close(self) -> None:
        """Give everything back; what is asked afterwards raises `ClosedError`."""

    def __enter__(self) -> Self:
        """Leaving the block closes."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...
