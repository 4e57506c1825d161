"""What is learnt from: a conversation with its answers, and a question with a better and a worse answer."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from interconnected_ai.types import ChatMessage

ANSWERER = "assistant"


@dataclass(frozen=True)
class ChatExample:
    """One conversation; its last message is an answer. Threads may share it.

    source: where it stands, for people. unlearnt: places in `messages` of answers that are read and not learnt.
    """

    messages: tuple[ChatMessage, ...]
    source: str = ""
    unlearnt: frozenset[int] = frozenset()

    @property
    def answers(self) -> tuple[int, ...]:
        """Places in `messages` of the answers that are learnt."""
        return tuple(
            place
            for place, message in enumerate(self.messages)
            if message.role == ANSWERER and place not in self.unlearnt
        )

    @property
    def question(self) -> str:
        """What the first answer replies to, system prompt aside: conversations that begin alike belong to one side."""
        return question_of(self.messages)

    @property
    def text(self) -> str:
        """All of it as one text that no other conversation has."""
        return written(self.messages)


@dataclass(frozen=True)
class PreferencePair:
    """A conversation up to a question, and two ways to go on: `chosen` is the better one. Threads may share it.

    prompt ends with a message that is no answer; chosen and rejected begin with an answer, and end with one.
    """

    prompt: tuple[ChatMessage, ...]
    chosen: tuple[ChatMessage, ...]
    rejected: tuple[ChatMessage, ...]
    source: str = ""

    @property
    def question(self) -> str:
        """As `ChatExample` has it."""
        return question_of(self.prompt)

    @property
    def text(self) -> str:
        """All of it as one text that no other pair has."""
        return "\0".join(map(written, (self.prompt, self.chosen, self.rejected)))


def question_of(messages: Iterable[ChatMessage]) -> str:
    """The messages before the first answer, without a system prompt."""
    said = []
    for message in messages:
        if message.role == ANSWERER:
            break
        if message.role != "system":
            said.append(message.content)
    return "\n".join(said)


def written(messages: Iterable[ChatMessage]) -> str:
    """Messages as one text, so that other messages make another text."""
    return json.dumps([[message.role, message.content] for message in messages], ensure_ascii=False)
