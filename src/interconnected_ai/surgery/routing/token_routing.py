"""How each family's token router goes from logits to chosen FFN experts and their weights, bit for bit as transformers does.

The rules are written once more here because an edited router must put something between logits and choice: a closed expert,
a bias, a program. Tests compare every rule with the router it stands for.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Added to a forced expert's score where choice and weight are separate (DeepSeek-V3): above any sigmoid plus correction.
_CHOSEN = 1e4


@dataclass(frozen=True)
class Scores:
    """What a router knows of the FFN experts that are open.

    logits: (tokens, experts). correction: DeepSeek-V3's additive numbers for the choice, None elsewhere. forced: (tokens,
    experts) true where a program wants the expert chosen. dtype: of the hidden states.
    """

    logits: Tensor
    correction: Tensor | None
    forced: Tensor | None
    dtype: torch.dtype


Choose = Callable[[nn.Module, Scores], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class TokenRouting:
    """One family's way from hidden states to a choice.

    kind: what weighs the experts, in words. choose: → weights and indices, both (tokens, top_k).
    float32: the product runs in float32 whatever the weights' dtype.
    sigmoid: scores are independent of each other. constant_at_one: with top_k = 1 is the weight 1 whatever the logits, so
    that no gradient reaches the router? fixed_top_k: the only top_k the rule knows. returns_scores: the router returns
    (scores, logits) instead of (logits, weights, indices).
    """

    kind: str
    choose: Choose
    constant_at_one: Callable[[nn.Module], bool]
    float32: bool = False
    float_logits: bool = False
    sigmoid: bool = False
    fixed_top_k: int | None = None
    returns_scores: bool = False

    @property
    def scales_by_setting(self) -> bool:
        """Whether the config's `norm_topk_prob` says if the chosen weights are scaled to sum to 1."""
        return self.constant_at_one is _by_setting

    def logits(self, router: nn.Module, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The product with the router's rows, (tokens, experts)."""
        if self.float32:
            return F.linear(hidden.type(torch.float32), weight.type(torch.float32))
        jitter = getattr(router, "input_jitter_noise", 0.0)
        if router.training and jitter > 0:
            hidden = hidden * torch.empty_like(hidden).uniform_(1.0 - jitter, 1.0 + jitter)
        logits = F.linear(hidden, weight, bias)
        return logits.float() if self.float_logits else logits

    def probabilities(self, logits: Tensor) -> Tensor:
        """What the balance loss takes for the share of each expert: softmax, or sigmoids scaled to sum to 1."""
        if not self.sigmoid:
            return logits.float().softmax(dim=-1)
        scores = logits.float().sigmoid()
        # the floor is far above the 1e-20 with which routers have been seen to shrink all scores and fool the loss
        return scores / scores.sum(dim=-1, keepdim=True).clamp_min(1e-6)


def _softmax(*, renormalise: bool | None, keep_float: bool = False) -> Choose:
    """Softmax over all, then the k largest; renormalise: None asks the router's `norm_topk_prob`."""

    def choose(router: nn.Module, scores: Scores) -> tuple[Tensor, Tensor]:
        probabilities = torch.softmax(scores.logits, dim=-1, dtype=torch.float)
        weights, indices = torch.topk(probabilities, _top_k(router), dim=-1)
        if _renormalises(router, renormalise):
            weights = weights / weights.sum(dim=-1, keepdim=True)
        return weights if keep_float else weights.to(scores.logits.dtype), indices

    return choose


def _top_k_then_softmax(router: nn.Module, scores: Scores) -> tuple[Tensor, Tensor]:
    """The k largest logits, softmax over those (gpt-oss, Granite)."""
    logits, indices = torch.topk(scores.logits, _top_k(router), dim=-1)
    return torch.softmax(logits, dim=-1).to(scores.dtype), indices


def _deepseek_v2(router: nn.Module, scores: Scores) -> tuple[Tensor, Tensor]:
    """Softmax; with groups only experts of the best groups can be chosen."""
    known: Any = router
    probabilities = scores.logits.softmax(dim=-1, dtype=torch.float32)
    if known.topk_method == "group_limited_greedy":
        grouped = probabilities.view(len(probabilities), known.num_group, -1)
        best = torch.topk(grouped.amax(dim=-1), k=known.topk_group, dim=-1, sorted=False)[1]
        probabilities = probabilities.masked_fill(~_in_groups(grouped, best), 0.0)
    weights, indices = torch.topk(probabilities, k=_top_k(router), dim=-1, sorted=False)
    return weights * known.routed_scaling_factor, indices


def _deepseek_v3(router: nn.Module, scores: Scores) -> tuple[Tensor, Tensor]:
    """Sigmoids weigh, sigmoids plus a correction choose, within the best groups."""
    known: Any = router
    assert scores.correction is not None, "a DeepSeek-V3 router has a correction"
    sigmoids = scores.logits.sigmoid()
    choice = sigmoids + scores.correction
    choice = choice.masked_fill(scores.logits == float("-inf"), float("-inf"))
    if scores.forced is not None:
        choice = choice + _CHOSEN * scores.forced
    grouped = choice.view(len(choice), known.num_group, -1)
    best = torch.topk(grouped.topk(2, dim=-1)[0].sum(dim=-1), k=known.topk_group, dim=-1, sorted=False)[1]
    choice = choice.masked_fill(~_in_groups(grouped, best), float("-inf"))
    indices = torch.topk(choice, k=_top_k(router), dim=-1, sorted=False)[1]
    weights = sigmoids.gather(1, indices)
    if known.norm_topk_prob:
        weights = weights / (weights.sum(dim=-1, keepdim=True) + 1e-20)
    return weights * known.routed_scaling_factor, indices


def _sparse_mixer(router: nn.Module, scores: Scores) -> tuple[Tensor, Tensor]:
    """Two experts by SparseMixer (Liu et al. 2024), as the family's own file has it."""
    known: Any = router
    mixer = sys.modules[type(router).__mro__[_own(router)].__module__].sparsemixer
    weights, indices = mixer(scores.logits, jitter_eps=known.router_jitter_noise, training=router.training, top_k=2)
    return weights, indices


def _llama4(router: nn.Module, scores: Scores) -> tuple[Tensor, Tensor]:
    """The k largest logits, each through its own sigmoid."""
    logits, indices = torch.topk(scores.logits, _top_k(router), dim=1)
    return torch.sigmoid(logits.float()).to(scores.logits.dtype), indices


def _own(router: nn.Module) -> int:
    """Where in the method resolution order the family's own class stands (an edited router is a subclass of it)."""
    return next(i for i, each in enumerate(type(router).__mro__) if "sparsemixer" in vars(sys.modules[each.__module__]))


def _in_groups(grouped: Tensor, best: Tensor) -> Tensor:
    """(tokens, experts) true for the experts of the chosen groups."""
    mask = torch.zeros(grouped.shape[:2], dtype=torch.bool, device=grouped.device).scatter_(1, best, True)
    return mask.unsqueeze(-1).expand_as(grouped).reshape(len(grouped), -1)


def _top_k(router: nn.Module) -> int:
    top_k = router.top_k
    assert isinstance(top_k, int), "a router's top_k is a number"
    return top_k


def _renormalises(router: nn.Module, always: bool | None) -> bool:
    return bool(router.norm_topk_prob) if always is None else always


def _by_setting(router: nn.Module) -> bool:
    return bool(router.norm_topk_prob)


def _always(router: nn.Module) -> bool:
    return True


def _never(router: nn.Module) -> bool:
    return False


SOFTMAX = TokenRouting("softmax over all", _softmax(renormalise=None), _by_setting)
SOFTMAX_RENORMALISED = TokenRouting("softmax over all, scaled to sum to 1", _softmax(renormalise=True), _always)
MIXTRAL = TokenRouting("softmax over all, scaled to sum to 1", _softmax(renormalise=True, keep_float=True), _always)
TOP_K_SOFTMAX = TokenRouting("softmax over the chosen", _top_k_then_softmax, _always)
GRANITE = TokenRouting("softmax over the chosen", _top_k_then_softmax, _always, float_logits=True)
DEEPSEEK_V2 = TokenRouting("softmax over all", _deepseek_v2, _never, float32=True)
DEEPSEEK_V3 = TokenRouting("sigmoids, chosen with a correction", _deepseek_v3, _by_setting, float32=True, sigmoid=True)
SPARSE_MIXER = TokenRouting("SparseMixer", _sparse_mixer, _never, fixed_top_k=2)
LLAMA4 = TokenRouting("sigmoids of the chosen", _llama4, _never, sigmoid=True, returns_scores=True)
