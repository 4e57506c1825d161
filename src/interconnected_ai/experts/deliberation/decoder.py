"""`MixedDecoder`: the decoders of several experts as one, whose logits are those of their mixture."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from interconnected_ai.experts.deliberation.mixture import RunningWeights, mixed
from interconnected_ai.experts.deliberation.voices import Voices, in_order


class MixedDecoder:
    """A `Decoder` over the members' voices, which share a vocabulary.

    begin: (rows) → what the members' words weigh. power: of the mean, see `mixed`. num_evidence: so many of the prompt's last
    tokens already show who foretells well, where every member's decoder can read several tokens at once.
    Threads: one at a time.
    """

    def __init__(
        self, voices: Sequence[Voices], begin: Callable[[int], RunningWeights], *, power: float, num_evidence: int
    ) -> None:
        self._voices, self._begin, self._power = list(voices), begin, power
        self._num_evidence = num_evidence if all(each.can_extend for each in voices) else 0
        self.weights: RunningWeights
        self._log_probs: Tensor  # (rows, k, vocab_size) of the next token
        self._heard = torch.zeros(sum(len(each.places) for each in voices), dtype=torch.float64)

    @property
    def vocab_size(self) -> int:
        """Logits per row."""
        return self._voices[0].vocab_size

    @property
    def max_seq_len(self) -> int:
        """The smallest window."""
        return min(each.max_seq_len for each in self._voices)

    @property
    def shares(self) -> Tensor:
        """(k,) what each member's word weighed on the average of all tokens so far; equal before the first."""
        total = self._heard.sum()
        return self._heard / total if total > 0 else torch.full_like(self._heard, 1 / len(self._heard))

    @torch.inference_mode()
    def start(self, prompts: Sequence[Sequence[int]], capacity: int) -> Tensor:
        """Every member reads the prompts; see `Decoder.start`."""
        self.weights = self._begin(len(prompts))
        evidence = max(0, min(self._num_evidence, min(map(len, prompts)) - 1))
        heads = [list(prompt[: len(prompt) - evidence]) for prompt in prompts]
        log_probs = self._normed([each.start(heads, capacity) for each in self._voices])
        if evidence:
            said = torch.tensor([list(prompt[len(prompt) - evidence :]) for prompt in prompts])
            read = [each.extend(said) for each in self._voices]  # (rows, members, evidence, vocab)
            for place in range(evidence):
                self._observe(log_probs, said[:, place])
                log_probs = self._normed([logits[:, :, place] for logits in read])
        return self._mixed(log_probs)

    @torch.inference_mode()
    def step(self, token_ids: Tensor) -> Tensor:
        """Every member reads the token, after it has said whose word weighs how much."""
        self._observe(self._log_probs, token_ids)
        return self._mixed(self._normed([each.step(token_ids) for each in self._voices]))

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; a row may come several times or not at all."""
        index = torch.tensor(list(rows), dtype=torch.long)
        self.weights.select(index)
        self._log_probs = self._log_probs[index]
        for each in self._voices:
            each.select(rows)

    def _normed(self, logits: Sequence[Tensor]) -> Tensor:
        """Logits of each voice's members → (rows, k, vocab) log-probabilities, in memory of their own."""
        return in_order(self._voices, logits).float().log_softmax(-1)

    def _mixed(self, log_probs: Tensor) -> Tensor:
        self._log_probs = log_probs
        self._heard += self.weights.log_weights.exp().mean(0)
        return mixed(self.weights.log_weights, log_probs, self._power)

    def _observe(self, log_probs: Tensor, token_ids: Tensor) -> None:
        index = token_ids.view(-1, 1, 1).expand(-1, log_probs.shape[1], 1)
        self.weights.observe(log_probs.gather(2, index).squeeze(-1))
