"""The token router: which FFN experts a token goes to, and how evenly tokens spread over them."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, eq=False)
class Routing:
    """What a token router decided for a batch of tokens; figures are computed when they are asked for.

    logits: (num_tokens, num_experts); weights, indices: (num_tokens, top_k). Padding is not among the tokens.
    """

    logits: Tensor
    weights: Tensor
    indices: Tensor

    @property
    def num_experts(self) -> int:
        """How many FFN experts there are to choose from."""
        return self.logits.shape[-1]

    @cached_property
    def tokens_per_expert(self) -> Tensor:
        """(num_experts,) how many (token, choice) pairs each expert got, as integers."""
        return torch.bincount(self.indices.flatten(), minlength=self.num_experts)

    @property
    def utilization(self) -> Tensor:
        """(num_experts,) share of all assignments that each expert got; sums to 1, perfect balance is 1/num_experts."""
        return self.tokens_per_expert / self.tokens_per_expert.sum().clamp(min=1)

    @property
    def entropy(self) -> Tensor:
        """Entropy of `utilization` over its maximum: 1 when all experts are used alike, 0 when one gets everything."""
        share = self.utilization
        return -(share * share.clamp(min=1e-12).log()).sum() / torch.log(torch.tensor(float(self.num_experts)))

    @property
    def dead_experts(self) -> list[int]:
        """Experts that got no token at all."""
        return (self.tokens_per_expert == 0).nonzero().flatten().tolist()

    def balance_loss(self, tokens_per_expert: Tensor | None = None) -> Tensor:
        """Load-balancing loss: L = E · Σₑ fₑ · Pₑ, where perfect balance is 1.0 for every E and k.

        fₑ is the share of the assignments that expert e got, Pₑ the mean router probability of e (Shazeer et al. 2017;
        GShard; Switch Transformer, eq. 4). Hugging Face's `load_balancing_loss_func` takes fₑ per token instead of per
        assignment, so its perfect balance is k: divide its coefficients' effect by k to compare.

        tokens_per_expert: counts to take f from instead of this batch's own, for instance summed over all processes.
        """
        counts = self.tokens_per_expert if tokens_per_expert is None else tokens_per_expert
        share = counts / counts.sum().clamp(min=1)  # float32, whatever the logits are
        probability = self.logits.float().softmax(dim=-1).mean(dim=0) if len(self.logits) else share * 0
        return self.num_experts * (share * probability).sum()

    def z_loss(self) -> Tensor:
        """Mean squared log-partition of the router logits, which keeps them small (ST-MoE, Zoph et al. 2022, eq. 5)."""
        if not len(self.logits):
            return self.logits.sum()
        return self.logits.float().logsumexp(dim=-1).square().mean()


class TokenRouter(nn.Module):
    """A linear gate and its k best experts: p = W · x, weights = softmax over the chosen k (Shazeer et al. 2017).

    normalize: True takes the softmax over the chosen k only; False takes it over all experts first (Switch). With one
    choice the former is always 1 and the router would learn nothing from the task, so k = 1 defaults to the latter.
    """

    def __init__(
        self,
        d_model: int,
        num_experts: int,
        top_k: int,
        *,
        normalize: bool | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not 1 <= top_k <= num_experts:
            raise ValueError(f"top_k={top_k} of num_experts={num_experts}: needs 1 ≤ top_k ≤ num_experts")
        self.top_k, self.num_experts = top_k, num_experts
        self.normalize = top_k > 1 if normalize is None else normalize
        self.weight = nn.Parameter(torch.empty(num_experts, d_model))
        nn.init.normal_(self.weight, std=0.02, generator=generator)

    def forward(self, hidden: Tensor) -> Routing:
        """hidden: (num_tokens, d_model), padding left out."""
        logits = F.linear(hidden, self.weight)  # (num_tokens, num_experts)
        best, indices = logits.topk(self.top_k, dim=-1)
        weights = best.softmax(dim=-1) if self.normalize else logits.softmax(dim=-1).gather(-1, indices)
        return Routing(logits, weights, indices)
