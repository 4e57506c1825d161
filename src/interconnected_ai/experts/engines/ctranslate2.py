"""The engine CTranslate2: it runs the whole loop itself, so it serves the settings that its own sampler has."""

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from interconnected_ai.config import ExpertConfig, GenerationConfig
from interconnected_ai.experts.answers import Ending, as_generation
from interconnected_ai.experts.engines.sampler_engine import Listener, SamplerEngine
from interconnected_ai.experts.text_rules import TextRules, Written
from interconnected_ai.extras import require
from interconnected_ai.storage import read_json
from interconnected_ai.text import Tokenizer
from interconnected_ai.types import Generation, TokenStep

_SEEDING = threading.Lock()  # the library's seed is one for the whole process


class CTranslate2Engine(SamplerEngine):
    """Continues prompts with a folder that `write_ctranslate2` wrote.

    Greedy, temperature, top_k or top_p, beam search, stop strings; what else `GenerationConfig` has is refused. Prompts of one
    length are read together, so a batch of many lengths gains less. A seed costs a load of the model, since the library draws
    from a random state that only a new one resets. Raises `MissingExtraError` without CTranslate2.
    """

    name = "ctranslate2"
    neutral: ClassVar[Mapping[str, Any]] = {
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "bad_words": (),
        "logprobs": None,
    }

    def __init__(
        self,
        folder: str | Path,
        tokenizer: Tokenizer | None = None,
        *,
        end_id: int | None = None,
        threads: int | None = None,
    ) -> None:
        self._library = require("ctranslate2", "ctranslate2", "the engine ctranslate2")
        self._folder = Path(folder)
        shape = ExpertConfig.from_mapping(read_json(self._folder / "config.json")["expert"], source=str(folder))
        super().__init__(shape, tokenizer, end_id=end_id, threads=threads)
        self._words: list[str] = json.loads((self._folder / "vocabulary.json").read_text(encoding="utf-8"))
        self._generator = self._load()

    def _answers(
        self,
        prompts: list[list[int]],
        config: GenerationConfig,
        rules: TextRules | None,
        seed: int | None,
        on_step: Listener | None,
    ) -> list[Generation]:
        if config.top_k is not None and config.top_p is not None:
            raise self._refusal(f"top_k={config.top_k} together with top_p={config.top_p}")
        if config.num_beams > 1 and config.stop:
            raise self._refusal(f"stop={config.stop!r} with beam search")
        rows = [_Row(number, prompt, rules, self._end_id, on_step) for number, prompt in enumerate(prompts)]
        if seed is None or config.temperature == 0.0 or config.num_beams > 1:
            self._run(self._generator, rows, config)
        else:
            with _SEEDING:
                self._library.set_random_seed(seed % 2**32)
                self._run(self._load(), rows, config)
        return [row.finished(config, self._tokenizer) for row in rows]

    def _load(self) -> Any:
        return self._library.Generator(str(self._folder), device="cpu", intra_threads=self._threads, inter_threads=1)

    def _run(self, generator: Any, rows: Sequence["_Row"], config: GenerationConfig) -> None:
        """Rows of one length at a time: otherwise the library reads the longer ones' rest token by token."""
        for length in sorted({len(row.prompt) for row in rows}):
            chosen = [row for row in rows if len(row.prompt) == length]
            listener = _Listener(chosen) if config.num_beams == 1 and any(row.listens for row in chosen) else None
            results = generator.generate_batch(
                [[self._words[token] for token in row.prompt] for row in chosen],
                max_length=config.max_new_tokens,
                include_prompt_in_result=False,
                end_token=[] if self._end_id is None else [self._end_id],
                callback=listener,
                **_sampling(config),
            )
            if listener is not None and listener.error is not None:
                raise listener.error
            for row, result in zip(chosen, results, strict=True):
                row.token_ids = list(result.sequences_ids[0])


class _Row:
    """One prompt and what becomes of it."""

    def __init__(
        self,
        number: int,
        prompt: list[int],
        rules: TextRules | None,
        end_id: int | None,
        on_step: Listener | None,
    ) -> None:
        self.number, self.prompt = number, prompt
        self.token_ids: list[int] = []
        self.on_step = on_step
        self._end_id = end_id
        self._written: Written | None = None if rules is None else rules.begin(prompt)

    @property
    def listens(self) -> bool:
        """Whether the row wants to hear of every token."""
        return self.on_step is not None or self._written is not None

    def hear(self, token_id: int) -> bool:
        """A token as it comes; True ends the row."""
        if token_id == self._end_id:
            return False
        if self.on_step is not None:
            self.on_step(TokenStep(self.number, token_id))
        if self._written is not None:
            self._written = self._written.plus(token_id)
        return self._written is not None and self._written.stop_at is not None

    def finished(self, config: GenerationConfig, tokenizer: Tokenizer | None) -> Generation:
        """What it came to."""
        ended: Ending = "length" if len(self.token_ids) == config.max_new_tokens else "eos"
        if self._written is not None and self._written.stop_at is not None:
            ended = "stop"
        return as_generation(self.token_ids, ended, (), self._written, tokenizer)


class _Listener:
    """The library's callback. What a listener raises ends the rows and waits: it must not cross the library's threads."""

    def __init__(self, rows: Sequence[_Row]) -> None:
        self._rows = rows
        self.error: BaseException | None = None

    def __call__(self, step: Any) -> bool:
        if self.error is None:
            try:
                return self._rows[int(step.batch_id)].hear(int(step.token_id))
            except BaseException as error:  # noqa: BLE001 - it is raised again where the caller waits
                self.error = error
        return True


def _sampling(config: GenerationConfig) -> dict[str, Any]:
    if config.num_beams > 1:
        return {"beam_size": config.num_beams, "length_penalty": config.length_penalty}
    if config.temperature == 0.0:
        return {"sampling_topk": 1}
    return {
        "sampling_topk": config.top_k or 0,  # 0: the whole vocabulary
        "sampling_topp": 1.0 if config.top_p is None else config.top_p,
        "sampling_temperature": config.temperature,
    }
