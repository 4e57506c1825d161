"""`Chatting`: what an expert that can be talked with has."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import Any

from interconnected_ai.config import GenerationConfig
from interconnected_ai.experts.chat.answer import ChatAnswer
from interconnected_ai.experts.chat.window import TooLong
from interconnected_ai.types import ChatMessage, Stream


class Chatting(ABC):
    """Answers conversations; how is the affair of subclasses."""

    @abstractmethod
    def stream_chat(
        self,
        messages: Sequence[ChatMessage],
        config: GenerationConfig | None = None,
        *,
        seed: int | None = None,
        session: Hashable = None,
        too_long: TooLong = "refuse",
        **settings: Any,
    ) -> Stream[str, ChatAnswer]:
        """The answer to a conversation in pieces, as they come; its `result` is what `chat` gives.

        config, settings: as `generate` has them; without `max_new_tokens` it is 512 at most, or a quarter of a small window,
        and where nothing says how to sample it is as the model's makers advise (`generation_config.json` of a folder,
        `general.sampling` of a GGUF file, SmolLM2's card), else at temperature 1.
        session: any name of the conversation, whose next turn then reads only what is new; None remembers nothing.
        too_long: beyond the window, "refuse", or "drop_oldest", and the answer says what was left out.
        Raises `PromptError` for messages that the template refuses or the window cannot hold.
        """

    @abstractmethod
    def forget(self, session: Hashable) -> None:
        """Let go what is remembered of a conversation."""

    def chat(
        self,
        messages: Sequence[ChatMessage],
        config: GenerationConfig | None = None,
        *,
        seed: int | None = None,
        session: Hashable = None,
        too_long: TooLong = "refuse",
        **settings: Any,
    ) -> ChatAnswer:
        """The answer to a conversation; arguments and errors are those of `stream_chat`."""
        with self.stream_chat(messages, config, seed=seed, session=session, too_long=too_long, **settings) as answering:
            return answering.result()
