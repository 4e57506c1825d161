"""`RemoteExpert`: an expert whose answers a server computes. Text goes out, text comes back; there are no token ids."""

import http.client
import random
import ssl
import threading
from collections.abc import Generator, Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import ClosedError, EngineError
from interconnected_ai.experts.card import ExpertCard
from interconnected_ai.experts.chat import ChatAnswer, Chatting, TooLong
from interconnected_ai.experts.forms import Form
from interconnected_ai.experts.remote.asking import asked_of, refuse_unknown
from interconnected_ai.experts.remote.connection import Exchange, HangingError, seconds_to_wait
from interconnected_ai.experts.remote.description import RemoteServer
from interconnected_ai.experts.remote.events import MalformedError
from interconnected_ai.experts.remote.reading import PassingError, Piece, may_pass, pieces, said_by
from interconnected_ai.experts.text_expert import TextExpert, require_text
from interconnected_ai.types import ChatMessage, Generation, Stream

_MOST_WAIT_SECONDS = 60.0  # a server that asks for a longer pause is not waited for
_CHAT_TOKENS = 512
_MOST_TOKEN_BYTES = 64  # on the average of an answer, in UTF-8
_KEY = "…"  # stands where a server repeats the key


class RemoteExpert(TextExpert, Chatting):
    """An expert behind an OpenAI-compatible server. `token_ids` of its answers are empty.

    A request waits for the connection, the first piece and every further one as long as `RemoteServer` says. It is made again
    after 429, 5xx and connections that fail, until a first piece has come; afterwards a failure is an `EngineError`. A server
    that goes on beyond all that `max_new_tokens` can hold is left, and the answer ended by its length. The key is read from the
    environment at every request, and stands in no message.

    Threads: any number of calls and streams at once, each on a connection of its own; `close` from any thread. A stream that is
    closed while it waits for the server ends when the server's next bytes come, or their time is up.
    """

    def __init__(self, server: RemoteServer, *, name: str | None = None) -> None:
        self.server = server
        self.card = ExpertCard(
            name=name or server.model,
            kind="remote",
            base=f"{server.model} at {server.base_url}",
            num_bytes=0,
            context=server.context,
            languages=server.languages,
            licence=server.licence,
            examples=server.examples,
        )
        self._closed = threading.Event()

    @classmethod
    def from_pretrained(cls, place: str | Path) -> Self:
        """The expert that a `remote.json`, or the folder with it, describes. Nothing is asked of the server."""
        folder = Path(place).parent if Path(place).is_file() else Path(place)
        return cls(RemoteServer.load(place), name=folder.resolve().name)

    @property
    def num_bytes(self) -> int:
        """It takes no memory here."""
        return 0

    def _generate(self, prompts: Sequence[str], config: GenerationConfig, seed: int | None) -> list[Generation]:
        for prompt in prompts:
            require_text("a prompt", prompt)
        streams = [self._stream(prompt, config, seed) for prompt in prompts]
        if len(streams) == 1:
            return [streams[0].result()]
        with ThreadPoolExecutor(self.server.at_once) as pool:
            try:
                return list(pool.map(Stream.result, streams))
            finally:  # where one has failed the others are not waited for
                for one in streams:
                    one.close()

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
        """The answer to a conversation in pieces; see `Chatting`. The server has the template, the window and its own cache.

        session: nothing is kept here. Only the server can count, so num_prompt_tokens is 0, and whatever `too_long` says a
        conversation that it finds too long is an `EngineError` with its words.
        """
        self._require_open()
        wanted = GenerationConfig(max_new_tokens=_CHAT_TOKENS) if config is None else config
        wanted = wanted.with_changes(**settings) if settings else wanted
        return Stream(_chatting(self._stream(list(messages), wanted, seed)))

    def forget(self, session: Hashable) -> None:
        """Nothing is remembered here."""

    def _stream(
        self, prompt: str | Sequence[ChatMessage], config: GenerationConfig, seed: int | None
    ) -> Stream[str, Generation]:
        refuse_unknown(self.server, config)
        path, body = asked_of(self.server, prompt, config, seed)
        return Stream(self._answer(self.server.base_url + path, body, config, Form.of(config), self.server.key()))

    def _require_open(self) -> None:
        if self._closed.is_set():
            raise ClosedError(f"the expert at {self.server.base_url} is closed; open it again")

    def close(self) -> None:
        """What is asked afterwards raises `ClosedError`; answers under way come to their end. Twice is the same."""
        self._closed.set()

    # One answer

    def _answer(
        self, url: str, body: dict[str, Any], config: GenerationConfig, form: Form | None, key: str | None
    ) -> Generator[str | None, None, Generation]:
        said: list[str] = []
        last, bytes_left = Piece(""), config.max_new_tokens * _MOST_TOKEN_BYTES
        try:
            with closing(self._retried(url, body, key)) as parts:
                for piece in parts:
                    last = piece if piece.reason is not None else last
                    if piece.text:
                        said.append(piece.text)
                        yield piece.text
                        bytes_left -= len(piece.text.encode())
                    if bytes_left < 0:
                        last = Piece("", "length")
                        break
        except EngineError as error:
            raise EngineError(_without(key, str(error))) from None  # its cause may hold the key too
        text = "".join(said)
        return Generation(
            (), _ended(last, config), text, satisfied=None if form is None else form.is_met_by(text.encode())
        )

    def _retried(self, url: str, body: dict[str, Any], key: str | None) -> Generator[Piece, None, None]:
        """The pieces of the first try that comes to one."""
        for number in range(self.server.retries + 1):
            try:
                yield from self._tried(url, body, key)
            except PassingError as error:
                if number == self.server.retries:
                    tries = f" ({number + 1} tries)" if number else ""
                    raise EngineError(f"{error}{tries}; try again later") from error
                self._wait(error, number)
            else:
                return

    def _wait(self, error: PassingError, number: int) -> None:
        seconds = (
            self.server.backoff_seconds * 2**number * random.uniform(0.75, 1.25)
        )  # so that many do not come at once
        if error.seconds is not None:
            if error.seconds > _MOST_WAIT_SECONDS:
                raise EngineError(
                    f"{error}; it asks for a pause of {error.seconds:.0f} s, try again after it"
                ) from error
            seconds = error.seconds
        if self._closed.wait(seconds):
            raise ClosedError(f"the expert at {self.server.base_url} was closed while it waited to ask again")

    def _tried(self, url: str, body: dict[str, Any], key: str | None) -> Iterator[Piece]:
        """One request. Raises `PassingError` where a failure before the first piece may pass by itself, else `EngineError`."""
        server, num_pieces = self.server, 0
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        exchange = Exchange(url, headers, body, connect_seconds=server.connect_seconds)
        try:
            response = exchange.send(server.first_token_seconds)
            self._require_success(response)
            for piece in pieces(response):
                yield piece
                num_pieces += bool(piece.text)
                if piece.is_progress:
                    exchange.deadline.begin(server.between_tokens_seconds)
                if piece.reason is not None:
                    return
            raise ConnectionResetError("it ended without its end")
        except HangingError as error:
            raise EngineError(self._hung(exchange, num_pieces)) from error
        except ssl.SSLCertVerificationError as error:
            raise EngineError(f"{self._at()}: its certificate is not to be trusted ({error.verify_message})") from error
        except TimeoutError as error:
            raise PassingError(f"{self._at()}: not connected within {server.connect_seconds:g} s") from error
        except MalformedError as error:
            raise EngineError(f"{self._at()}: it sent {error}; is this an OpenAI-compatible server?") from error
        except (OSError, http.client.HTTPException) as error:
            if num_pieces:
                raise EngineError(
                    f"{self._at()}: it broke off after {num_pieces} pieces of the answer ({_shown(error)}); ask again"
                ) from error
            raise PassingError(f"{self._at()}: {_shown(error)}") from error
        finally:
            exchange.close()

    def _require_success(self, response: http.client.HTTPResponse) -> None:
        status = response.status
        if status == HTTPStatus.OK:
            return
        said = f"{self._at()} answered {status} {response.reason}: {said_by(response)}"
        if may_pass(status):
            raise PassingError(said, seconds_to_wait(response.headers))
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            raise EngineError(f"{said}; it moved to {response.headers.get('Location')!r}: put that in base_url")
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            named = self.server.api_key_env
            raise EngineError(
                f"{said}; " + (f"look at the key in {named}" if named else "name the key's variable in api_key_env")
            )
        raise EngineError(said)

    def _hung(self, exchange: Exchange, num_pieces: int) -> str:
        since = f"after {num_pieces} pieces" if num_pieces else "for the first piece of the answer"
        setting = "between_tokens_seconds" if num_pieces else "first_token_seconds"
        return (
            f"{self._at()}: nothing came within {exchange.deadline.seconds:g} s {since}; ask again, or raise {setting}"
        )

    def _at(self) -> str:
        return f"the server at {self.server.base_url}"


def _chatting(answering: Stream[str, Generation]) -> Generator[str | None, None, ChatAnswer]:
    with answering:
        yield from answering
        answer = answering.result()
    return ChatAnswer(ChatMessage("assistant", str(answer)), answer, num_prompt_tokens=0)


def _ended(last: Piece, config: GenerationConfig) -> Any:
    if last.reason == "length":
        return "length"
    if last.reason in ("stop", "eos", "end_turn", "stop_sequence"):
        return "stop" if last.stop in config.stop or last.reason == "stop_sequence" else "eos"
    raise EngineError(f"the server ended the answer for a reason of its own: {last.reason}")


def _without(key: str | None, text: str) -> str:
    return text if key is None else text.replace(key, _KEY)


def _shown(error: BaseException) -> str:
    return str(error) or type(error).__name__
