"""The engine CTranslate2: it runs the whole loop itself, so it serves the settings that its own sampler has."""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from interconnected_ai.config import ExpertConfig, GenerationConfig
from interconnected_ai.experts.asked import Asked, EndIds
from interconnected_ai.experts.engine import Steps
from interconnected_ai.experts.engines.ctranslate2_seed import can_seed, seed_this_thread
from interconnected_ai.experts.engines.lacking import refusal
from interconnected_ai.experts.engines.sampler_engine import Heard, SamplerEngine
from interconnected_ai.experts.sampling import COLDEST, fresh_seed
from interconnected_ai.extras import require
from interconnected_ai.storage import read_json
from interconnected_ai.text import TextTokenizer
from interconnected_ai.types import Generation, TokenStep

Listener = Callable[[Any], bool]  # the library's callback: told of a step, True ends its row


class CTranslate2Engine(SamplerEngine):
    """Continues prompts with a folder that `write_ctranslate2` wrote.

    Greedy, temperature, top_k or top_p, beam search, stop strings; what else `GenerationConfig` has is refused. Prompts of one
    length are read together, so a batch of many lengths gains less. Calls are computed one after the other. Raises
    `MissingExtraError` without CTranslate2.
    """

    name = "ctranslate2"

    def __init__(
        self,
        folder: str | Path,
        tokenizer: TextTokenizer | None = None,
        *,
        end_ids: EndIds = None,
        threads: int | None = None,
    ) -> None:
        self._library = require("ctranslate2", "ctranslate2", "the engine ctranslate2")
        self._folder = Path(folder)
        shape = ExpertConfig.from_mapping(read_json(self._folder / "config.json")["expert"], source=str(folder))
        super().__init__(shape.vocab_size, shape.max_seq_len, tokenizer, end_ids=end_ids, threads=threads)
        self._words: list[str] = json.loads((self._folder / "vocabulary.json").read_text(encoding="utf-8"))
        self._num_bytes = (self._folder / "model.bin").stat().st_size
        self._submitting = threading.Lock()
        self._generator: Any = self._opened()

    @property
    def num_bytes(self) -> int:
        """The weights, which are read into memory as they are on disk."""
        return 0 if self.is_closed else self._num_bytes

    def _refuse(self, asked: Asked) -> None:
        super()._refuse(asked)
        config = asked.config
        if config.top_k is not None and config.top_p is not None:
            raise refusal(self.name, f"top_k={config.top_k} together with top_p={config.top_p}", "top_p")
        if config.num_beams > 1 and config.stop:
            raise refusal(self.name, f"stop={config.stop!r} with beam search", "num_beams")

    def _answers(self, asked: Asked) -> list[Generation]:
        heard = [Heard(row, asked) for row in range(len(asked.prompts))]
        for job in self._submitted(asked, heard, _listener if asked.rules is not None else None):
            job.wait()
        return [one.finished() for one in heard]

    def _steps(self, asked: Asked) -> Steps:
        """The library tells tokens on a thread of its own; they are handed on from here."""
        if asked.config.num_beams > 1:
            return self._answers(asked)
        heard = [Heard(row, asked) for row in range(len(asked.prompts))]
        told = _Told()
        jobs = self._submitted(asked, heard, told.listener)
        waiter = threading.Thread(target=told.wait_for, args=(jobs,), name="ctranslate2 answers", daemon=True)
        waiter.start()
        try:
            while (step := told.queue.get()) is not None:
                yield step
        finally:
            told.is_unwanted = True
            if threading.get_ident() != told.worker:  # where the garbage collector found a stream on that very thread
                waiter.join()
        if told.error is not None:
            raise told.error
        return [one.finished() for one in heard]

    def _submitted(
        self, asked: Asked, heard: Sequence[Heard], listener: Callable[[Sequence[Heard]], Listener] | None
    ) -> list["_Job"]:
        """The jobs of one call, in the queue of the one worker, with nothing of another call between them."""
        draws = asked.config.temperature > 0.0 and asked.config.num_beams == 1
        with self._submitting:
            if draws:
                self._seed(fresh_seed() if asked.seed is None else asked.seed)
            return [self._submit(asked, group, listener) for group in _of_one_length(heard, asked.prompts)]

    def _submit(
        self, asked: Asked, group: Sequence[Heard], listener: Callable[[Sequence[Heard]], Listener] | None
    ) -> "_Job":
        results = self._generator.generate_batch(
            [[self._words[token] for token in asked.prompts[one.row]] for one in group],
            max_length=asked.config.max_new_tokens,
            include_prompt_in_result=False,
            end_token=list(self._end_ids),
            callback=None if listener is None else listener(group),
            asynchronous=True,
            **_sampling(asked.config, self.vocab_size),
        )
        return _Job(group, results)

    def _seed(self, seed: int) -> None:
        """The jobs that follow in the queue draw from this seed."""
        if can_seed():
            first = [[self._words[0]]]  # a job, since its callback runs on the thread that draws
            self._generator.generate_batch(first, max_length=1, callback=_seeding(seed), asynchronous=True)
        else:  # only a new worker draws from the library's seed
            self._library.set_random_seed(seed % 2**32)
            self._generator = self._opened()

    def _opened(self) -> Any:
        return self._library.Generator(
            str(self._folder), device="cpu", intra_threads=self._threads, inter_threads=1, max_queued_batches=-1
        )

    def _let_go(self) -> None:
        self._generator = None


@dataclass(frozen=True)
class _Job:
    """Rows that are computed together, and the library's promises of their tokens."""

    rows: Sequence[Heard]
    promised: Sequence[Any]

    def wait(self) -> None:
        """Until the rows have their tokens."""
        for row, promise in zip(self.rows, self.promised, strict=True):
            row.token_ids = list(promise.result().sequences_ids[0])


class _Told:
    """Tokens on their way from the library's worker to whoever reads the stream."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[TokenStep | None] = SimpleQueue()  # None comes last
        self.is_unwanted = False
        self.worker: int | None = None
        self.error: Exception | None = None

    def listener(self, rows: Sequence[Heard]) -> Listener:
        """The callback of these rows."""
        hear = _listener(rows)

        def tell(step: Any) -> bool:
            self.worker = threading.get_ident()
            if self.is_unwanted:
                return True
            row = rows[int(step.batch_id)]
            before = len(row.token_ids)
            has_ended = hear(step)
            if len(row.token_ids) > before:
                self.queue.put(TokenStep(row.row, row.token_ids[-1]))
            return has_ended

        return tell

    def wait_for(self, jobs: Sequence[_Job]) -> None:
        """Close the queue when all jobs are done."""
        try:
            for job in jobs:
                job.wait()
        except Exception as error:  # noqa: BLE001 - it is raised again where the stream is read
            self.error = error
        finally:
            self.queue.put(None)


def _listener(rows: Sequence[Heard]) -> Listener:
    """The callback of rows with stop strings: True ends a row."""

    def hear(step: Any) -> bool:
        row = rows[int(step.batch_id)]
        if (token_id := int(step.token_id)) not in row.end_ids:
            row.take(token_id)
        return row.has_stopped

    return hear


def _seeding(seed: int) -> Listener:
    def on_the_worker(step: Any) -> bool:
        seed_this_thread(seed)
        return True

    return on_the_worker


def _of_one_length(heard: Sequence[Heard], prompts: Sequence[Sequence[int]]) -> list[list[Heard]]:
    """Rows of one length at a time: otherwise the library reads the longer ones' rest token by token."""
    lengths = sorted({len(prompt) for prompt in prompts})
    return [[one for one in heard if len(prompts[one.row]) == length] for length in lengths]


def _sampling(config: GenerationConfig, vocab_size: int) -> dict[str, Any]:
    if config.num_beams > 1:
        return {"beam_size": config.num_beams, "length_penalty": config.length_penalty}
    if config.temperature == 0.0:
        return {"sampling_topk": 1}
    return {
        "sampling_topk": min(config.top_k or 0, vocab_size),  # 0: the whole vocabulary
        "sampling_topp": 1.0 if config.top_p is None else max(config.top_p, COLDEST),
        "sampling_temperature": max(config.temperature, COLDEST),
    }
