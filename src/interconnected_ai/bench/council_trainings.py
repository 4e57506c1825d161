"""Trainings that are compared: one text, one tokenizer, one loop; dense models, seeds, and experts that branch from them."""

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from interconnected_ai.bench.domain_texts import Domain
from interconnected_ai.config import ExpertConfig, ExpertTrainingConfig, Precision
from interconnected_ai.experts import ExpertModel, HeldOut
from interconnected_ai.planner import expert_size, expert_training_flops
from interconnected_ai.text import Tokenizer
from interconnected_ai.training import fit_expert

_HELD_TOKENS = 16_384  # that choose the weights which are kept


@dataclass(frozen=True)
class Trained:
    """A model with what it took. tokens: read in its own training. flops: of that training."""

    model: ExpertModel
    tokens: int
    flops: float
    seconds: float

    @property
    def num_params(self) -> int:
        """Of the model."""
        return self.model.get_num_params()


class Trainings:
    """Makes models of domains, each once: who asks again is handed the same.

    domains: their training documents are what is learnt, validation documents choose which weights are kept.
    folder: for checkpoints while one trains. Threads: one at a time.
    """

    def __init__(
        self,
        domains: Sequence[Domain],
        tokenizer: Tokenizer,
        folder: Path,
        *,
        batch_size: int,
        precision: Precision,
        seed: int,
    ) -> None:
        self.tokenizer = tokenizer
        self._folder, self._batch_size, self._precision, self._seed = folder, batch_size, precision, seed
        self._streams = {one.name: _stream([doc.text for doc in one.train], tokenizer) for one in domains}
        self._held = {one.name: HeldOut.of([doc.text for doc in one.validation], tokenizer) for one in domains}
        self._made: dict[tuple[object, ...], Trained] = {}

    def tokens_of(self, names: Sequence[str]) -> int:
        """To learn from in these domains."""
        return sum(len(self._streams[name]) for name in names)

    def dense(self, names: Sequence[str], shape: ExpertConfig, steps: int, lr: float) -> Trained:
        """One model of these domains together, from random weights."""
        return self._trained(tuple(names), shape, steps, lr, None)

    def branch(self, name: str, seed: Trained, steps: int, lr: float) -> Trained:
        """A model of one domain that begins where `seed` ended."""
        return self._trained((name,), seed.model.config, steps, lr, seed)

    def _trained(
        self, names: tuple[str, ...], shape: ExpertConfig, steps: int, lr: float, start: Trained | None
    ) -> Trained:
        key = (names, shape, steps, lr, id(start))
        if key not in self._made:
            self._made[key] = self._train(names, shape, steps, lr, start)
        return self._made[key]

    def _train(
        self, names: tuple[str, ...], shape: ExpertConfig, steps: int, lr: float, start: Trained | None
    ) -> Trained:
        began = time.perf_counter()
        if start is None:
            model = ExpertModel.from_config(shape, generator=torch.Generator().manual_seed(self._seed))
        else:
            model = deepcopy(start.model)
        tokens = np.concatenate([self._streams[name][:-1] for name in names] + [self._streams[names[-1]][-1:]])
        config = ExpertTrainingConfig(
            epochs=100_000, max_steps=steps, batch_size=self._batch_size, lr=lr, warmup_steps=max(1, steps // 20),
            evaluate_every_steps=max(1, steps // 4), evaluation_tokens=_HELD_TOKENS, checkpoint_every_steps=10**9,
            keep_checkpoints=1, precision=self._precision, seed=self._seed, monitors=(),
        )  # fmt: skip
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            fit_expert(model, tokens, self._held_out(names), config, folder, silent=True)
        read = steps * self._batch_size * shape.max_seq_len
        return Trained(model, read, expert_training_flops(shape, read), time.perf_counter() - began)

    def _held_out(self, names: Sequence[str]) -> HeldOut:
        """As many tokens of each domain's validation documents, so that evaluating takes little."""
        kept: list[np.ndarray] = []
        share, num_bytes = _HELD_TOKENS // len(names), 0.0
        for name in names:
            held, room = self._held[name], share
            for document in held.documents:
                if room <= 0:
                    break
                kept.append(document[:room])
                num_bytes += held.num_bytes / held.num_tokens * len(kept[-1])
                room -= len(kept[-1])
        return HeldOut(kept, max(1, round(num_bytes)), self.tokenizer.start_id)


@contextmanager
def opened(
    domains: Sequence[Domain], vocab_size: int, *, batch_size: int, precision: Precision, seed: int
) -> Iterator[Trainings]:
    """Trainings on these domains, whose checkpoints are gone afterwards."""
    tokenizer = Tokenizer.train((one.text for domain in domains for one in domain.train), vocab_size)
    with tempfile.TemporaryDirectory(prefix="council-") as folder:
        yield Trainings(domains, tokenizer, Path(folder), batch_size=batch_size, precision=precision, seed=seed)


def widened(shape: ExpertConfig, num_params: int) -> ExpertConfig:
    """The shape of the width that comes nearest to so many parameters, heads as wide as before."""
    width = shape.head_width
    candidates = [
        shape.with_changes(d_model=heads * width, n_heads=heads)
        for heads in range(1, 2 + math.ceil(shape.n_heads * num_params / expert_size(shape).num_params))
    ]
    return min(candidates, key=lambda one: abs(expert_size(one).num_params - num_params))


def _stream(texts: Sequence[str], tokenizer: Tokenizer) -> np.ndarray:
    """The texts as one stream of tokens, an end token before each and after the last."""
    ids = [tokenizer.end_id, *(token for one in tokenizer.encode_batch(texts, end=True) for token in one)]
    return np.array(ids, dtype=np.uint16)
