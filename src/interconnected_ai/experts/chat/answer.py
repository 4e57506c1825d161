"""What an expert answers to a conversation."""

from dataclasses import dataclass

from interconnected_ai.types import ChatMessage, Generation


@dataclass(frozen=True)
class ChatAnswer:
    """The model's answer to a conversation: `str()` of it is the text.

    num_prompt_tokens: that the conversation took. num_known_tokens: how many of them did not have to be read again.
    dropped: messages that were left out since they did not fit the window, oldest first.
    """

    message: ChatMessage
    generation: Generation
    num_prompt_tokens: int
    num_known_tokens: int = 0
    dropped: tuple[ChatMessage, ...] = ()

    def __str__(self) -> str:
        return self.message.content
