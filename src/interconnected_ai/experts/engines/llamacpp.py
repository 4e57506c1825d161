"""The engine llama.cpp: its server, in this process through the binding xllamacpp, over a GGUF file.

The binding gives no logits but the server's own completions, so the sampler is llama.cpp's. It is asked on its port of this
machine alone, under a key that nobody else knows.
"""

import http.client
import json
import secrets
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from interconnected_ai.config import ExpertConfig, GenerationConfig
from interconnected_ai.errors import EngineError
from interconnected_ai.experts.answers import Ending, as_generation
from interconnected_ai.experts.engines.sampler_engine import Listener, SamplerEngine
from interconnected_ai.experts.text_rules import TextRules
from interconnected_ai.extras import require
from interconnected_ai.text import Tokenizer
from interconnected_ai.types import Generation, TokenStep

_MOST_ROWS = 32  # read at once; further prompts wait for a place
_PADDING = 256  # llama.cpp's caches are a multiple of this many tokens


class LlamaCppEngine(SamplerEngine):
    """Continues prompts with a GGUF file of `write_gguf`.

    Greedy, temperature, top_k, top_p, min_p, repetition penalty, stop strings; what else `GenerationConfig` has is refused.
    `on_step` hears the tokens when the answers are whole: the server's stream leaves out those that end within a character.
    Keys and values are kept in float16, GELU is the tanh approximation: llama.cpp's own ways. tokenizer: the one in the file;
    without one no token ends an answer, and token 0, which llama.cpp then takes for the end token, is never said. Raises
    `MissingExtraError` without the binding.
    """

    name = "llamacpp"
    neutral: ClassVar[Mapping[str, Any]] = {
        "num_beams": 1,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "bad_words": (),
        "logprobs": None,
    }

    def __init__(
        self, file: str | Path, shape: ExpertConfig, tokenizer: Tokenizer | None = None, *, threads: int | None = None
    ) -> None:
        self._binding = require("xllamacpp", "llamacpp", "the engine llamacpp")
        super().__init__(shape, tokenizer, end_id=None, threads=threads)
        self._file = Path(file)
        self._starting = threading.Lock()
        self._server = self._started(1, min(_PADDING, shape.max_seq_len))

    def _answers(
        self,
        prompts: list[list[int]],
        config: GenerationConfig,
        rules: TextRules | None,
        seed: int | None,
        on_step: Listener | None,
    ) -> list[Generation]:
        capacity = max(map(len, prompts)) + config.max_new_tokens
        wanted = {"prompt": prompts, "ignore_eos": self._tokenizer is None, **_asked(config, seed, capacity)}
        answers = self._server_for(len(prompts), capacity).complete(wanted)
        found = []
        for row, answer in enumerate(sorted(answers, key=lambda one: int(one["index"]))):
            token_ids = [token for token in answer["tokens"] if token != self._end_id]
            for token in token_ids if on_step is not None else ():
                on_step(TokenStep(row, token))  # type: ignore[misc]
            found.append(self._generation(prompts[row], token_ids, answer["stop_type"], rules))
        return found

    def _generation(self, prompt: list[int], token_ids: list[int], why: str, rules: TextRules | None) -> Generation:
        ended: Ending = {"limit": "length", "eos": "eos", "word": "stop"}[why]  # type: ignore[assignment]
        written = None if rules is None else rules.begin(prompt)
        for token in token_ids if written is not None else ():
            written = written.plus(token)  # type: ignore[union-attr]
        return as_generation(token_ids, ended, (), written, self._tokenizer)

    def _server_for(self, num_rows: int, capacity: int) -> "_Server":
        """A server with room for the rows; a larger one takes the place of one that is too small."""
        with self._starting:
            if num_rows > self._server.num_rows < _MOST_ROWS or capacity > self._server.capacity:
                num_rows = min(_MOST_ROWS, max(num_rows, self._server.num_rows))
                self._server = self._started(num_rows, max(capacity, self._server.capacity))
            return self._server

    def _started(self, num_rows: int, capacity: int) -> "_Server":
        padded = -(-capacity // _PADDING) * _PADDING
        return _Server(self._binding, self._file, num_rows, padded, self._threads)


class _Server:
    """llama.cpp's server with so many places, each for `capacity` tokens."""

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
        self._address = urlsplit(self._server.listening_address)
        # A server that is let go before its loop runs waits for it for ever; after an answer the loop runs.
        self.complete({"prompt": [0], "n_predict": 1})

    def complete(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        """The server's answers to several prompts; see llama.cpp's description of POST /completion."""
        connection = http.client.HTTPConnection(self._address.hostname or "127.0.0.1", self._address.port)
        try:
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"}
            connection.request("POST", "/completion", json.dumps(asked), headers)
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if isinstance(answer, dict) and "error" in answer:
            raise EngineError(f"llama.cpp refused the request: {answer['error'].get('message', answer['error'])}")
        return answer if isinstance(answer, list) else [answer]


def _asked(config: GenerationConfig, seed: int | None, window: int) -> dict[str, Any]:
    """Our settings in the server's words; its own defaults, which would narrow the choice, are all switched off."""
    return {
        "n_predict": config.max_new_tokens,
        "samplers": ["penalties", "temperature", "top_k", "top_p", "min_p"],
        "temperature": config.temperature,
        "top_k": config.top_k or 0,
        "top_p": 1.0 if config.top_p is None else config.top_p,
        "min_p": config.min_p or 0.0,
        "repeat_penalty": config.repetition_penalty,
        "repeat_last_n": window,
        "stop": list(config.stop),
        "seed": -1 if seed is None else seed % (2**32 - 1),  # 2^32 - 1 would mean "any"
        "return_tokens": True,
        "cache_prompt": False,
    }
