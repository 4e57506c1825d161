"""Beam search: the answer that is likeliest as a whole, as far as a few candidates at a time can find it."""

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interconnected_ai.experts.answers import Ending, as_generation, none_left, token_steps
from interconnected_ai.experts.asked import Asked
from interconnected_ai.experts.constraint import Progress, restrict
from interconnected_ai.experts.decoder import Decoder
from interconnected_ai.experts.reader import Reader
from interconnected_ai.experts.sampling import Penalties, ban
from interconnected_ai.experts.text_rules import Written
from interconnected_ai.types import Generation, TokenStep


@dataclass(frozen=True)
class _Beam:
    """A candidate: the beam it continues, its last token, and the sum of its log probabilities."""

    score: float
    before: "_Beam | None" = None
    step: TokenStep | None = None
    written: Written | None = None
    progress: Progress | None = None

    def steps(self) -> list[TokenStep]:
        """All its tokens, first to last."""
        found: list[TokenStep] = []
        beam: _Beam | None = self
        while beam is not None and beam.step is not None:
            found.append(beam.step)
            beam = beam.before
        return found[::-1]


@dataclass(frozen=True)
class _Finished:
    """A candidate that has ended, with its score over length ** length_penalty."""

    score: float
    beam: _Beam
    ended: Ending


def beam_search(decoder: Decoder, asked: Asked) -> Generator[None, None, list[Generation]]:
    """The best of `config.num_beams` beams for each prompt.

    Each step keeps the num_beams likeliest candidates that go on; those among the best num_beams that end are set aside
    with their score. A prompt is done when no beam that goes on, were it to end now, would beat the worst of num_beams
    ended ones. These are the rules of transformers with early_stopping=False; penalties act on log probabilities.
    Yields None after every step, where it may be closed.
    """
    prompts, config = asked.prompts, asked.config
    searches = [_Search(row, asked) for row in range(len(prompts))]
    reader = Reader(decoder, prompts, config)
    logits = reader.start()
    penalties = Penalties(config, prompts, logits.shape[-1], logits.device)
    going = list(searches)
    for number in range(1, config.max_new_tokens + 1):
        places = _advance(going, logits, penalties, number)
        going = [search for search in going if search.beams]
        if not going:
            break
        chosen = [beam.step.token_id for search in going for beam in search.beams if beam.step is not None]
        token_ids = torch.tensor(chosen, device=logits.device)
        reader.select(places)
        penalties.select(places)
        penalties.note(token_ids)
        logits = reader.step(chosen, token_ids)
        yield None
    return [search.best() for search in searches]


def _advance(going: Sequence["_Search"], logits: Tensor, penalties: Penalties, number: int) -> list[int]:
    """Let every search choose its next beams; returns the row that each of them continues, all searches' in turn."""
    with torch.inference_mode():
        shares = penalties.apply(logits.log_softmax(dim=-1))
        beams = [beam for search in going for beam in search.beams]
        shares = ban(shares, [beam.written.banned() if beam.written else [] for beam in beams])
        shares = restrict(shares, [beam.progress for beam in beams])
    places, first = [], 0
    for search in going:
        last = first + len(search.beams)
        places += [first + row for row in search.advance(shares[first:last], logits[first:last], number)]
        first = last
    return places


class _Search:
    """The search of one prompt."""

    def __init__(self, row: int, asked: Asked) -> None:
        self._row, self._asked, self._config = row, asked, asked.config
        written = None if asked.rules is None else asked.rules.begin(asked.prompts[row])
        progress = None if asked.constraint is None else asked.constraint.begin()
        self.beams = [_Beam(0.0, written=written, progress=progress)]
        self._finished: list[_Finished] = []

    def advance(self, shares: Tensor, logits: Tensor, number: int) -> list[int]:
        """Choose the beams of `number` tokens, given (beams, vocab) log probabilities; returns which beam each continues."""
        wanted = self._config.num_beams
        going: list[tuple[int, _Beam]] = []
        for rank, (place, beam) in enumerate(self._candidates(shares, logits)):
            ended = self._ending(beam, number)
            if ended is None:
                going.append((place, beam))
            elif rank < wanted:
                self._finished.append(_Finished(beam.score / number**self._config.length_penalty, beam, ended))
        self._finished = sorted(self._finished, key=lambda one: -one.score)[:wanted]
        going = going[:wanted]
        if self._is_done(going, number):
            going = []
        self.beams = [beam for _, beam in going]
        return [place for place, _ in going]

    def _candidates(self, shares: Tensor, logits: Tensor) -> Iterator[tuple[int, _Beam]]:
        """The likeliest continuations, best first: twice as many as beams, so that enough go on where many end."""
        total = shares + torch.tensor([beam.score for beam in self.beams], device=shares.device)[:, None]
        scores, flat = total.flatten().topk(min(2 * self._config.num_beams, total.numel()))
        places, token_ids = flat // total.shape[1], flat % total.shape[1]
        steps = token_steps(logits[places], token_ids, [self._row] * len(places), self._config.logprobs)
        for score, place, step in zip(scores.tolist(), places.tolist(), steps, strict=True):
            if not math.isfinite(score):  # a forbidden token, or no number at all
                continue
            yield place, self._longer(self.beams[place], score, step)

    def _longer(self, beam: _Beam, score: float, step: TokenStep) -> _Beam:
        written, progress = beam.written, beam.progress
        if not self._is_end(step):
            written = None if written is None else written.plus(step.token_id)
            progress = None if progress is None else progress.plus(step.token_id)
        return _Beam(score, beam, step, written, progress)

    def _is_end(self, step: TokenStep) -> bool:
        return step.token_id in self._asked.end_ids

    def _ending(self, beam: _Beam, number: int) -> Ending | None:
        assert beam.step is not None
        if self._is_end(beam.step):
            return "eos"
        if beam.written is not None and beam.written.stop_at is not None:
            return "stop"
        if beam.progress is not None and beam.progress.is_over:
            return "eos"
        return "length" if number == self._config.max_new_tokens else None

    def _is_done(self, going: Sequence[tuple[int, _Beam]], number: int) -> bool:
        if not going:
            return True
        best = going[0][1].score / number**self._config.length_penalty
        return len(self._finished) == self._config.num_beams and best <= self._finished[-1].score

    def best(self) -> Generation:
        """The best answer that has ended."""
        if not self._finished:
            raise none_left(self._config.form, "beam search found no answer: the model gave NaN instead of logits, or ")
        found = self._finished[0]
        steps = found.beam.steps()
        if self._is_end(steps[-1]):
            steps = steps[:-1]
        noted = steps if self._config.logprobs is not None else []
        token_ids = [step.token_id for step in steps]
        return as_generation(token_ids, found.ended, noted, found.beam.written, self._asked.tokenizer, self._asked.form)
