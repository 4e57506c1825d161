"""The generation loop, over any `Decoder`: prompts of several lengths, endings, stop strings, a window that slides."""

from collections.abc import Callable, Generator, Sequence

import torch
from torch import Tensor

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import EngineError
from interconnected_ai.experts.answers import Ending, as_generation, token_steps
from interconnected_ai.experts.beam import beam_search
from interconnected_ai.experts.decoder import Decoder
from interconnected_ai.experts.prompts import checked_prompts
from interconnected_ai.experts.reader import Reader
from interconnected_ai.experts.sampling import Penalties, ban, fresh_seed, narrow, uniform_table
from interconnected_ai.experts.text_rules import TextRules, Written
from interconnected_ai.text import Tokenizer
from interconnected_ai.types import Generation, TokenStep


def generate(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    config: GenerationConfig,
    *,
    tokenizer: Tokenizer | None = None,
    end_id: int | None = None,
    seed: int | None = None,
    on_step: Callable[[TokenStep], None] | None = None,
) -> list[Generation]:
    """Continue prompts, token ids, with a decoder: one `Generation` for each.

    tokenizer: for `text`, stop strings and bad words. end_id: the token that ends an answer; None is the tokenizer's, and
    without a tokenizer no token ends one. seed: of the sampling; None draws one from torch's generator. on_step: called
    with every token as it comes. Raises `PromptError` for prompts that the decoder cannot read.
    """
    steps = generation_steps(decoder, prompts, config, tokenizer=tokenizer, end_id=end_id, seed=seed)
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            answers: list[Generation] = end.value
            return answers
        if on_step is not None:
            on_step(step)


def generation_steps(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    config: GenerationConfig,
    *,
    tokenizer: Tokenizer | None = None,
    end_id: int | None = None,
    seed: int | None = None,
) -> Generator[TokenStep, None, list[Generation]]:
    """`generate`, token by token: yields every token as it comes and returns what `generate` returns.

    With beam search nothing is final before the end, and nothing is yielded.
    """
    read = checked_prompts(prompts, config, vocab_size=decoder.vocab_size, max_seq_len=decoder.max_seq_len)
    end_id = tokenizer.end_id if end_id is None and tokenizer is not None else end_id
    rules = TextRules.of(config, tokenizer)
    if config.num_beams > 1:
        return beam_search(decoder, read, config, rules=rules, tokenizer=tokenizer, end_id=end_id)
    answers = [_Answer(row, prompt, config, rules) for row, prompt in enumerate(read)]
    yield from _sample(decoder, read, config, answers, end_id, seed)
    return [answer.finished(tokenizer) for answer in answers]


def _sample(
    decoder: Decoder,
    prompts: list[list[int]],
    config: GenerationConfig,
    answers: list["_Answer"],
    end_id: int | None,
    seed: int | None,
) -> Generator[TokenStep, None, None]:
    """The loop: pick a token for every row, let finished rows go, read the tokens."""
    going = list(answers)
    reader = Reader(decoder, prompts, config)
    logits = reader.start()
    picker = _Picker(config, prompts, logits, seed)
    while True:
        token_ids = picker.pick(logits, going)
        steps = token_steps(logits, token_ids, [answer.row for answer in going], config.logprobs)
        for answer, step in zip(going, steps, strict=True):
            if answer.take(step, end_id):
                yield step
        kept = [place for place, answer in enumerate(going) if answer.ended is None]
        if not kept:
            return
        if len(kept) < len(going):
            going, steps, token_ids = [going[p] for p in kept], [steps[p] for p in kept], token_ids[kept]
            reader.select(kept)
            picker.select(kept)
        logits = reader.step([step.token_id for step in steps], token_ids)


class _Answer:
    """One row's answer as it grows."""

    def __init__(self, row: int, prompt: Sequence[int], config: GenerationConfig, rules: TextRules | None) -> None:
        self.row = row
        self.ended: Ending | None = None
        self.written: Written | None = None if rules is None else rules.begin(prompt)
        self._config = config
        self._steps: list[TokenStep] = []

    def take(self, step: TokenStep, end_id: int | None) -> bool:
        """Add a token; False for the end token, which is no part of the answer."""
        if step.token_id == end_id:
            self.ended = "eos"
            return False
        self._steps.append(step)
        if self.written is not None:
            self.written = self.written.plus(step.token_id)
        if self.written is not None and self.written.stop_at is not None:
            self.ended = "stop"
        elif len(self._steps) == self._config.max_new_tokens:
            self.ended = "length"
        return True

    def finished(self, tokenizer: Tokenizer | None) -> Generation:
        """What it came to."""
        assert self.ended is not None
        noted = self._steps if self._config.logprobs is not None else []
        return as_generation([s.token_id for s in self._steps], self.ended, noted, self.written, tokenizer)


class _Picker:
    """Chooses the next token of every row that still goes on."""

    def __init__(
        self, config: GenerationConfig, prompts: Sequence[Sequence[int]], logits: Tensor, seed: int | None
    ) -> None:
        self._config = config
        self._penalties = Penalties(config, prompts, logits.shape[-1], logits.device)
        self._step = 0
        self._uniforms: Tensor | None = None
        if config.temperature > 0:
            seed = fresh_seed() if seed is None else seed
            self._uniforms = uniform_table(seed, prompts, config.max_new_tokens).to(logits.device)

    @torch.inference_mode()
    def pick(self, logits: Tensor, answers: Sequence[_Answer]) -> Tensor:
        """(rows,) token ids from the (rows, vocab) logits of the rows that these answers continue."""
        allowed = ban(self._penalties.apply(logits), [a.written.banned() if a.written else [] for a in answers])
        if self._uniforms is None:
            token_ids = allowed.argmax(dim=-1)
        else:
            token_ids = narrow(allowed, self._config).draw(self._uniforms[:, self._step])
        _require_chosen(allowed, token_ids)
        self._step += 1
        self._penalties.note(token_ids)
        return token_ids

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order."""
        self._penalties.select(rows)
        if self._uniforms is not None:
            self._uniforms = self._uniforms[list(rows)]


def _require_chosen(logits: Tensor, token_ids: Tensor) -> None:
    """Raise `EngineError` where no token could be chosen: the logits are not numbers, or bad words forbid every token."""
    if not bool(logits.gather(1, token_ids[:, None]).isfinite().all()):
        if bool(logits.isnan().any()):
            raise EngineError("the model gave NaN instead of logits: its weights are broken; restore or retrain it")
        raise EngineError("no token is left to choose: bad_words forbid every token; forbid fewer")
