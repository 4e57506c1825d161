"""The generation loop, over any `Decoder`: prompts of several lengths, endings, stop strings, a window that slides."""

import math
from collections.abc import Generator, Sequence

import torch
from torch import Tensor

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import EngineError
from interconnected_ai.experts.answers import GrowingAnswer, none_left, token_steps
from interconnected_ai.experts.asked import Asked, EndIds, as_end_ids
from interconnected_ai.experts.beam import beam_search
from interconnected_ai.experts.constraint import restrict
from interconnected_ai.experts.decoder import Decoder
from interconnected_ai.experts.engine import Steps, drained
from interconnected_ai.experts.lookup import reader_of
from interconnected_ai.experts.remembering import keep, num_known_by, remembering
from interconnected_ai.experts.sampling import Penalties, Uniforms, ban, fresh_seed, narrow
from interconnected_ai.text import TextTokenizer
from interconnected_ai.types import Generation, TokenStep


def generate(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    config: GenerationConfig,
    *,
    tokenizer: TextTokenizer | None = None,
    end_ids: EndIds = None,
    seed: int | None = None,
) -> list[Generation]:
    """Continue prompts, token ids, with a decoder: one `Generation` for each.

    tokenizer: for `text`, stop strings and bad words. end_ids: a token, or several, at any of which an answer ends;
    None are the tokenizer's, and without a tokenizer no token ends one. seed: of the sampling; None draws one from torch's
    generator.
    Raises `PromptError` for prompts that the decoder cannot read. A decoder serves one call at a time.
    """
    asked = Asked.of(
        prompts, config, seed, vocab_size=decoder.vocab_size, max_seq_len=decoder.max_seq_len, tokenizer=tokenizer,
        end_ids=as_end_ids(end_ids, tokenizer),
    )  # fmt: skip
    return drained(generation_steps(decoder, asked))


def generation_steps(decoder: Decoder, asked: Asked) -> Steps:
    """`generate`, token by token: yields every token as it comes and returns what `generate` returns.

    With beam search nothing is final before the end, and no token is yielded.
    """
    if asked.config.num_beams > 1:
        return (yield from beam_search(decoder, asked))
    answers = [GrowingAnswer(row, asked) for row in range(len(asked.prompts))]
    reading = remembering(decoder, asked.turn) if len(answers) == 1 else decoder
    try:
        yield from _sample(reading, asked, answers)
    except GeneratorExit:
        keep(reading)
        raise
    keep(reading)
    return [answer.finished(num_known_tokens=num_known_by(reading)) for answer in answers]


def _sample(decoder: Decoder, asked: Asked, answers: list[GrowingAnswer]) -> Generator[TokenStep | None, None, None]:
    """The loop: pick a token for every row, let finished rows go, read the tokens.

    It yields None where the logits may not have been computed yet: whoever drives it does so before going on.
    """
    going, config = list(answers), asked.config
    reader = reader_of(decoder, asked.prompts, config)
    logits = reader.start()
    yield None
    picker = _Picker(config, asked.prompts, logits, asked.seed)
    while True:
        token_ids = picker.pick(logits, going)
        steps = token_steps(logits, token_ids, [answer.row for answer in going], config.logprobs)
        for answer, step in zip(going, steps, strict=True):
            if answer.take(step):
                yield step
        kept = [place for place, answer in enumerate(going) if answer.ended is None]
        if not kept:
            return
        if len(kept) < len(going):
            going, steps, token_ids = [going[p] for p in kept], [steps[p] for p in kept], token_ids[kept]
            reader.select(kept)
            picker.select(kept)
        logits = reader.step([step.token_id for step in steps], token_ids)
        yield None


class _Picker:
    """Chooses the next token of every row that still goes on."""

    def __init__(
        self, config: GenerationConfig, prompts: Sequence[Sequence[int]], logits: Tensor, seed: int | None
    ) -> None:
        self._config = config
        self._penalties = Penalties(config, prompts, logits.shape[-1], logits.device)
        self._uniforms: Uniforms | None = None
        if config.temperature > 0:
            seed = fresh_seed() if seed is None else seed
            self._uniforms = Uniforms(seed, prompts, config.max_new_tokens, logits.device)

    @torch.inference_mode()
    def pick(self, logits: Tensor, answers: Sequence[GrowingAnswer]) -> Tensor:
        """(rows,) token ids from the (rows, vocab) logits of the rows that these answers continue."""
        allowed = ban(self._penalties.apply(logits), [answer.banned() for answer in answers])
        allowed = restrict(allowed, [answer.progress for answer in answers])
        if self._uniforms is None:
            token_ids = allowed.argmax(dim=-1)
        else:
            token_ids = narrow(allowed, self._config).draw(self._uniforms.next())
        _require_chosen(allowed, token_ids, self._config.form)
        self._penalties.note(token_ids)
        return token_ids

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order."""
        self._penalties.select(rows)
        if self._uniforms is not None:
            self._uniforms.select(rows)


def _require_chosen(logits: Tensor, token_ids: Tensor, form: str | None) -> None:
    """Raise `EngineError` where no token could be chosen: the logits are not numbers, or every token is forbidden."""
    if not all(map(math.isfinite, logits.gather(1, token_ids[:, None])[:, 0].tolist())):
        if bool(logits.isnan().any()):
            raise EngineError("the model gave NaN instead of logits: its weights are broken; restore or retrain it")
        raise none_left(form)
