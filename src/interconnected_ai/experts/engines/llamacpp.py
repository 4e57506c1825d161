"""The engine llama.cpp: any GGUF file that its server runs, with LoRA adapters that change from row to row.

The binding gives no logits but the server's own completions, so the sampler is llama.cpp's.
"""

import secrets
import threading
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from interconnected_ai.config import ExpertConfig, GenerationConfig
from interconnected_ai.errors import ConfigError, EngineError, UnknownNameError
from interconnected_ai.experts.answers import GrowingAnswer
from interconnected_ai.experts.asked import Asked, EndIds
from interconnected_ai.experts.engine import Steps, drained
from interconnected_ai.experts.engines.llama_held import HeldRow, next_tokens
from interconnected_ai.experts.engines.llama_server import LlamaServer, LlamaTokens, num_known_of, whole_answer
from interconnected_ai.experts.engines.sampler_engine import Heard, SamplerEngine
from interconnected_ai.experts.engines.token_gaps import Pieces
from interconnected_ai.experts.gguf_model import GgufModel
from interconnected_ai.experts.heap import trim_heap
from interconnected_ai.extras import require
from interconnected_ai.text import TextTokenizer
from interconnected_ai.types import Generation, Stream, TokenStep

_MOST_ROWS = 32  # read at once; further prompts wait for a place
_MOST_INT = 2**31 - 1
_READ_AT_ONCE = 512  # tokens of a prompt, llama.cpp's n_ubatch
_HALF_BYTES, _FLOAT_BYTES = 2, 4
_PADDING = 256  # llama.cpp's caches are a multiple of this many tokens


@dataclass(frozen=True)
class LlamaFile:
    """A GGUF file as the engine sees it.

    place_bytes: keys and values of one token. passing_bytes: of buffers, for every token that is read at once. copied_bytes:
    of what llama.cpp has of it beside the mapped file, matrices laid out anew and the vocabulary. pieces: the bytes of every
    token of a file that has their texts, None for one without.
    """

    path: Path
    vocab_size: int
    max_seq_len: int
    size_bytes: int
    place_bytes: int
    passing_bytes: int
    copied_bytes: int = 0
    pieces: tuple[bytes, ...] | None = None

    @classmethod
    def of_expert(cls, path: Path, shape: ExpertConfig, copied_bytes: int = 0) -> Self:
        """One that `write_gguf` wrote of an expert of this shape, without its tokenizer."""
        place = 2 * shape.n_layers * shape.d_model * _HALF_BYTES
        passing = (8 * shape.d_model + shape.inner) * _FLOAT_BYTES
        size = path.stat().st_size
        return cls(path, shape.vocab_size, shape.max_seq_len, size, place, passing, copied_bytes)

    @classmethod
    def of_model(cls, model: GgufModel) -> Self:
        """A language model from anywhere; raises `EngineError` where tokens and rows of the embedding are not as many."""
        named, rows = model.vocabulary.vocab_size, model.vocab_size
        if named != rows:
            raise EngineError(
                f"{model.path} names {named} tokens and has {rows} rows for them, which llama.cpp refuses; convert it anew, "
                'or open it with engine="torch"'
            )
        return cls(
            model.path, model.vocab_size, model.context, model.size_bytes, model.place_bytes, model.passing_bytes,
            model.copied_bytes + model.vocabulary_bytes, model.vocabulary.pieces,
        )  # fmt: skip


@dataclass(frozen=True)
class _Adapted(Asked):
    """adapters: of every row, its name, or None for the base alone."""

    adapters: tuple[str | None, ...] = ()


class LlamaCppEngine(SamplerEngine):
    """Continues prompts with a GGUF file.

    Greedy, temperature, top_k, top_p, min_p, repetition penalty, stop strings, log probabilities (none for a token that ends
    within a character); forms and bad words, for which every token is a request of its own (`llama_held`); what else
    `GenerationConfig` has is refused. Keys and values are kept in float16, as llama.cpp does.

    end_ids: where answers end, beside the tokens at which llama.cpp ends them itself; without any no token ends an answer, and
    token 0 of a file without a tokenizer, which llama.cpp then takes for the end token, is never said.
    adapters: name → GGUF LoRA file (`write_gguf_lora`); a call says which row wants which. Rows of one adapter are computed
    together, those of another take turns with them. adapter: of every row of a call that names none.
    keeps_prompts: every place keeps what it has read last, and a prompt that begins like it is read from there on, for the same
    adapter alone. The rest of such a prompt is computed in another batch: its logits equal those from scratch up to rounding.
    Raises `MissingExtraError` without the binding.

    Threads: as `Engine` says; up to 32 rows of all calls are computed together, others wait for a place. Adapters may be added
    and removed meanwhile; answers that are being made keep theirs.
    """

    name = "llamacpp"

    def __init__(
        self,
        file: LlamaFile,
        tokenizer: TextTokenizer | None = None,
        *,
        end_ids: EndIds = None,
        threads: int | None = None,
        adapters: Mapping[str, str | Path] | None = None,
        adapter: str | None = None,
        keeps_prompts: bool = False,
    ) -> None:
        self._binding = require("xllamacpp", "llamacpp", "the engine llamacpp")
        super().__init__(file.vocab_size, file.max_seq_len, tokenizer, end_ids=end_ids, threads=threads)
        self._file, self._keeps_prompts = file, keeps_prompts
        self._pieces = None if file.pieces is None else Pieces(file.pieces)
        self._adapters = {name: Path(path) for name, path in (adapters or {}).items()}
        self._adapter = adapter
        # RLock: a stream that the garbage collector finds leaves in whatever thread it runs
        self._starting = threading.RLock()
        self._num_rows = 0  # of all calls that are being answered
        self._server: LlamaServer | None = self._started(1, _PADDING)

    @property
    def num_bytes(self) -> int:
        """The mapped file, copies that llama.cpp makes of its matrices, adapters, keys and values, and a prompt's buffers.

        Places grow with the rows that are asked for at once and with their lengths.
        """
        server, file = self._server, self._file
        if server is None:
            return 0
        cache = server.num_rows * server.capacity * file.place_bytes
        passing = min(server.capacity, _READ_AT_ONCE) * file.passing_bytes
        return file.size_bytes + file.copied_bytes + cache + passing + sum(self.adapter_bytes.values())

    # Adapters

    @property
    def adapter_bytes(self) -> dict[str, int]:
        """Every adapter's name → bytes of its weights."""
        with self._starting:
            return {name: path.stat().st_size for name, path in self._adapters.items()}

    def add_adapter(self, name: str, file: str | Path) -> None:
        """One more, or another of this name; the server starts anew on the mapped file. Raises `EngineError` for one that does
        not fit the base."""
        self._change({**self._adapters, name: Path(file)})

    def remove_adapter(self, name: str) -> None:
        """Serve it no longer; raises `UnknownNameError` for one that is not served."""
        with self._starting:
            if name not in self._adapters:
                raise UnknownNameError("adapter", name, self._adapters)
            self._change({other: path for other, path in self._adapters.items() if other != name})

    def _change(self, adapters: dict[str, Path]) -> None:
        self._require_open()
        with self._starting:
            before, server = self._adapters, self._server
            assert server is not None, "an open engine has a server"
            self._adapters = adapters
            try:
                self._server = self._started(server.num_rows, server.capacity)
            except EngineError:
                self._adapters = before
                raise

    # Asking

    def __call__(
        self,
        prompts: Sequence[Sequence[int]],
        config: GenerationConfig,
        *,
        seed: int | None = None,
        adapters: Sequence[str | None] | None = None,
    ) -> list[Generation]:
        """One `Generation` for each prompt, in order. adapters: the name of each row's, None for the base alone."""
        if adapters is None:
            return super().__call__(prompts, config, seed=seed)
        return drained(self._answering_steps(self._adapted(self._asked(prompts, config, seed), adapters)))

    def stream(
        self,
        prompts: Sequence[Sequence[int]],
        config: GenerationConfig,
        *,
        seed: int | None = None,
        adapters: Sequence[str | None] | None = None,
    ) -> Stream[TokenStep, list[Generation]]:
        """Every token as it comes; adapters as in a call."""
        if adapters is None:
            return super().stream(prompts, config, seed=seed)
        return Stream(self._answering_steps(self._adapted(self._asked(prompts, config, seed), adapters)))

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """llama.cpp's own token ids of a text, for files that have the texts of tokens."""
        self._require_open()
        server = self._server
        assert server is not None, "an open engine has a server"
        return server.tokenize(text, special=special)

    def _adapted(self, asked: Asked, adapters: Sequence[str | None]) -> Asked:
        if isinstance(adapters, str) or len(adapters) != len(asked.prompts):
            raise ConfigError(f"adapters={adapters!r} for {len(asked.prompts)} prompts; give one name or None for each")
        unknown = [name for name in adapters if name is not None and name not in self._adapters]
        if unknown:
            raise UnknownNameError("adapter", unknown[0], self._adapters)
        fields = {name: getattr(asked, name) for name in Asked.__dataclass_fields__}
        return _Adapted(**fields, adapters=tuple(adapters))

    def _answers(self, asked: Asked) -> list[Generation]:
        if asked.rules is not None:  # a stop string is found in the stream
            return drained(self._steps(asked))
        heard = [Heard(row, asked) for row in range(len(asked.prompts))]
        with self._serving(asked) as server:
            wanted = self._wanted(asked, server)
            answers = server.complete({"prompt": asked.prompts, **wanted})
        for row, answer in zip(heard, sorted(answers, key=lambda one: int(one["index"])), strict=True):
            for step in whole_answer(answer, row.row, asked.config.logprobs or 0, server.pieces):
                if step.token_id in asked.end_ids:
                    break
                row.take(step.token_id, step if asked.config.logprobs is not None else None)
            row.num_known_tokens = num_known_of(answer)
        return [row.finished() for row in heard]

    def _steps(self, asked: Asked) -> Steps:
        """A request for each row, as many at once as the server has places; what has come of each in turn."""
        if asked.constraint is not None or asked.config.bad_words:
            return (yield from self._held_steps(asked))
        heard = [Heard(row, asked) for row in range(len(asked.prompts))]
        waiting, going = deque(heard), dict[Heard, LlamaTokens]()
        with self._serving(asked) as server:
            wanted = self._wanted(asked, server)
            try:
                while waiting or going:
                    while waiting and len(going) < server.num_rows:
                        row = waiting.popleft()
                        going[row] = self._begun(asked, row, wanted, server)
                    for row, tokens in list(going.items()):
                        is_over = yield from _heard(row, tokens.next(), asked)
                        row.num_known_tokens = tokens.num_known
                        if is_over:
                            going.pop(row).close()
            finally:
                for tokens in going.values():
                    tokens.close()
        return [row.finished() for row in heard]

    def _held_steps(self, asked: Asked) -> Steps:
        """A request for each token of each row, as many rows at once as the server has places."""
        answers = [GrowingAnswer(row, asked) for row in range(len(asked.prompts))]
        waiting, seeds, going, known = deque(answers), _row_seeds(asked), list[HeldRow](), dict[int, int]()
        with self._serving(asked) as server:
            wanted = {**self._wanted(asked, server), "n_predict": 1, "cache_prompt": True}
            while waiting or going:
                while waiting and len(going) < server.num_rows:
                    going.append(self._held(asked, waiting.popleft(), wanted, server, seeds))
                for row in going:
                    yield from row.forced()
                going = [row for row in going if row.answer.ended is None]
                for row, step in zip(going, next_tokens(server, going), strict=True):
                    known[row.answer.row] = row.num_known
                    if row.take(step):
                        yield step
                going = [row for row in going if row.answer.ended is None]
        return [answer.finished(num_known_tokens=known.get(answer.row, 0)) for answer in answers]

    def _held(
        self, asked: Asked, answer: GrowingAnswer, wanted: Mapping[str, Any], server: LlamaServer, seeds: Sequence[int]
    ) -> HeldRow:
        row = answer.row
        request = {**wanted, "lora": server.lora(self._adapter_of(asked, row))}
        return HeldRow(
            answer, asked.prompts[row], request, seed=seeds[row], logprobs=asked.config.logprobs,
            vocab_size=self.vocab_size,
        )  # fmt: skip

    def _begun(self, asked: Asked, row: Heard, wanted: Mapping[str, Any], server: LlamaServer) -> LlamaTokens:
        lora = server.lora(self._adapter_of(asked, row.row))
        # Progress tells once how much of the prompt was known, where timings would tell it with every token.
        request = {**wanted, "prompt": asked.prompts[row.row], "stream": True, "return_progress": True, "lora": lora}
        return server.tokens(request, row.row, asked.config.logprobs or 0)

    def _adapter_of(self, asked: Asked, row: int) -> str | None:
        return asked.adapters[row] if isinstance(asked, _Adapted) else self._adapter

    @contextmanager
    def _serving(self, asked: Asked) -> Iterator[LlamaServer]:
        """A server with room for the rows; a larger one takes the place of one that is too small."""
        num_rows = len(asked.prompts)
        capacity = max(map(len, asked.prompts)) + asked.config.max_new_tokens
        with self._starting:
            self._num_rows += num_rows
            server = self._server
            assert server is not None, "an engine that is answering is not given back"
            places = min(_MOST_ROWS, 1 << (self._num_rows - 1).bit_length())
            if places > server.num_rows or capacity > server.capacity:
                longer = self._longer(capacity, server.capacity)
                server = self._server = self._started(max(places, server.num_rows), longer)
                trim_heap()  # of the one before, unless others still hold it
        try:
            yield server
        finally:
            with self._starting:
                self._num_rows -= num_rows

    def _longer(self, capacity: int, before: int) -> int:
        """With prompts kept twice the room at a time: a new server has read nothing."""
        if capacity <= before or not self._keeps_prompts:
            return max(capacity, before)
        return max(capacity, min(2 * before, self.max_seq_len))

    def _started(self, num_rows: int, capacity: int) -> LlamaServer:
        padded = -(-capacity // _PADDING) * _PADDING
        return LlamaServer(
            self._binding,
            self._file.path,
            num_rows,
            padded,
            self._threads,
            adapters=self._adapters,
            pieces=self._pieces,
            keeps_prompts=self._keeps_prompts,
        )

    def _let_go(self) -> None:
        self._server = None

    def _wanted(self, asked: Asked, server: LlamaServer) -> dict[str, Any]:
        """Our settings in the server's words; its own defaults, which would narrow the choice, are all switched off."""
        config = asked.config
        seed = (
            secrets.randbelow(2**32 - 1) if asked.seed is None else asked.seed % (2**32 - 1)
        )  # 2^32 - 1 would mean "any"
        # Temperature 0 leaves the whole vocabulary to the sampler behind it, which takes exponentials of all of it.
        is_greedy = config.temperature == 0.0
        return {
            "n_predict": config.max_new_tokens,
            "samplers": ["penalties", "top_k"]
            if is_greedy
            else ["penalties", "temperature", "top_k", "top_p", "min_p"],
            "temperature": config.temperature,
            "top_k": 1 if is_greedy else min(config.top_k or 0, _MOST_INT),
            "top_p": 1.0 if config.top_p is None else config.top_p,
            "min_p": config.min_p or 0.0,
            "repeat_penalty": config.repetition_penalty,
            "repeat_last_n": max(map(len, asked.prompts)) + config.max_new_tokens,
            "seed": seed,
            "ignore_eos": not asked.end_ids,
            "n_probs": 0 if config.logprobs is None else max(1, config.logprobs),
            "lora": server.lora(self._adapter),
            "return_tokens": True,
            "cache_prompt": self._keeps_prompts,
        }


def _row_seeds(asked: Asked) -> list[int]:
    """Of every row's draws: equal prompts are answered anew, whatever else is in the batch."""
    seed = secrets.randbits(64) if asked.seed is None else asked.seed
    before = [asked.prompts[:row].count(prompt) for row, prompt in enumerate(asked.prompts)]
    return [seed + number for number in before]


def _heard(row: Heard, steps: list[TokenStep], asked: Asked) -> Generator[TokenStep, None, bool]:
    """Take these tokens of a row; whether they were its last."""
    for step in steps:
        if step.token_id in asked.end_ids:
            return True
        row.take(step.token_id, step if asked.config.logprobs is not None else None)
        yield step
        if row.has_stopped:
            return True
    return not steps
