"""`MixedDecoder`: the decoders of several experts as one, whose logits are those of their mixture."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from interconnected_ai.experts.decoder import Decoder, can_extend
from interconnected_ai.experts.deliberation.mixture import RunningWeights, mixed


class MixedDecoder:
    """A `Decoder` over the members' decoders, which share a vocabulary.

    begin: (rows) → what the members' words weigh. power: of the mean, see `mixed`. num_evidence: so many of the prompt's last
    tokens already show who foretells well, where every member's decoder can read several tokens at once.
    Threads: one at a time.
    """

    def __init__(
        self, members: Sequence[Decoder], begin: Callable[[int], RunningWeights], *, power: float, num_evidence: int
    ) -> None:
        self._members, self._begin, self._power = list(members), begin, power
        self._num_evidence = num_evidence if all(can_extend(member) for member in members) else 0
        self.weights: RunningWeights
        self._log_probs: Tensor  # (rows, k, vocab_size) of the next token

    @property
    def vocab_size(self) -> int:
        """Logits per row."""
        return self._members[0].vocab_size

    @property
    def max_seq_len(self) -> int:
        """The smallest window."""
        return min(member.max_seq_len for member in self._members)

    @torch.inference_mode()
    def start(self, prompts: Sequence[Sequence[int]], capacity: int) -> Tensor:
        """Every member reads the prompts; see `Decoder.start`."""
        self.weights = self._begin(len(prompts))
        evidence = max(0, min(self._num_evidence, min(map(len, prompts)) - 1))
        heads = [list(prompt[: len(prompt) - evidence]) for prompt in prompts]
        log_probs = _normed([member.start(heads, capacity) for member in self._members])
        if evidence:
            said = torch.tensor([list(prompt[len(prompt) - evidence :]) for prompt in prompts])
            read = [member.extend(said) for member in self._members if can_extend(member)]  # (rows, evidence, vocab)
            for place in range(evidence):
                self._observe(log_probs, said[:, place])
                log_probs = _normed([logits[:, place] for logits in read])
        return self._mixed(log_probs)

    @torch.inference_mode()
    def step(self, token_ids: Tensor) -> Tensor:
        """Every member reads the token, after it has said whose word weighs how much."""
        self._observe(self._log_probs, token_ids)
        return self._mixed(_normed([member.step(token_ids) for member in self._members]))

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; a row may come several times or not at all."""
        index = torch.tensor(list(rows), dtype=torch.long)
        self.weights.select(index)
        self._log_probs = self._log_probs[index]
        for member in self._members:
            member.select(rows)

    def _mixed(self, log_probs: Tensor) -> Tensor:
        self._log_probs = log_probs
        return mixed(self.weights.log_weights, log_probs, self._power)

    def _observe(self, log_probs: Tensor, token_ids: Tensor) -> None:
        index = token_ids.view(-1, 1, 1).expand(-1, log_probs.shape[1], 1)
        self.weights.observe(log_probs.gather(2, index).squeeze(-1))


def _normed(logits: Sequence[Tensor]) -> Tensor:
    """(rows, vocab) logits of each member → (rows, k, vocab) log-probabilities, in memory of their own."""
    return torch.stack(list(logits), dim=1).float().log_softmax(-1)
