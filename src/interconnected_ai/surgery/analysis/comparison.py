"""Two mixtures side by side: which experts are whose, what else differs, how far the answers lie apart."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from interconnected_ai.errors import ConfigError
from interconnected_ai.surgery.analysis.texts import batches, perplexity, token_rows
from interconnected_ai.surgery.anatomy.evaluation import evaluating
from interconnected_ai.surgery.anatomy.ffn import ExpertWeights
from interconnected_ai.surgery.anatomy.layer import Layer
from interconnected_ai.surgery.model import MoE
from interconnected_ai.surgery.settings import need_count, need_kind, need_texts

_UNLIKE = 1.0  # two independent experts of one size lie √2 of their length apart


@dataclass(frozen=True)
class ExpertOrigin:
    """Where an expert of the second model comes from.

    was: its number in the first, None for a new one. difference: ‖now − was‖ / ‖was‖ over all its matrices; 0 is the same.
    """

    number: int
    was: int | None
    difference: float


@dataclass(frozen=True)
class LayerDifference:
    """One layer of both models. num_experts, top_k, closed: (first, second). gone: the first's experts that the second lacks.

    router: ‖now − was‖ / ‖was‖ over the rows of the experts that both have, paired as the experts are.
    """

    number: int
    num_experts: tuple[int, int]
    top_k: tuple[int, int]
    closed: tuple[int, int]
    experts: tuple[ExpertOrigin, ...]
    gone: tuple[int, ...]
    router: float

    @property
    def moved(self) -> int:
        """Experts with another number than they had."""
        return sum(each.was is not None and each.was != each.number for each in self.experts)

    @property
    def changed(self) -> int:
        """Experts whose numbers are no longer quite what they were."""
        return sum(each.was is not None and each.difference > 0 for each in self.experts)

    @property
    def new(self) -> int:
        """Experts that are like none of the first model's."""
        return sum(each.was is None for each in self.experts)

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        pairs = (self.num_experts, self.top_k, self.closed)
        same_numbers = all(one == other for one, other in pairs)
        return same_numbers and not (self.moved or self.changed or self.new or self.gone or self.router)


@dataclass(frozen=True)
class Distance:
    """How far the answers lie apart on the same tokens. num_tokens: how many were compared.

    largest: of the logits' differences. divergence: mean KL(first ‖ second) of the next token, in nats. agreement: share of
    tokens where both find the same one likeliest.
    """

    num_tokens: int
    largest: float
    divergence: float
    agreement: float


@dataclass(frozen=True)
class Comparison:
    """What differs between two mixtures, the first and the second.

    names, num_params, size_bytes: (first, second). only_first, only_second, reshaped: tensors outside experts and routers.
    tensors: name → ‖now − was‖ / ‖was‖, of those that differ. besides: rules, roles, adapters and packing that one of them has.
    distance: on the texts, or on some tokens where there are none. perplexities: domain → (first, second).
    """

    names: tuple[str, str]
    family: tuple[str, str]
    num_params: tuple[int, int]
    size_bytes: tuple[int, int]
    layers: tuple[LayerDifference, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    reshaped: tuple[str, ...]
    tensors: dict[str, float]
    besides: tuple[str, ...]
    distance: Distance
    perplexities: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def same(self) -> bool:
        """Whether both are one model, to the last bit of what they keep."""
        outside = (self.only_first, self.only_second, self.reshaped, self.tensors, self.besides)
        return all(layer.same for layer in self.layers) and not any(outside)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        return {**asdict(self), "same": self.same}


@torch.no_grad()
def compare(
    first: MoE,
    second: MoE,
    texts: Mapping[str, Sequence[str]] | None = None,
    *,
    names: tuple[str, str] = ("first", "second"),
    max_tokens: int = 256,
    batch_size: int = 8,
) -> Comparison:
    """What differs between two opened mixtures.

    texts: domain → texts, read by each model's own tokenizer for perplexity, and by the first's for the distance.
    max_tokens: of each text. Nothing is changed. Raises `ConfigError` for models of different families or layers, which have
    nothing to pair.
    """
    need_kind("first", first, MoE)
    need_kind("second", second, MoE)
    need_texts(names, "names")
    if len(names) != 2:
        raise ConfigError(f"names = {names!r:.80}: needs two, one for each model")
    if texts is not None:
        need_kind("texts", texts, Mapping)
    need_count("max_tokens", max_tokens, 2)
    need_count("batch_size", batch_size)
    _check_pair(first, second)
    outside = _outside(first), _outside(second)
    shared = [name for name in outside[0] if name in outside[1]]
    shapes = {name: outside[0][name].shape == outside[1][name].shape for name in shared}
    differences = {name: _apart([outside[0][name]], [outside[1][name]]) for name in shared if shapes[name]}
    sizes = first.sizes(), second.sizes()
    return Comparison(
        names=names,
        family=(first.family.name, second.family.name),
        num_params=(sizes[0].num_params, sizes[1].num_params),
        size_bytes=(sizes[0].size_bytes, sizes[1].size_bytes),
        layers=tuple(_layer(a, b) for a, b in zip(first.layers, second.layers, strict=True)),
        only_first=tuple(sorted(set(outside[0]) - set(outside[1]))),
        only_second=tuple(sorted(set(outside[1]) - set(outside[0]))),
        reshaped=tuple(name for name in shared if not shapes[name]),
        tensors={name: apart for name, apart in differences.items() if apart > 0},
        besides=tuple(_besides(first, second)),
        distance=_distance(first, second, texts, max_tokens, batch_size),
        perplexities={
            domain: (
                perplexity(first, some, max_tokens=max_tokens, batch_size=batch_size),
                perplexity(second, some, max_tokens=max_tokens, batch_size=batch_size),
            )
            for domain, some in (texts or {}).items()
        },
    )


def _check_pair(first: MoE, second: MoE) -> None:
    for what, one, other in (
        ("families", first.family.name, second.family.name),
        ("layers with experts", [each.number for each in first.layers], [each.number for each in second.layers]),
        ("widths", first.layers.all[0].d_model, second.layers.all[0].d_model),
    ):
        if one != other:
            raise ConfigError(
                f"the two have different {what}, {one} and {other}: compare models that come from one another"
            )


def _outside(moe: MoE) -> dict[str, Tensor]:
    """All tensors but those of experts and routers."""
    inside = tuple(
        f"{layer.place.name}.{part}." for layer in moe.layers for part in ("experts", layer.place.router_name)
    )
    return {name: tensor for name, tensor in moe.model.state_dict().items() if not name.startswith(inside)}


def _layer(first: Layer, second: Layer) -> LayerDifference:
    experts = tuple(_origins(first, second))
    kept = {each.was for each in experts if each.was is not None}
    pairs = [(each.was, each.number) for each in experts if each.was is not None]
    return LayerDifference(
        number=first.number,
        num_experts=(first.num_experts, second.num_experts),
        top_k=(first.top_k, second.top_k),
        closed=(len(first.closed), len(second.closed)),
        experts=experts,
        gone=tuple(number for number in range(first.num_experts) if number not in kept),
        router=_routers_apart(first, second, pairs),
    )


def _origins(first: Layer, second: Layer) -> Iterator[ExpertOrigin]:
    """Every expert of the second layer beside the one of the first that it is, or is nearest to.

    Pairs of the same bits go first, under the same number where there is a choice; of the rest the nearest pairs.
    """
    was = [_marks(first.read(number)) for number in range(first.num_experts)]
    now = [_marks(second.read(number)) for number in range(second.num_experts)]
    paired: dict[int, tuple[int, float]] = {}
    for number, marks in enumerate(now):
        equal = [each for each in range(len(was)) if torch.equal(was[each], marks)]
        exact = [each for each in equal if _apart_experts(first, each, second, number) == 0]
        if exact:
            paired[number] = (number if number in exact else exact[0]), 0.0
    taken = {each for each, _ in paired.values()}
    left = [number for number in range(len(now)) if number not in paired]
    free = [number for number in range(len(was)) if number not in taken]
    far = {(a, b): _apart_experts(first, a, second, b) for a in free for b in left if was[a].shape == now[b].shape}
    for (a, b), apart in sorted(far.items(), key=lambda item: item[1]):
        if apart < _UNLIKE and b not in paired and a not in taken:
            paired[b] = a, apart
            taken.add(a)
    for number in range(len(now)):
        yield ExpertOrigin(number, *paired.get(number, (None, 0.0)))


def _marks(weights: ExpertWeights) -> Tensor:
    """A few numbers by which equal experts are found before they are compared whole."""
    return torch.cat([tensor.flatten()[:8].float().cpu() for tensor in weights.tensors().values()])


def _apart_experts(first: Layer, a: int, second: Layer, b: int) -> float:
    was, now = first.read(a).tensors(), second.read(b).tensors()
    return _apart(list(was.values()), [now[name] for name in was])


def _routers_apart(first: Layer, second: Layer, pairs: Sequence[tuple[int, int]]) -> float:
    was, now = dict(first.router.named_parameters()), dict(second.router.named_parameters())
    if not pairs:
        return 0.0
    old, new = [a for a, _ in pairs], [b for _, b in pairs]
    per_expert = [name for name in was if name in now and len(was[name]) == first.num_experts]
    return _apart([was[name][old] for name in per_expert], [now[name][new] for name in per_expert])


def _apart(was: Sequence[Tensor], now: Sequence[Tensor]) -> float:
    """‖now − was‖ / ‖was‖ of all of them together; 0 for the same bits alone."""
    if all(torch.equal(a.cpu(), b.cpu()) for a, b in zip(was, now, strict=True)):
        return 0.0
    pairs = [(a.double().cpu(), b.double().cpu()) for a, b in zip(was, now, strict=True)]
    apart: float = sum(float((b - a).square().sum()) for a, b in pairs) ** 0.5
    length: float = sum(float(a.square().sum()) for a, _ in pairs) ** 0.5
    return max(apart / max(length, 1e-30), 5e-324)


def _besides(first: MoE, second: MoE) -> Iterator[str]:
    for which, one, other in (("first", first, second), ("second", second, first)):
        rules = [rule for rule in one.program.rules if rule not in other.program.rules]
        roles = [name for name in one.program.roles if name not in other.program.roles]
        adapters = [name for name in one.adapters if name not in other.adapters]
        packed = [layer.number for layer in one.layers if layer.packed and not other.layers[layer.number].packed]
        for words, things in (("rules", rules), ("roles", roles), ("adapters", adapters), ("packed layers", packed)):
            if things:
                yield f"only the {which} has the {words} {', '.join(map(str, things))}"


def _distance(
    first: MoE, second: MoE, texts: Mapping[str, Sequence[str]] | None, max_tokens: int, batch_size: int
) -> Distance:
    some = [text for each in (texts or {}).values() for text in each]
    rows = token_rows(first, some, max_tokens) if some else _some_tokens(first)
    num_tokens, largest, divergence, agreed = 0, 0.0, 0.0, 0
    with evaluating(first.model), evaluating(second.model):
        for batch in batches(first, rows, batch_size):
            real = batch.mask.bool()
            ours, theirs = (
                moe.model(batch.ids, attention_mask=batch.mask, use_cache=False).logits[real].float()
                for moe in (first, second)
            )
            width = min(ours.shape[-1], theirs.shape[-1])  # a role's token may have been added
            ours, theirs = ours[:, :width], theirs[:, :width]
            num_tokens += len(ours)
            largest = max(largest, float((ours - theirs).abs().max()))
            kl = F.kl_div(theirs.log_softmax(-1), ours.log_softmax(-1), log_target=True, reduction="sum")
            divergence += max(float(kl), 0.0)
            agreed += int((ours.argmax(-1) == theirs.argmax(-1)).sum())
    return Distance(num_tokens, largest, divergence / num_tokens, agreed / num_tokens)


def _some_tokens(moe: MoE) -> list[list[int]]:
    size = moe.model.config.get_text_config().vocab_size
    return torch.randint(size, (4, 32), generator=torch.Generator().manual_seed(0)).tolist()
