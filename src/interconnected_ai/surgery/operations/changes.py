"""What operations do to a layer's tensors, what must hold before, and what its outputs must look like afterwards.

Every change returns the way back, and keeps for it only what would be lost: experts that go, in main memory, or whole stacks
on disk. A layer's stacks are most of a model, and a history of copies of them would double it.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from interconnected_ai.errors import ConfigError, IntegrityError, UnknownNameError
from interconnected_ai.surgery.anatomy.ffn import ExpertWeights, average
from interconnected_ai.surgery.anatomy.layer import Layer, Probe
from interconnected_ai.surgery.anatomy.places import stacks
from interconnected_ai.surgery.operations.history import exchange, let_go, reset
from interconnected_ai.surgery.routing.dressing import RouterState

Undo = Callable[[], None]

_ROUTER_ROWS = ("weight", "bias", "e_score_correction_bias")


def check_top_k(layer: Layer, top_k: int) -> None:
    """Raise `ConfigError` unless a token can take that many experts in this layer."""
    if isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1:
        raise ConfigError(f"top_k = {top_k!r}: needs a whole number of at least 1")
    fixed = layer.moe.family.routing.fixed_top_k
    if fixed is not None and top_k != fixed:
        raise ConfigError(f"top_k = {top_k}: the router of {layer.moe.family.name} always takes {fixed}")
    in_reach = layer.num_experts - len(layer.closed)
    if top_k > in_reach:
        raise ConfigError(
            f"top_k = {top_k}: layer {layer.number} has {in_reach} experts in reach; take that many or fewer"
        )
    num_groups, chosen = layer.groups
    allowed = in_reach // num_groups * chosen
    if top_k > allowed:
        raise ConfigError(
            f"top_k = {top_k}: in layer {layer.number} a token may use {chosen} of {num_groups} groups with {allowed} experts "
            "together; transformers would take masked experts without a word. Take fewer"
        )


def check_remaining(layer: Layer, order: Sequence[int]) -> None:
    """Raise `ConfigError` unless the layer still works with these experts alone."""
    if not order:
        raise ConfigError(f"layer {layer.number} would have no expert left; keep at least top-k = {layer.top_k}")
    in_reach = [each for each in order if each not in layer.closed]
    if len(in_reach) < layer.top_k:
        raise ConfigError(
            f"layer {layer.number} would have {len(in_reach)} experts in reach, and a token takes {layer.top_k}; lower "
            f"top-k first (set_top_k({max(len(in_reach), 1)}, layers=[{layer.number}]))"
        )
    num_groups, chosen = layer.groups
    size = layer.num_experts // num_groups
    left = [sum(each // size == group for each in order) for group in range(num_groups)]
    if len(set(left)) > 1 or (num_groups > 1 and left[0] < 2):
        raise ConfigError(
            f"layer {layer.number} chooses among {num_groups} groups of {size}, which would keep {left}; remove as many from "
            "each group, and leave two or more"
        )
    if layer.top_k > left[0] * chosen and num_groups > 1:
        raise ConfigError(
            f"layer {layer.number}: {chosen} groups of {left[0]} cannot give a token {layer.top_k}; lower top-k first"
        )


def check_order(layer: Layer, order: Sequence[int]) -> None:
    """Raise `ConfigError` unless this is every expert once, each within its group."""
    if sorted(order) != list(range(layer.num_experts)):
        raise ConfigError(f"order {list(order)}: needs every number from 0 to {layer.num_experts - 1} once")
    num_groups, _ = layer.groups
    size = layer.num_experts // num_groups
    homes = [{each // size for each in order[g * size : (g + 1) * size]} for g in range(num_groups)]
    if any(len(home) > 1 for home in homes):
        raise ConfigError(
            f"order {list(order)} moves experts between the {num_groups} groups that the router chooses first; keep them"
        )


def set_top_k(layers: Sequence[Layer], top_k: int) -> Undo:
    """Every copy that a router and its block keep."""
    undos = [
        reset(module, "top_k", top_k)
        for layer in layers
        for module in (layer.place.router, layer.place.block)
        if hasattr(module, "top_k")
    ]
    return lambda: _all(undos)


def replace(layer: Layer, expert: int, weights: ExpertWeights) -> Undo:
    """Write weights into the stack; the old ones are kept aside."""
    old = layer.read(expert).aside()
    _write(layer, expert, weights)
    return lambda: _write(layer, expert, old)


@torch.no_grad()
def rebuild(
    layer: Layer,
    order: Sequence[int],
    new: Sequence[ExpertWeights] = (),
    rows: dict[str, Tensor] | None = None,
    *,
    closed: bool = False,
) -> Undo:
    """Stack and router anew: position i holds the old expert order[i], or the new one order[i] - num_experts."""
    place, before = layer.place, layer.num_experts
    added = [place.layout.write(weights) for weights in new]
    undos = [_restack(layer, name, order, [each[name] for each in added]) for name in stacks(place.experts)]
    for name in _ROUTER_ROWS:
        tensor = getattr(place.router, name, None)
        if isinstance(tensor, Tensor):
            extra = [] if rows is None else list(rows[name])
            undos.append(exchange(place.router, name, _taken(tensor, order, extra)))
    undos += count(layer, len(order))
    shut = {position for position, each in enumerate(order) if each in layer.closed or (closed and each >= before)}
    bias = {position: layer.state.bias[each] for position, each in enumerate(order) if each in layer.state.bias}
    undos.append(_reshape_state(layer, frozenset(shut), bias))
    return lambda: _all(undos)


def merge(layer: Layer, experts: Sequence[int], shares: Sequence[float], order: Sequence[int]) -> Undo:
    """The mean into the first, the others out."""
    first = experts[0]
    mean = average([layer.read(each) for each in experts], list(shares))
    rows, old = _router_rows(layer, experts, shares), layer.read(first).aside()
    position = order.index(first)
    out = rebuild(layer, order)
    _write(layer, position, mean)
    for name, row in rows.items():
        getattr(layer.place.router, name).data[position] = row

    def undo() -> None:
        _write(layer, position, old)
        out()

    return undo


def let_in(layer: Layer, experts: Sequence[int], bias: float) -> Undo:
    """Open experts, with a bias on their logits (0 for none)."""
    state = layer.state
    biases = state.bias | (dict.fromkeys(experts, bias) if bias else {})
    return _reshape_state(layer, state.closed - set(experts), biases)


def placed(layer: Layer, num_new: int) -> tuple[list[int], tuple[int, ...]]:
    """The order of old and new experts, and the new ones' numbers: at the end, or at the end of each group."""
    there, (num_groups, _) = layer.num_experts, layer.groups
    if num_new % num_groups:
        raise ConfigError(
            f"layer {layer.number} chooses among {num_groups} equal groups; insert {num_groups} experts (or a multiple), "
            f"one for each group, not {num_new}"
        )
    size, share = there // num_groups, num_new // num_groups
    order: list[int] = []
    for group in range(num_groups):
        order += range(group * size, (group + 1) * size)
        order += range(there + group * share, there + (group + 1) * share)
    return order, tuple(position for position, each in enumerate(order) if each >= there)


def new_rows(
    layer: Layer, sources: Sequence[int | None], rows: Tensor | Mapping[str, Tensor] | None
) -> dict[str, Tensor]:
    """The router's rows for new experts: given, copied from a source, or the mean of all."""
    wanted = (len(sources), layer.d_model)
    given = {} if rows is None else {"weight": rows} if isinstance(rows, Tensor) else dict(rows)
    known = [name for name in _ROUTER_ROWS if isinstance(getattr(layer.router, name, None), Tensor)]
    for name in given:
        if name not in known:
            raise UnknownNameError("tensor of the router", name, known)
    weight = given.get("weight")
    if weight is not None and tuple(weight.shape) != wanted:
        raise ConfigError(f"rows are {tuple(weight.shape)}; needs {wanted}, one row of the router for each new expert")
    if not all(bool(torch.isfinite(each).all()) for each in given.values()):
        raise ConfigError("rows hold NaN or infinity; the router would choose nothing any more")
    made = {}
    for name in _ROUTER_ROWS:
        tensor = getattr(layer.router, name, None)
        if isinstance(tensor, Tensor):
            kept = tensor.detach()
            made[name] = torch.stack([kept.float().mean(dim=0).to(kept) if s is None else kept[s] for s in sources])
    return made | {name: row.detach().to(made[name]) for name, row in given.items() if name in made}


def brought(tensors: dict[str, Tensor]) -> tuple[list[ExpertWeights], dict[str, Tensor]]:
    """The experts and the router's rows in the tensors of an `insert`."""
    numbers = sorted({name.split(".")[0] for name in tensors if not name.startswith("row.")}, key=int)
    experts = [{n.partition(".")[2]: t for n, t in tensors.items() if n.split(".")[0] == number} for number in numbers]
    rows = {name.removeprefix("row."): tensor for name, tensor in tensors.items() if name.startswith("row.")}
    return [ExpertWeights(**each) for each in experts], rows


def merged(tensors: dict[str, Tensor]) -> list[tuple[int, int, ExpertWeights]]:
    """Layer, expert and weights in the tensors of a merged adapter."""
    places = sorted({tuple(map(int, name.split(".")[:2])) for name in tensors})
    return [
        (
            layer,
            expert,
            ExpertWeights(**{n.split(".")[2]: t for n, t in tensors.items() if n.startswith(f"{layer}.{expert}.")}),
        )
        for layer, expert in places
    ]


# What must hold afterwards


def finite(layer: Layer, before: Probe, after: Probe) -> None:
    """Outputs are numbers."""
    if not bool(torch.isfinite(after.out).all()):
        raise IntegrityError(f"layer {layer.number} gives NaN or infinity after the operation; it was taken back")


def same_bits(layer: Layer, before: Probe, after: Probe) -> None:
    """Outputs are what they were, to the last bit.

    On a GPU up to rounding, with a warning: its kernels may cut their work otherwise for another number of experts.
    """
    if torch.equal(before.out, after.out):
        return
    if before.out.device.type == "cpu":
        raise IntegrityError(
            f"layer {layer.number}: outputs changed, and should not have; the operation was taken back"
        )
    same_up_to_rounding(layer, before, after)
    warnings.warn(
        f"layer {layer.number}: outputs changed by rounding; the kernels of this {before.out.device.type} device round "
        "otherwise for another number of experts",
        stacklevel=5,
    )


def same_up_to_rounding(layer: Layer, before: Probe, after: Probe) -> None:
    """Outputs are what they were but for the order of sums."""
    finite(layer, before, after)
    room = 64 * torch.finfo(before.out.dtype).eps * before.out.abs().amax()
    if not bool(((before.out - after.out).abs() <= room).all()):
        raise IntegrityError(
            f"layer {layer.number}: outputs changed by more than rounding; the operation was taken back"
        )


def close(layer: Layer, before: Probe, after: Probe) -> None:
    """Outputs are what they were up to the rounding of a merge."""
    finite(layer, before, after)
    room = 1024 * torch.finfo(before.out.dtype).eps * before.out.abs().amax()
    if not bool(((before.out - after.out).abs() <= room).all()):
        raise IntegrityError(f"layer {layer.number}: merging changed outputs by more than rounding; it was taken back")


def others_equal(experts: set[int]) -> Callable[[Layer, Probe, Probe], None]:
    """Tokens that none of these experts serves keep their outputs to the last bit."""

    def expect(layer: Layer, before: Probe, after: Probe) -> None:
        finite(layer, before, after)
        served = sum((before.indices == expert for expert in experts), torch.zeros_like(before.indices)).any(dim=1)
        if not torch.equal(before.out[~served], after.out[~served]):
            raise IntegrityError(f"layer {layer.number}: tokens of other experts changed; the operation was taken back")

    return expect


def near(layer: Layer, before: Probe, after: Probe) -> None:
    """Outputs are what they were up to four bits: an error of half of their size would be a mistake, not rounding."""
    finite(layer, before, after)
    if float((after.out - before.out).float().norm()) > 0.5 * float(before.out.float().norm()):
        raise IntegrityError(
            f"layer {layer.number}: four bits change outputs by more than half of their size; the operation was taken back"
        )


def takes(top_k: int) -> Callable[[Layer, Probe, Probe], None]:
    """Every token takes exactly this many different experts."""

    def expect(layer: Layer, before: Probe, after: Probe) -> None:
        finite(layer, before, after)
        if any(len(set(row)) != top_k for row in after.indices.tolist()):
            raise IntegrityError(
                f"layer {layer.number}: tokens do not take {top_k} experts; the operation was taken back"
            )

    return expect


# Tensors


def _taken(stack: Tensor, order: Sequence[int], extra: Sequence[Tensor]) -> Tensor:
    """Those slices, one allocation: numbers beyond the stack's are extra ones."""
    kept = stack.detach()
    return torch.stack([kept[each] if each < len(kept) else extra[each - len(kept)].to(kept) for each in order])


def _restack(layer: Layer, name: str, order: Sequence[int], extra: Sequence[Tensor]) -> Undo:
    """A stack in another order. The way back takes what is still there, and keeps only the slices that went."""
    experts: nn.Module = layer.place.experts
    old = stacks(experts)[name]
    place = {each: position for position, each in enumerate(order)}
    there = range(len(old))
    gone = {each: old[each].detach().to("cpu", copy=True) for each in there if each not in place}
    experts._parameters[name] = nn.Parameter(_taken(old, order, extra), requires_grad=old.requires_grad)
    let_go(old)

    @torch.no_grad()
    def undo() -> None:
        now = stacks(experts)[name]
        old.data = torch.stack([now[place[each]] if each in place else gone[each].to(now) for each in there])
        experts._parameters[name] = old

    return undo


@torch.no_grad()
def _write(layer: Layer, expert: int, weights: ExpertWeights) -> None:
    slices = layer.place.layout.write(weights)
    for name, stack in stacks(layer.place.experts).items():
        stack.data[expert] = slices[name].to(stack)


def _router_rows(layer: Layer, experts: Sequence[int], shares: Sequence[float]) -> dict[str, Tensor]:
    """The weighted mean of these experts' rows."""
    rows = {}
    for name in _ROUTER_ROWS:
        tensor = getattr(layer.router, name, None)
        if isinstance(tensor, Tensor):
            picked = tensor.detach()[list(experts)].float()
            factors = torch.tensor(list(shares), device=picked.device).view(-1, *[1] * (picked.ndim - 1))
            rows[name] = (picked * factors).sum(dim=0).to(tensor.dtype)
    return rows


def count(layer: Layer, num_experts: int) -> list[Undo]:
    """Every copy of the number of experts that the layer keeps."""
    place = layer.place
    undos = [
        reset(module, "num_experts", num_experts)
        for module in (place.experts, place.router, place.block)
        if hasattr(module, "num_experts")
    ]
    if hasattr(place.router, "out_features"):
        undos.append(reset(place.router, "out_features", num_experts))
    return undos


def _reshape_state(layer: Layer, closed: frozenset[int], bias: dict[int, float]) -> Undo:
    old = layer.state
    layer.router.__dict__["surgery"] = RouterState(old.routing, closed, dict(bias), old.program)
    return lambda: layer.router.__dict__.__setitem__("surgery", old)


def _all(undos: Sequence[Undo]) -> None:
    for undo in reversed(undos):
        undo()
