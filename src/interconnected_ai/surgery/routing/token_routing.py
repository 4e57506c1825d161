"""How each family's token router goes from logits to chosen FFN experts and their weights, bit for bit as transformers does.

The rules are written once more here because an edited router must put something between logits and choice: a closed expert,
a bias, a program. Tests compare every rule with the router it stands for.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from interconnected_ai.mixtures import Mixture

# Added to a forced expert's score where choice and weight are separate (DeepSeek-V3): above any sigmoid plus correction.
_CHOSEN = 1e4


@dataclass(frozen=True)
class Scores:
    """What a router knows of the FFN experts that are open.

    logits: (tokens, experts). correction: additive numbers for the choice alone (DeepSeek-V3), None elsewhere. forced: (tokens,
    experts) true where a program wants the expert chosen. dtype: of the hidden states. scale: a factor on each expert's weight
    (Gemma 4), None elsewhere. top_k: how many are chosen; None is the router's own number.
    """

    logits: Tensor
    correction: Tensor | None
    forced: Tensor | None
    dtype: torch.dtype
    scale: Tensor | None = None
    top_k: int | None = None


Choose = Callable[[nn.Module, Scores], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class TokenRouting:
    """One family's way from hidden states to a choice.

    kind: what weighs the experts, in words. choose: → weights and indices, both (tokens, top_k).
    float32: the product runs in float32 whatever the weights' dtype.
    float_logits: the product runs in the weights' dtype, and its result in float32.
    sigmoid: scores are independent of each other. constant_at_one: with top_k = 1 is the weight 1 whatever the logits, so
    that no gradient reaches the router? fixed_top_k: the only top_k the rule knows. returns_scores: the router returns
    (scores, logits) instead of (logits, weights, indices); returns_probabilities: it returns them in the logits' place.
    prepare: what the router does to hidden states before its product. softcap: the router's attribute that bounds its logits.
    top_k_in_config: the family's own router reads its top_k from the config that all layers share, under this name.
    matrix, correction, scale: where a router's numbers stand, below it; "" for none, or where it is given them as it runs.
    """

    kind: str
    choose: Choose
    constant_at_one: Callable[[nn.Module], bool]
    float32: bool = False
    float_logits: bool = False
    sigmoid: bool = False
    fixed_top_k: int | None = None
    returns_scores: bool = False
    returns_probabilities: bool = False
    prepare: Callable[[nn.Module, Tensor], Tensor] | None = None
    softcap: str = ""
    top_k_in_config: str = ""
    matrix: str = "weight"
    correction: str = ""
    scale: str = ""

    @property
    def scales_by_setting(self) -> bool:
        """Whether the config's `norm_topk_prob` says if the chosen weights are scaled to sum to 1."""
        return self.constant_at_one is _by_setting

    def logits(self, router: nn.Module, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The product with the router's rows, (tokens, experts)."""
        if self.prepare is not None:
            hidden = self.prepare(router, hidden)
        if self.float32:
            return F.linear(hidden.type(torch.float32), weight.type(torch.float32))
        jitter = getattr(router, "input_jitter_noise", 0.0)
        if router.training and jitter > 0:
            hidden = hidden * torch.empty_like(hidden).uniform_(1.0 - jitter, 1.0 + jitter)
        logits = F.linear(hidden.to(weight.dtype), weight, bias)  # HunYuan's matrix stays float32 in a model of 16 bits
        logits = logits.float() if self.float_logits else logits
        cap = float(getattr(router, self.softcap)) if self.softcap else 0.0
        return torch.tanh(logits / cap) * cap if cap > 0.0 else logits

    def unpacked(self, router: nn.Module, output: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, weights and indices out of what a router returned."""
        if self.returns_scores:  # Llama 4: a score for every expert, zero where it was not chosen
            scores, logits = output
            known: Any = router
            taken = (scores > 0).sum(dim=-1).max() if len(scores) else 0  # a request may ask for another number
            weights, indices = scores.topk(max(known.top_k, int(taken)), dim=-1)
            return logits, weights, indices.masked_fill(weights == 0, scores.shape[1])
        logits, weights, indices = output
        return (logits.log() if self.returns_probabilities else logits), weights, indices

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
        weights, indices = torch.topk(probabilities, _top_k(router, scores), dim=-1)
        if _renormalises(router, renormalise):
            weights = weights / weights.sum(dim=-1, keepdim=True)
        return weights if keep_float else weights.to(scores.logits.dtype), indices

    return choose


def _top_k_then_softmax(router: nn.Module, scores: Scores) -> tuple[Tensor, Tensor]:
    """The k largest logits, softmax over those (gpt-oss, Granite)."""
    logits, indices = torch.topk(scores.logits, _top_k(router, scores), dim=-1)
    return torch.softmax(logits, dim=-1).to(scores.dtype), indices


def _deepseek_v2(router: nn.Module, scores: Scores) -> tuple[Tensor, Tensor]:
    """Softmax; with groups only experts of the best groups can be chosen."""
    known: Any = router
    probabilities = scores.logits.softmax(dim=-1, dtype=torch.float32)
    if known.topk_method == "group_limited_greedy":
        grouped = probabilities.view(len(probabilities), known.num_group, -1)
        best = torch.topk(grouped.amax(dim=-1), k=known.topk_group, dim=-1, sorted=False)[1]
        probabilities = probabilities.masked_fill(~_in_groups(grouped, best), 0.0)
    weights, indices = torch.topk(probabilities, k=_top_k(router, scores), dim=-1, sorted=False)
    return weights * known.routed_scaling_factor, indices


def _deepseek_v3(*, in_order: bool = False, scaled: bool = True, elsewhere: float = float("-inf")) -> Choose:
    """Sigmoids weigh, sigmoids plus a correction choose, within the best groups.

    in_order: the chosen come best first. scaled: by `routed_scaling_factor`, which BEAM's block does after the experts.
    elsewhere: what the experts of other groups score (A.X-K2: 0, which may still be the best).
    """

    def choose(router: nn.Module, scores: Scores) -> tuple[Tensor, Tensor]:
        known: Any = router
        assert scores.correction is not None, "a DeepSeek-V3 router has a correction"
        sigmoids = scores.logits.sigmoid()
        banned = scores.logits == float("-inf")
        choice = _corrected(sigmoids, scores)
        if known.num_group is not None:
            grouped = choice.view(len(choice), known.num_group, -1)
            of_groups = grouped.topk(2, dim=-1)[0].sum(dim=-1)
            best = torch.topk(of_groups, k=known.topk_group, dim=-1, sorted=in_order)[1]
            choice = choice.masked_fill(~_in_groups(grouped, best), elsewhere).masked_fill(banned, float("-inf"))
        indices = torch.topk(choice, k=_top_k(router, scores), dim=-1, sorted=in_order)[1]
        weights = sigmoids.gather(1, indices)
        if known.norm_topk_prob:
            weights = weights / (weights.sum(dim=-1, keepdim=True) + 1e-20)
        return (weights * known.routed_scaling_factor if scaled else weights), indices

    return choose


def _corrected(weights: Tensor, scores: Scores) -> Tensor:
    """What the choice goes by where it is not the weights: a correction added, forced experts above all, banned ones below."""
    choice = weights if scores.correction is None else weights + scores.correction
    choice = choice.masked_fill(scores.logits == float("-inf"), float("-inf"))
    return choice if scores.forced is None else choice + _CHOSEN * scores.forced


def _by_correction(
    score: Callable[[nn.Module, Tensor], Tensor],
    *,
    in_order: bool,
    renormalise: bool | None = True,
    epsilon: float = 0.0,
    scale: str = "",
    cast: bool = False,
) -> Choose:
    """Scores weigh, scores plus a correction choose.

    renormalise: None asks the router's `norm_topk_prob`. scale: the router's attribute that multiplies the weights.
    cast: to the hidden states' dtype.
    """

    def choose(router: nn.Module, scores: Scores) -> tuple[Tensor, Tensor]:
        weights = score(router, scores.logits)
        indices = torch.topk(_corrected(weights, scores), _top_k(router, scores), dim=-1, sorted=in_order)[1]
        weights = weights.gather(1, indices)
        if _renormalises(router, renormalise):
            weights = weights / (weights.sum(dim=-1, keepdim=True) + epsilon)
        if scale:
            weights = weights * getattr(router, scale)
        return weights.to(scores.dtype) if cast else weights, indices

    return choose


def _sigmoid(router: nn.Module, logits: Tensor) -> Tensor:
    return logits.sigmoid()


def _float_sigmoid(router: nn.Module, logits: Tensor) -> Tensor:
    return logits.float().sigmoid()


def _own_score(router: nn.Module, logits: Tensor) -> Tensor:
    """The function that the config names (DeepSeek-V4, Inkling 2)."""
    known: Any = router
    score: Tensor = known.score_fn(logits)
    return score


def _kolibri(router: nn.Module, scores: Scores) -> tuple[Tensor, Tensor]:
    """Logits plus a correction choose, sigmoids weigh."""
    known: Any = router
    indices = torch.topk(_corrected(scores.logits, scores), _top_k(router, scores), dim=-1)[1]
    weights = scores.logits.gather(1, indices).sigmoid()
    return (weights / weights.sum(dim=-1, keepdim=True) if known.norm_topk_prob else weights), indices


def _ernie(router: nn.Module, scores: Scores) -> tuple[Tensor, Tensor]:
    """Softmax weighs, softmax plus a correction chooses; scaled to sum to 1, but never by less than `norm_min`."""
    known: Any = router
    weights = F.softmax(scores.logits, dim=1, dtype=torch.float)
    indices = torch.topk(_corrected(weights, scores), _top_k(router, scores), dim=-1)[1]
    weights = weights.gather(-1, indices)
    weights = weights / torch.clamp(weights.sum(dim=-1, keepdim=True), min=known.norm_min)
    return weights.to(scores.dtype), indices


def _gemma4(router: nn.Module, scores: Scores) -> tuple[Tensor, Tensor]:
    """Softmax over all, scaled to sum to 1, then by each expert's own factor."""
    assert scores.scale is not None, "a Gemma 4 router has a factor for each expert"
    weights, indices = torch.topk(F.softmax(scores.logits, dim=-1, dtype=torch.float32), _top_k(router, scores), dim=-1)
    return weights / weights.sum(dim=-1, keepdim=True) * scores.scale[indices], indices


def _normed(router: nn.Module, hidden: Tensor) -> Tensor:
    """What Gemma 4's router makes of hidden states before its product."""
    known: Any = router
    normed: Tensor = known.norm(hidden) * known.scale * known.scalar_root_size
    return normed


def _cohere(router: nn.Module, scores: Scores) -> tuple[Tensor, Tensor]:
    """The k largest logits, softmax over those or each through its sigmoid, as the config says."""
    known: Any = router
    weights, indices = torch.topk(scores.logits, _top_k(router, scores), dim=-1)
    if known.expert_selection_fn == "softmax":
        weights = F.softmax(weights, dim=1, dtype=torch.float)
    else:
        weights = F.sigmoid(weights)
        weights = weights / torch.sum(weights, dim=-1, keepdim=True) if known.norm_topk_prob else weights
    return weights.to(scores.dtype), indices


def _sparse_mixer(router: nn.Module, scores: Scores) -> tuple[Tensor, Tensor]:
    """Two experts by SparseMixer (Liu et al. 2024), as the family's own file has it."""
    known: Any = router
    mixer = sys.modules[type(router).__mro__[_own(router)].__module__].sparsemixer
    weights, indices = mixer(scores.logits, jitter_eps=known.router_jitter_noise, training=router.training, top_k=2)
    return weights, indices


def _llama4(router: nn.Module, scores: Scores) -> tuple[Tensor, Tensor]:
    """The k largest logits, each through its own sigmoid."""
    logits, indices = torch.topk(scores.logits, _top_k(router, scores), dim=1)
    return torch.sigmoid(logits.float()).to(scores.logits.dtype), indices


def _own(router: nn.Module) -> int:
    """Where in the method resolution order the family's own class stands (an edited router is a subclass of it)."""
    return next(i for i, each in enumerate(type(router).__mro__) if "sparsemixer" in vars(sys.modules[each.__module__]))


def _in_groups(grouped: Tensor, best: Tensor) -> Tensor:
    """(tokens, experts) true for the experts of the chosen groups."""
    mask = torch.zeros(grouped.shape[:2], dtype=torch.bool, device=grouped.device).scatter_(1, best, True)
    return mask.unsqueeze(-1).expand_as(grouped).reshape(len(grouped), -1)


def _top_k(router: nn.Module, scores: Scores) -> int:
    if scores.top_k is not None:
        return scores.top_k
    top_k = router.top_k
    assert isinstance(top_k, int), "a router's top_k is a number"
    return top_k


def _renormalises(router: nn.Module, always: bool | None) -> bool:
    return bool(router.norm_topk_prob) if always is None else always


def _by_setting(router: nn.Module) -> bool:
    return bool(router.norm_topk_prob)


def _by_softmax_or_setting(router: nn.Module) -> bool:
    return router.expert_selection_fn == "softmax" or _by_setting(router)


def _always(router: nn.Module) -> bool:
    return True


def _never(router: nn.Module) -> bool:
    return False


_CORRECTED_SIGMOIDS = "sigmoids, chosen with a correction"

# A rule by the name that rows of `mixtures` call it by.
RULES = {
    "softmax": TokenRouting("softmax over all", _softmax(renormalise=None), _by_setting),
    "softmax as it is": TokenRouting("softmax over all", _softmax(renormalise=False), _never),
    "softmax renormalised": TokenRouting("softmax over all, scaled to sum to 1", _softmax(renormalise=True), _always),
    "mixtral": TokenRouting(
        "softmax over all, scaled to sum to 1", _softmax(renormalise=True, keep_float=True), _always
    ),
    "hunyuan": TokenRouting("softmax over all, scaled to sum to 1", _softmax(renormalise=True), _always),
    "top-k softmax": TokenRouting("softmax over the chosen", _top_k_then_softmax, _always),
    "granite": TokenRouting("softmax over the chosen", _top_k_then_softmax, _always, float_logits=True),
    "cohere": TokenRouting("softmax over the chosen, or their sigmoids", _cohere, _by_softmax_or_setting),
    "ernie": TokenRouting("softmax over all, chosen with a correction", _ernie, _always, float32=True),
    "gemma4": TokenRouting(
        "softmax over all, scaled to sum to 1, a factor for each expert", _gemma4, _always,
        returns_probabilities=True, prepare=_normed, top_k_in_config="top_k_experts",
    ),
    "deepseek_v2": TokenRouting("softmax over all", _deepseek_v2, _never, float32=True),
    "deepseek_v3": TokenRouting(_CORRECTED_SIGMOIDS, _deepseek_v3(), _by_setting, float32=True, sigmoid=True),
    "deepseek_v3, sorted": TokenRouting(
        _CORRECTED_SIGMOIDS, _deepseek_v3(in_order=True, scaled=False), _by_setting, float32=True, sigmoid=True
    ),
    "deepseek_v3, zeros": TokenRouting(
        _CORRECTED_SIGMOIDS, _deepseek_v3(elsewhere=0.0), _by_setting, float32=True, sigmoid=True
    ),
    "sigmoid corrected": TokenRouting(
        _CORRECTED_SIGMOIDS, _by_correction(_float_sigmoid, in_order=False), _always, sigmoid=True
    ),
    "sigmoid corrected, scaled": TokenRouting(
        _CORRECTED_SIGMOIDS, _by_correction(_sigmoid, in_order=False, epsilon=1e-20, scale="router_scaling_factor"), _always,
        float32=True, sigmoid=True,
    ),
    "afmoe": TokenRouting(
        _CORRECTED_SIGMOIDS, _by_correction(_sigmoid, in_order=True, epsilon=1e-20, scale="route_scale"), _always,
        float_logits=True, sigmoid=True,
    ),
    "lfm2": TokenRouting(
        _CORRECTED_SIGMOIDS,
        _by_correction(_sigmoid, in_order=True, renormalise=None, epsilon=1e-6, scale="routed_scaling_factor"),
        _by_setting, sigmoid=True,
    ),
    "laguna": TokenRouting(
        _CORRECTED_SIGMOIDS, _by_correction(_sigmoid, in_order=True, cast=True), _always,
        float_logits=True, sigmoid=True, softcap="router_logit_softcapping",
    ),
    "flint": TokenRouting(
        "sigmoids", _by_correction(_sigmoid, in_order=True, renormalise=None), _by_setting, float32=True, sigmoid=True
    ),
    "kolibri": TokenRouting("sigmoids of logits chosen with a correction", _kolibri, _by_setting, float32=True, sigmoid=True),
    "own score, corrected": TokenRouting(
        "a score that the config names, chosen with a correction",
        _by_correction(_own_score, in_order=False, epsilon=1e-20, scale="routed_scaling_factor"), _always, sigmoid=True,
    ),
    "own score, corrected, float32": TokenRouting(
        "a score that the config names, chosen with a correction",
        _by_correction(_own_score, in_order=False, epsilon=1e-20, scale="routed_scaling_factor"), _always,
        float32=True, sigmoid=True,
    ),
    "sparsemixer": TokenRouting("SparseMixer", _sparse_mixer, _never, fixed_top_k=2),
    "llama4": TokenRouting("sigmoids of the chosen", _llama4, _never, sigmoid=True, returns_scores=True),
}  # fmt: skip


def routing_of(row: Mixture) -> TokenRouting:
    """How the routers of a family choose, and where their numbers stand."""
    router, _, correction = row.correction.partition(".")
    own = correction if router == "gate" else ""  # a block hands its router the correction that it keeps itself
    return replace(RULES[row.rule], matrix=row.matrix, correction=own, scale=row.scale)
