"""The engine llama.cpp: its server, in this process through the binding xllamacpp, over a GGUF file.

The binding gives no logits but the server's own completions, so the sampler is llama.cpp's. It is asked on its port of this
machine alone, under a key that nobody else knows.
"""

import http.client
import json
import secrets
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from interconnected_ai.config import ExpertConfig
from interconnected_ai.errors import EngineError
from interconnected_ai.experts.asked import Asked, EndIds
from interconnected_ai.experts.engine import Steps, drained
from interconnected_ai.experts.engines.sampler_engine import Heard, SamplerEngine
from interconnected_ai.extras import require
from interconnected_ai.text import TextTokenizer
from interconnected_ai.types import Generation, TokenStep

_MOST_ROWS = 32  # read at once; further prompts wait for a place
_MOST_INT = 2**31 - 1
_READ_AT_ONCE = 512  # tokens of a prompt, llama.cpp's n_ubatch
_HALF_BYTES, _FLOAT_BYTES = 2, 4
_PADDING = 256  # llama.cpp's caches are a multiple of this many tokens


class LlamaCppEngine(SamplerEngine):
    """Continues prompts with a GGUF file of `write_gguf`.

    Greedy, temperature, top_k, top_p, min_p, repetition penalty, stop strings; what else `GenerationConfig` has is refused.
    Keys and values are kept in float16, GELU is the tanh approximation: llama.cpp's own ways. The file is one without a
    tokenizer: from one with, the server's stream would leave out the tokens that end within a character. end_ids: the first is
    the one that the file was written with; without one no token ends an answer, and token 0, which llama.cpp then takes for the
    end token, is never said. copied_bytes: of the matrices that llama.cpp lays out anew beside the mapped file. Raises
    `MissingExtraError` without the binding.

    Threads: as `Engine` says; up to 32 rows of all calls are computed together, others wait for a place.
    """

    name = "llamacpp"
    neutral: ClassVar[Mapping[str, Any]] = {
        "num_beams": 1,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "bad_words": (),
        "logprobs": None,
        "json_schema": None,
        "regex": None,
        "choices": (),
    }

    def __init__(
        self,
        file: str | Path,
        shape: ExpertConfig,
        tokenizer: TextTokenizer | None = None,
        *,
        end_ids: EndIds = None,
        threads: int | None = None,
        copied_bytes: int = 0,
    ) -> None:
        self._binding = require("xllamacpp", "llamacpp", "the engine llamacpp")
        super().__init__(shape.vocab_size, shape.max_seq_len, tokenizer, end_ids=end_ids, threads=threads)
        self._shape = shape
        self._file = Path(file)
        self._file_bytes, self._copied_bytes = self._file.stat().st_size, copied_bytes
        self._starting = (
            threading.RLock()
        )  # a stream that the garbage collector finds leaves in whatever thread it runs
        self._num_rows = 0  # of all calls that are being answered
        self._server: _Server | None = self._started(1, _PADDING)

    @property
    def num_bytes(self) -> int:
        """The mapped file, copies that llama.cpp makes of its matrices, keys and values of all places, and a prompt's buffers.

        Places grow with the rows that are asked for at once and with their lengths.
        """
        server, shape = self._server, self._shape
        if server is None:
            return 0
        places = server.num_rows * server.capacity
        cache = places * 2 * shape.n_layers * shape.d_model * _HALF_BYTES
        passing = min(server.capacity, _READ_AT_ONCE) * (8 * shape.d_model + shape.inner) * _FLOAT_BYTES
        return self._file_bytes + self._copied_bytes + cache + passing

    def _answers(self, asked: Asked) -> list[Generation]:
        if asked.rules is not None:  # a stop string is found in the stream
            return drained(self._steps(asked))
        heard = [Heard(row, asked) for row in range(len(asked.prompts))]
        with self._serving(asked) as server:
            answers = server.complete({"prompt": asked.prompts, **_wanted(asked)})
        for row, answer in zip(heard, sorted(answers, key=lambda one: int(one["index"])), strict=True):
            row.token_ids = list(takewhile(lambda token: token not in asked.end_ids, answer["tokens"]))
        return [row.finished() for row in heard]

    def _steps(self, asked: Asked) -> Steps:
        """A request for each row, as many at once as the server has places; a token of each in turn."""
        heard = [Heard(row, asked) for row in range(len(asked.prompts))]
        waiting, going = deque(heard), dict[Heard, _Tokens]()
        with self._serving(asked) as server:
            try:
                while waiting or going:
                    while waiting and len(going) < server.num_rows:
                        row = waiting.popleft()
                        going[row] = server.tokens({"prompt": asked.prompts[row.row], "stream": True, **_wanted(asked)})
                    for row, tokens in list(going.items()):
                        token_id = tokens.next()
                        has_ended = token_id is None or token_id in asked.end_ids
                        if token_id is not None and not has_ended:
                            row.take(token_id)
                            yield TokenStep(row.row, token_id)
                        if has_ended or row.has_stopped:
                            going.pop(row).close()
            finally:
                for tokens in going.values():
                    tokens.close()
        return [row.finished() for row in heard]

    @contextmanager
    def _serving(self, asked: Asked) -> Iterator["_Server"]:
        """A server with room for the rows; a larger one takes the place of one that is too small."""
        num_rows = len(asked.prompts)
        capacity = max(map(len, asked.prompts)) + asked.config.max_new_tokens
        with self._starting:
            self._num_rows += num_rows
            server = self._server
            assert server is not None, "an engine that is answering is not given back"
            places = min(_MOST_ROWS, 1 << (self._num_rows - 1).bit_length())
            if places > server.num_rows or capacity > server.capacity:
                server = self._started(max(places, server.num_rows), max(capacity, server.capacity))
                self._server = server
        try:
            yield server
        finally:
            with self._starting:
                self._num_rows -= num_rows

    def _started(self, num_rows: int, capacity: int) -> "_Server":
        padded = -(-capacity // _PADDING) * _PADDING
        return _Server(self._binding, self._file, num_rows, padded, self._threads)

    def _let_go(self) -> None:
        self._server = None


class _Server:
    """llama.cpp's server with so many places, each for `capacity` tokens. It ends when nobody holds it."""

    def __init__(self, binding: Any, file: Path, num_rows: int, capacity: int, threads: int) -> None:
        self.num_rows, self.capacity = num_rows, capacity
        self._key = secrets.token_hex(16)
        settings = binding.CommonParams()
        settings.model.path = str(file)
        settings.n_ctx, settings.n_parallel = num_rows * capacity, num_rows
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
        settings.api_keys = [self._key]
        settings.n_gpu_layers = settings.verbosity = settings.cache_ram_mib = 0
        settings.warmup = settings.fit_params = settings.cache_prompt = settings.ctx_shift = False
        try:
            self._server = binding.Server(settings)
        except RuntimeError as error:
            raise EngineError(f"llama.cpp cannot serve {file} ({error}); export the expert to it again") from error
        address = urlsplit(self._server.listening_address)
        self._host, self._port = address.hostname or "127.0.0.1", address.port
        # A server that is let go before its loop runs waits for it for ever; after an answer the loop runs.
        self.complete({"prompt": [0], "n_predict": 1})

    def complete(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        """The server's answers to several prompts; see llama.cpp's description of POST /completion."""
        with closing(self._connection()) as connection:
            answer = json.loads(self._response(connection, asked).read())
        return answer if isinstance(answer, list) else [answer]

    def tokens(self, asked: dict[str, Any]) -> "_Tokens":
        """The tokens of one prompt's answer, as they come."""
        connection = self._connection()
        try:
            return _Tokens(connection, self._response(connection, asked))
        except BaseException:
            connection.close()
            raise

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._host, self._port)

    def _response(self, connection: http.client.HTTPConnection, asked: dict[str, Any]) -> http.client.HTTPResponse:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"}
        connection.request("POST", "/completion", json.dumps(asked), headers)
        response = connection.getresponse()
        if response.status != http.HTTPStatus.OK:
            raise _refused(json.loads(response.read()))
        return response


class _Tokens:
    """An answer's tokens as the server sends them, an event a token."""

    _EVENT = b"data: "

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self._connection, self._response = connection, response

    def next(self) -> int | None:
        """The next one; None at the end."""
        while line := self._response.readline():
            if line.startswith(self._EVENT):
                event = json.loads(line.removeprefix(self._EVENT))
                if "error" in event:
                    raise _refused(event)
                if event["tokens"]:
                    (token_id,) = event["tokens"]
                    return int(token_id)
                if event["stop"]:
                    return None
        raise EngineError("llama.cpp's server broke an answer off; ask again")

    def close(self) -> None:
        """Whoever has not sent the end yet stops at its next token."""
        self._response.close()
        self._connection.close()


def _refused(answer: dict[str, Any]) -> EngineError:
    error = answer.get("error", answer)
    return EngineError(f"llama.cpp refused the request: {error.get('message', error)}")


def _wanted(asked: Asked) -> dict[str, Any]:
    """Our settings in the server's words; its own defaults, which would narrow the choice, are all switched off."""
    config = asked.config
    return {
        "n_predict": config.max_new_tokens,
        "samplers": ["penalties", "temperature", "top_k", "top_p", "min_p"],
        "temperature": config.temperature,
        "top_k": min(config.top_k or 0, _MOST_INT),
        "top_p": 1.0 if config.top_p is None else config.top_p,
        "min_p": config.min_p or 0.0,
        "repeat_penalty": config.repetition_penalty,
        "repeat_last_n": max(map(len, asked.prompts)) + config.max_new_tokens,
        "seed": -1 if asked.seed is None else asked.seed % (2**32 - 1),  # 2^32 - 1 would mean "any"
        "ignore_eos": not asked.end_ids,
        "return_tokens": True,
        "cache_prompt": False,
    }
