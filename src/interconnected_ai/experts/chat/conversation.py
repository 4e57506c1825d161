"""`Conversation`: what was said so far, turn by turn, with an expert that answers."""

import secrets
import threading
from collections.abc import Generator, Hashable, Sequence
from typing import Any, Protocol

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import PromptError
from interconnected_ai.experts.chat.answer import ChatAnswer
from interconnected_ai.experts.chat.window import TooLong
from interconnected_ai.types import ChatMessage, Stream


class Answers(Protocol):
    """What a conversation is held with: an `Expert`, or whatever answers messages."""

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
        """The answer in pieces, and as a whole."""

    def forget(self, session: Hashable) -> None:
        """Let go what is remembered of a conversation."""


class Conversation:
    """A chat with an expert.

    system: what the expert is told before everything. too_long: beyond the window, "refuse", or "drop_oldest": the oldest
    turns are no longer read (`messages` still holds them), and the answer says which.

    Threads: one turn at a time; a second that is begun before the first has ended is refused. All else from any thread.
    """

    def __init__(self, expert: Answers, *, system: str | None = None, too_long: TooLong = "refuse") -> None:
        self._expert, self._too_long = expert, too_long
        self._session = secrets.token_hex(8)
        self._answering = threading.Lock()
        self._said: tuple[ChatMessage, ...] = ()
        self._read: tuple[ChatMessage, ...] = ()  # of what was said: without what no longer fits
        self.system = system

    @property
    def messages(self) -> tuple[ChatMessage, ...]:
        """All that was said, the system message first where there is one."""
        return (*self._told(), *self._said)

    def say(
        self, text: str, config: GenerationConfig | None = None, *, seed: int | None = None, **settings: Any
    ) -> Stream[str, ChatAnswer]:
        """Say something: the answer in pieces, and as a whole. settings: as `Expert.generate` has them.

        Closing the stream stops the answer: what came until then is kept as the answer, and where nothing came, nothing was
        said, as where answering fails. Reading raises `PromptError` while another turn is answered, or after one was.
        """
        asked = (*self._read, ChatMessage("user", text))
        answering = self._expert.stream_chat(
            [*self._told(), *asked], config, seed=seed, session=self._session, too_long=self._too_long, **settings
        )
        return Stream(self._turn(self._said, asked, answering))

    def ask(
        self, text: str, config: GenerationConfig | None = None, *, seed: int | None = None, **settings: Any
    ) -> ChatAnswer:
        """Say something and wait for the whole answer."""
        with self.say(text, config, seed=seed, **settings) as answering:
            return answering.result()

    def reset(self) -> None:
        """Begin anew: nothing was said, and nothing is remembered of it. The system message stays."""
        self._said = self._read = ()
        self._expert.forget(self._session)

    close = reset

    def _turn(
        self, said: tuple[ChatMessage, ...], asked: tuple[ChatMessage, ...], answering: Stream[str, ChatAnswer]
    ) -> Generator[str, None, ChatAnswer]:
        """The pieces of an answer to what was asked when this much had been said."""
        if not self._answering.acquire(blocking=False):
            raise PromptError("the conversation is being answered; read or close that answer before the next turn")
        pieces: list[str] = []
        try:
            if self._said is not said:
                raise PromptError("another turn was said meanwhile; say this one again")
            with answering:
                for piece in answering:
                    pieces.append(piece)
                    yield piece
                answer = answering.result()
            self._take(asked, answer.message, len(answer.dropped))
            return answer
        except GeneratorExit:
            if heard := "".join(pieces).strip():
                self._take(asked, ChatMessage("assistant", heard), 0)
            raise
        finally:
            self._answering.release()

    def _take(self, asked: tuple[ChatMessage, ...], answer: ChatMessage, num_dropped: int) -> None:
        self._said = (*self._said, asked[-1], answer)
        self._read = (*asked[num_dropped:], answer)

    def _told(self) -> tuple[ChatMessage, ...]:
        return () if self.system is None else (ChatMessage("system", self.system),)
