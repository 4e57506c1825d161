"""llama.cpp's server in this process, through the binding xllamacpp: requests over HTTP on a port of this machine alone,
under a key that nobody else knows. What is asked and what comes of it is left to the engine.
"""

import http.client
import json
import secrets
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from interconnected_ai.errors import EngineError, UnknownNameError
from interconnected_ai.experts.engines.token_gaps import Pieces, UnsentText, fillings
from interconnected_ai.types import TokenStep

_REPLACEMENT = "\ufffd"


class LlamaServer:
    """Serves one GGUF file in so many places, each for `capacity` tokens. It ends when nobody holds it.

    adapters: name → GGUF LoRA file. pieces: the bytes of every token of a
    file that has their texts, None for one without. keeps_prompts: each place keeps what it has read, and a request that begins
    alike is served there. Raises `EngineError` for a file that llama.cpp does not open.

    Threads: requests from any number at once.
    """

    def __init__(
        self,
        binding: Any,
        file: Path,
        num_rows: int,
        capacity: int,
        threads: int,
        *,
        adapters: Mapping[str, Path] | None = None,
        pieces: Pieces | None = None,
        keeps_prompts: bool = False,
    ) -> None:
        self.num_rows, self.capacity, self.pieces = num_rows, capacity, pieces
        self._adapters = dict(adapters or {})
        self._key = secrets.token_hex(16)
        settings = binding.CommonParams()
        settings.model.path = str(file)
        settings.n_ctx, settings.n_parallel = num_rows * capacity, num_rows
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
        settings.api_keys = [self._key]
        settings.n_gpu_layers = settings.verbosity = settings.cache_ram_mib = 0
        settings.warmup = settings.fit_params = settings.ctx_shift = False
        settings.cache_prompt = keeps_prompts
        # Scale 0 alone leaves the base as it is: lora_init_without_apply does not (ggml-org/llama.cpp#28674).
        settings.lora_adapters = [binding.CommonAdapterLoraInfo(str(path), 0.0) for path in self._adapters.values()]
        try:
            self._server = binding.Server(settings)
        except RuntimeError as error:
            raise EngineError(
                f"llama.cpp cannot serve {file} ({error}); is it whole, and of a kind that it runs?"
            ) from error
        address = urlsplit(self._server.listening_address)
        self._host, self._port = address.hostname or "127.0.0.1", address.port
        # A server that is let go before its loop runs waits for it for ever; after an answer the loop runs.
        self.complete({"prompt": [0], "n_predict": 1, "cache_prompt": False})

    def lora(self, name: str | None) -> list[dict[str, Any]]:
        """The request's field for one adapter, or for the base alone; raises `UnknownNameError` for one that is not served.

        All are named: one that is left out has the scale that it was loaded with.
        """
        if name is not None and name not in self._adapters:
            raise UnknownNameError("adapter", name, self._adapters)
        return [{"id": number, "scale": float(other == name)} for number, other in enumerate(self._adapters)]

    def complete(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        """The server's answers to several prompts; see llama.cpp's description of POST /completion."""
        answer = self._posted("/completion", asked)
        return answer if isinstance(answer, list) else [answer]

    def complete_each(self, asked: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """One answer to each of several requests of one prompt, computed together."""
        connections = [self._connection() for _ in asked]
        try:
            for connection, one in zip(connections, asked, strict=True):
                self._send(connection, "/completion", one)
            return [json.loads(_received(connection).read()) for connection in connections]
        finally:
            for connection in connections:
                connection.close()

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """llama.cpp's own token ids of a text. special: text that spells a special token becomes it."""
        asked = {"content": text, "add_special": False, "parse_special": special}
        return [int(token) for token in self._posted("/tokenize", asked)["tokens"]]

    def tokens(self, asked: dict[str, Any], row: int, num_noted: int = 0) -> "LlamaTokens":
        """The tokens of one prompt's answer, as they come; num_noted: of the likeliest, beside each."""
        connection = self._connection()
        try:
            return LlamaTokens(
                self, asked, row, num_noted, connection, self._response(connection, "/completion", asked)
            )
        except BaseException:
            connection.close()
            raise

    def _posted(self, path: str, asked: dict[str, Any]) -> Any:
        with closing(self._connection()) as connection:
            return json.loads(self._response(connection, path, asked).read())

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._host, self._port)

    def _response(
        self, connection: http.client.HTTPConnection, path: str, asked: dict[str, Any]
    ) -> http.client.HTTPResponse:
        self._send(connection, path, asked)
        return _received(connection)

    def _send(self, connection: http.client.HTTPConnection, path: str, asked: dict[str, Any]) -> None:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"}
        connection.request("POST", path, json.dumps(asked), headers)


class LlamaTokens:
    """An answer's tokens as the server sends them.

    It sends an event a token, but none for a token whose text ends within a character: the next event then has the text of
    all. Which tokens were left out follows from those bytes, where one sequence of tokens alone makes them up; elsewhere, and
    at an answer's end, the server is asked for the same answer in one piece, which names every token.
    """

    _EVENT, _EVENT_ENDS = b"data: ", b"\n\n"

    def __init__(
        self,
        server: LlamaServer,
        asked: dict[str, Any],
        row: int,
        num_noted: int,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
    ) -> None:
        self._server, self._asked, self._row, self._num_noted = server, asked, row, num_noted
        self._connection, self._response = connection, response
        self._unread = b""
        self._said: list[int] = []
        self._has_ended = False
        self.num_known = 0  # tokens of the prompt that the server had read before, once one of the answer has come

    def next(self) -> list[TokenStep]:
        """The next ones, at least one; empty at the end."""
        if self._has_ended:
            return []
        while True:
            event = self._next_event()
            if "error" in event:
                raise _refused(event)
            if (progress := event.get("prompt_progress")) is not None:
                self.num_known = int(progress["cache"])
            elif event["tokens"]:
                return self._sent(event)
            elif event["stop"]:
                return self._ended(event)

    def _next_event(self) -> dict[str, Any]:
        """Read by what has come, since the library's `readline` takes longer for a token than its step may have left."""
        while True:
            text, end, rest = self._unread.partition(self._EVENT_ENDS)
            if end:
                self._unread = rest
                if text.startswith(self._EVENT):
                    event: dict[str, Any] = json.loads(text.removeprefix(self._EVENT))
                    return event
                continue
            try:
                piece = self._response.read1()
            except http.client.HTTPException:
                piece = b""
            if not piece:
                raise EngineError("llama.cpp's server broke an answer off; ask again")
            self._unread += piece

    def _sent(self, event: dict[str, Any]) -> list[TokenStep]:
        (token_id,) = event["tokens"]
        missing = int(event["tokens_predicted"]) - len(self._said) - 1
        between = self._between(event["content"], int(token_id), missing) if missing > 0 else []
        steps = [TokenStep(self._row, token) for token in between]
        notes = event.get("completion_probabilities") or [None]
        steps.append(as_step(self._row, int(token_id), notes[0], self._num_noted))
        self._said += [step.token_id for step in steps]
        return steps

    def _ended(self, event: dict[str, Any]) -> list[TokenStep]:
        self._has_ended = True
        self.num_known = num_known_of(event)
        missing = int(event["tokens_predicted"]) - len(self._said)
        found = self._asked_again(missing) if missing > 0 else []
        self._said += found
        return [TokenStep(self._row, token) for token in found]

    def _between(self, content: str, token_id: int, missing: int) -> list[int]:
        pieces = self._server.pieces
        if pieces is not None and _REPLACEMENT not in content:
            last = pieces.of(token_id)
            text = content.encode()
            found = fillings(pieces, text.removesuffix(last), missing) if text.endswith(last) else []
            if len(found) == 1:
                return list(found[0])
        return self._asked_again(missing + 1, last=token_id)[:-1]

    def _asked_again(self, missing: int, last: int | None = None) -> list[int]:
        num_tokens = len(self._said) + missing
        asked = {**self._asked, "stream": False, "return_progress": False, "n_predict": num_tokens}
        (answer,) = self._server.complete(asked)
        tokens = [int(token) for token in answer["tokens"]]
        if tokens[: len(self._said)] != self._said or len(tokens) != num_tokens or last not in (None, tokens[-1]):
            raise EngineError(
                "llama.cpp's server gave two answers to one request, which its stream had gaps in; ask again"
            )
        return tokens[len(self._said) :]

    def close(self) -> None:
        """Whoever has not sent the end yet stops at its next token."""
        self._response.close()
        self._connection.close()


def whole_answer(answer: dict[str, Any], row: int, num_noted: int, pieces: Pieces | None) -> list[TokenStep]:
    """The steps of an answer in one piece. Its notes leave out the tokens that a stream would, which then have none here."""
    notes, unsent = iter(answer.get("completion_probabilities") or ()), UnsentText()
    steps = []
    for token in answer["tokens"]:
        is_sent = pieces is None or unsent.add(pieces.of(int(token)))
        steps.append(as_step(row, int(token), next(notes, None) if is_sent else None, num_noted))
    return steps


def num_known_of(answer: dict[str, Any]) -> int:
    """How many of the prompt's tokens the server had read before."""
    return int((answer.get("timings") or {}).get("cache_n") or 0)


def as_step(row: int, token_id: int, note: dict[str, Any] | None, num_noted: int) -> TokenStep:
    """A token with what the server noted of it, where it was asked to."""
    if note is None or int(note["id"]) != token_id:
        return TokenStep(row, token_id)
    best = tuple((int(one["id"]), float(one["logprob"])) for one in note["top_logprobs"])
    return TokenStep(row, token_id, float(note["logprob"]), best[:num_noted])


def _received(connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
    response = connection.getresponse()
    if response.status != http.HTTPStatus.OK:
        raise _refused(json.loads(response.read()))
    return response


def _refused(answer: dict[str, Any]) -> EngineError:
    error = answer.get("error", answer)
    return EngineError(f"llama.cpp refused the request: {error.get('message', error)}")
