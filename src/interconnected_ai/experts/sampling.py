"""Which token comes next: cuts, draws and penalties on logits. Knows no model and no text."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interconnected_ai.config import GenerationConfig

# A nucleus rarely holds more tokens than this; where it does, the whole vocabulary is sorted.
_NUCLEUS_GUESS = 512
COLDEST = (
    1e-30  # a float32 number, whose quotient with 0 is 0; a colder temperature draws the likeliest token all the same
)
_LAST = 1.0 - 2.0**-40  # times the sum of the shares this stays below that sum, whatever the rounding


@dataclass(frozen=True)
class Candidates:
    """Tokens that may be drawn: logits over the temperature, (rows, m), -inf where a token may not be.

    token_ids: (rows, m), or None where m is the whole vocabulary in its order.
    """

    scaled: Tensor
    token_ids: Tensor | None = None

    def probabilities(self, vocab_size: int) -> Tensor:
        """(rows, vocab_size): how likely each token is to be drawn."""
        shares = self.scaled.softmax(dim=-1)
        if self.token_ids is None:
            return shares
        return shares.new_zeros(len(shares), vocab_size).scatter_(1, self.token_ids, shares)

    def draw(self, uniforms: Tensor) -> Tensor:
        """(rows,) token ids by inversion: the first whose cumulated share exceeds the row's uniform number, (rows,) float64."""
        shares = self.scaled.softmax(dim=-1).cumsum(dim=-1, dtype=torch.float64)
        wanted = uniforms.clamp(max=_LAST) * shares[:, -1]
        # Clamped for NaN alone, which is found behind the last place; whoever uses the token will see that it is NaN.
        places = torch.searchsorted(shares, wanted[:, None], right=True).clamp_(max=shares.shape[-1] - 1)
        return places[:, 0] if self.token_ids is None else self.token_ids.gather(1, places)[:, 0]


def narrow(logits: Tensor, config: GenerationConfig) -> Candidates:
    """What temperature, top_k, top_p and min_p leave of (rows, vocab) logits, each narrowing what the one before left.

    top_k: the k likeliest. top_p: the likeliest whose probabilities first reach p (Holtzman et al. 2020). min_p: those
    with at least this share of the likeliest one's probability (Nguyen et al. 2024). The likeliest always stays.
    """
    # At most 0, so that a tiny temperature cannot overflow.
    scaled = (logits - logits.amax(dim=-1, keepdim=True)) / max(config.temperature, COLDEST)
    token_ids: Tensor | None = None
    nucleus = config.top_p if config.top_p is not None and config.top_p < 1.0 else None
    if config.top_k is not None and config.top_k < scaled.shape[-1]:
        scaled, token_ids = scaled.topk(config.top_k)
        if nucleus is not None:
            scaled = _cut_beyond(nucleus, scaled, scaled.logsumexp(dim=-1, keepdim=True))
    elif nucleus is not None:
        scaled, token_ids = _nucleus(nucleus, scaled)
    if config.min_p:
        scaled = scaled.masked_fill(scaled < math.log(config.min_p), -math.inf)
    return Candidates(scaled, token_ids)


def _nucleus(share: float, scaled: Tensor) -> tuple[Tensor, Tensor]:
    """The nucleus, likeliest first. Sorting a vocabulary costs more than the rest of the draw, so the head is tried first."""
    total = scaled.logsumexp(dim=-1, keepdim=True)
    size = scaled.shape[-1]
    if size > 2 * _NUCLEUS_GUESS:
        best, token_ids = scaled.topk(_NUCLEUS_GUESS)
        if bool(((best - total).exp().sum(dim=-1) >= share).all()):
            return _cut_beyond(share, best, total), token_ids
    ordered, token_ids = scaled.sort(dim=-1, descending=True)
    return _cut_beyond(share, ordered, total), token_ids


def _cut_beyond(share: float, ordered: Tensor, total: Tensor) -> Tensor:
    """Logits, likeliest first, with -inf where the tokens before already hold `share` of the probability."""
    shares = (ordered - total).exp().double()
    before = shares.cumsum(dim=-1) - shares
    return ordered.masked_fill(before >= share, -math.inf)


class Penalties:
    """What a row has said counts against saying it again: repetition (Keskar et al. 2019), presence and frequency.

    And what counts for or against single tokens throughout: their bias.
    """

    def __init__(
        self, config: GenerationConfig, prompts: Sequence[Sequence[int]], vocab_size: int, device: torch.device
    ) -> None:
        self._config = config
        shape = (len(prompts), vocab_size)
        self._seen = torch.zeros(shape, dtype=torch.bool, device=device) if config.repetition_penalty != 1.0 else None
        counts_matter = config.presence_penalty or config.frequency_penalty
        self._counts = torch.zeros(shape, device=device) if counts_matter else None
        self._bias = _bias_of(config, vocab_size, device) if config.logit_bias else None
        if self._seen is not None:
            for row, prompt in enumerate(prompts):
                self._seen[row, torch.tensor(prompt, device=device)] = True

    def apply(self, logits: Tensor) -> Tensor:
        """(rows, vocab) → the same, with the bias added and the penalties taken off."""
        if self._bias is not None:
            logits = logits + self._bias
        if self._seen is not None:
            penalty = self._config.repetition_penalty
            punished = torch.where(logits > 0, logits / penalty, logits * penalty)
            logits = torch.where(self._seen, punished, logits)
        if self._counts is not None:
            logits = logits - self._config.frequency_penalty * self._counts
            logits = logits - self._config.presence_penalty * (self._counts > 0)
        return logits

    def note(self, token_ids: Tensor) -> None:
        """Each row has said one more token, (rows,)."""
        if self._seen is not None:
            self._seen.scatter_(1, token_ids[:, None], True)
        if self._counts is not None:
            self._counts.scatter_add_(1, token_ids[:, None], torch.ones_like(token_ids[:, None], dtype=torch.float32))

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order."""
        index = torch.tensor(rows, dtype=torch.long)
        if self._seen is not None:
            self._seen = self._seen[index.to(self._seen.device)]
        if self._counts is not None:
            self._counts = self._counts[index.to(self._counts.device)]


def _bias_of(config: GenerationConfig, vocab_size: int, device: torch.device) -> Tensor:
    """(vocab,)"""
    bias = torch.zeros(vocab_size, device=device)
    bias[torch.tensor([token for token, _ in config.logit_bias], device=device)] = torch.tensor(
        [value for _, value in config.logit_bias], device=device
    )
    return bias


class Uniforms:
    """Every row's random numbers in [0, 1), float64, one for each token it draws.

    A row's numbers follow from the seed and from how many equal prompts stand before it. What a prompt is answered does
    therefore not depend on what else is in the batch, and the same prompt given twice is answered twice. They are made some
    at a time: most answers end long before the most tokens that were allowed.
    """

    _NUM_AT_ONCE = 256

    def __init__(self, seed: int, prompts: Sequence[Sequence[int]], num_steps: int, device: torch.device) -> None:
        self._device, self._to_come = device, num_steps
        self._generators: list[torch.Generator] = []
        met: dict[tuple[int, ...], int] = {}
        for prompt in prompts:
            twins = met[tuple(prompt)] = met.get(tuple(prompt), -1) + 1
            self._generators.append(torch.Generator().manual_seed((seed + twins) % 2**63))
        self._table, self._place = torch.empty(len(prompts), 0), 0

    def next(self) -> Tensor:
        """(rows,): the numbers of the next token."""
        if self._place == self._table.shape[1]:
            number, self._place = min(self._NUM_AT_ONCE, self._to_come), 0
            drawn = [torch.rand(number, dtype=torch.float64, generator=one) for one in self._generators]
            self._table, self._to_come = torch.stack(drawn).to(self._device), self._to_come - number
        self._place += 1
        return self._table[:, self._place - 1]

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; none comes twice."""
        self._generators = [self._generators[row] for row in rows]
        self._table = self._table[list(rows)]


def fresh_seed(generator: torch.Generator | None = None) -> int:
    """A seed drawn from a generator; None is torch's own, so that `torch.manual_seed` decides."""
    device = "cpu" if generator is None else generator.device
    return int(torch.randint(2**62, (), generator=generator, device=device).item())


def ban(logits: Tensor, forbidden: Sequence[Sequence[int]]) -> Tensor:
    """(rows, vocab) with -inf at each row's forbidden tokens."""
    if not any(forbidden):
        return logits
    allowed = logits.clone()
    for row, token_ids in enumerate(forbidden):
        allowed[row, torch.tensor(token_ids, dtype=torch.long, device=logits.device)] = -math.inf
    return allowed
