"""What operations do to a layer's tensors. Every edit returns the way back.

It keeps for the way back only what would be lost: experts that go, in main memory. A layer's stacks are most of a model, and
a history of copies of them would double it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace as changed

import torch
from torch import Tensor, nn

from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.surgery.adapters.edited_experts import put_state as put_experts_state
from interconnected_ai.surgery.adapters.edited_experts import state_of
from interconnected_ai.surgery.anatomy.ffn import ExpertWeights, aligned, average, weights_of
from interconnected_ai.surgery.anatomy.layer import Layer
from interconnected_ai.surgery.anatomy.places import stacks
from interconnected_ai.surgery.operations.snapshot import Snapshot, Undo, all_of, exchange, let_go, reset
from interconnected_ai.surgery.routing.edited_router import RouterState, put_state
from interconnected_ai.surgery.routing.reach import Reach


def set_top_k(layers: Sequence[Layer], top_k: int) -> Undo:
    """Every copy that a router and its block keep."""
    undos = [
        reset(module, "top_k", top_k)
        for layer in layers
        for module in (layer.place.router, layer.place.block)
        if hasattr(module, "top_k")
    ]
    settled = [_state(layer, layer.state) for layer in layers]  # Gemma 4's own router takes one top-k for all layers
    return all_of([*undos, *settled])


def replace(before: Snapshot, layer: Layer, expert: int, weights: ExpertWeights) -> Undo:
    """Write weights into the stack; the old ones are kept aside."""
    old = layer.read(expert).aside()
    _write(before, layer, expert, weights)
    return lambda now: _write(now, layer, expert, old)


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
    for name, held in place.rows.items():
        extra = [] if rows is None else list(rows[name])
        taken = _taken(held.tensor.movedim(held.axis, 0), order, extra).movedim(0, held.axis)
        undos.append(exchange(held.owner, held.name, taken.contiguous()))
    undos += count(layer, len(order))
    shut = {position for position, each in enumerate(order) if each in layer.closed or (closed and each >= before)}
    bias = {position: layer.state.bias[each] for position, each in enumerate(order) if each in layer.state.bias}
    undos.append(_reshape_state(layer, frozenset(shut), bias, _led(layer.state.reach, order)))
    return all_of(undos)


@torch.no_grad()
def merge(
    before: Snapshot,
    layer: Layer,
    clusters: Sequence[tuple[Sequence[int], Sequence[float]]],
    order: Sequence[int],
    *,
    align: bool = False,
) -> Undo:
    """The mean of each cluster (experts, shares) into its first, the others out. align: order inner places as the first has."""
    found = [_mean(layer, experts, shares, align=align) for experts, shares in clusters]
    rows = [_router_rows(layer, experts, shares) for experts, shares in clusters]
    positions = [order.index(experts[0]) for experts, _ in clusters]
    old = [layer.read(experts[0]).aside() for experts, _ in clusters]
    out = rebuild(layer, order)
    for position, mean, mine in zip(positions, found, rows, strict=True):
        _write(before, layer, position, mean)
        for name, row in mine.items():
            held = layer.place.rows[name]
            before.write(held.tensor, (*[slice(None)] * held.axis, position), row)

    def undo(now: Snapshot) -> None:
        for position, weights in zip(positions, old, strict=True):
            _write(now, layer, position, weights)
        out(now)

    return undo


def _mean(layer: Layer, experts: Sequence[int], shares: Sequence[float], *, align: bool) -> ExpertWeights:
    members = [layer.read(each) for each in experts]
    if align:
        members = [members[0], *(aligned(each, members[0]) for each in members[1:])]
    return average(members, list(shares))


def let_in(layer: Layer, experts: Sequence[int], bias: float) -> Undo:
    """Open experts, with a bias on their logits (0 for none)."""
    state = layer.state
    biases = {**state.bias, **(dict.fromkeys(experts, bias) if bias else {})}
    return _reshape_state(layer, state.closed - set(experts), biases, state.reach)


def set_reach(layers: Sequence[Layer], reach: Reach) -> Undo:
    """How many experts a token takes in these layers, where that is not the same for all."""

    def put(layer: Layer, given: Reach) -> None:
        put_state(layer.router, changed(layer.state, reach=given))
        expect_fewer(layer, not given.plain)

    old = {layer.number: (layer, layer.state.reach) for layer in layers}
    for layer in layers:
        put(layer, reach)

    def undo(now: Snapshot) -> None:
        for layer, before in old.values():
            put(layer, before)

    return undo


def expect_fewer(layer: Layer, fewer: bool) -> None:
    """Let a layer's experts reckon with tokens that take fewer than others, or no longer."""
    put_experts_state(layer, changed(state_of(layer), fewer=fewer))


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
    for name in given:
        if name not in layer.place.rows:
            raise UnknownNameError("tensor of the router", name, layer.place.rows)
    weight = given.get("weight")
    if weight is not None and tuple(weight.shape) != wanted:
        raise ConfigError(f"rows are {tuple(weight.shape)}; needs {wanted}, one row of the router for each new expert")
    if not all(bool(torch.isfinite(each).all()) for each in given.values()):
        raise ConfigError("rows hold NaN or infinity; the router would choose nothing any more")
    made = {}
    for name, held in layer.place.rows.items():
        kept = held.tensor.detach().movedim(held.axis, 0)
        made[name] = torch.stack([kept.float().mean(dim=0).to(kept) if s is None else kept[s] for s in sources])
    return made | {name: row.detach().to(made[name]) for name, row in given.items() if name in made}


def brought(tensors: dict[str, Tensor]) -> tuple[list[ExpertWeights], dict[str, Tensor]]:
    """The experts and the router's rows in the tensors of an `insert`."""
    numbers = sorted({name.split(".")[0] for name in tensors if not name.startswith("row.")}, key=int)
    experts = [{n.partition(".")[2]: t for n, t in tensors.items() if n.split(".")[0] == number} for number in numbers]
    rows = {name.removeprefix("row."): tensor for name, tensor in tensors.items() if name.startswith("row.")}
    return [weights_of(each) for each in experts], rows


def merged(tensors: dict[str, Tensor]) -> list[tuple[int, int, ExpertWeights]]:
    """Layer, expert and weights in the tensors of a merged adapter."""
    places = sorted({tuple(map(int, name.split(".")[:2])) for name in tensors})
    return [
        (
            layer,
            expert,
            weights_of({n.split(".")[2]: t for n, t in tensors.items() if n.startswith(f"{layer}.{expert}.")}),
        )
        for layer, expert in places
    ]


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
    def undo(now: Snapshot) -> None:
        present = stacks(experts)[name]
        now.also(old)
        old.data = torch.stack([present[place[each]] if each in place else gone[each].to(present) for each in there])
        experts._parameters[name] = old

    return undo


@torch.no_grad()
def _write(before: Snapshot, layer: Layer, expert: int, weights: ExpertWeights) -> None:
    slices = layer.place.layout.write(weights)
    for name, stack in stacks(layer.place.experts).items():
        before.write(stack, expert, slices[name].to(stack))


def _router_rows(layer: Layer, experts: Sequence[int], shares: Sequence[float]) -> dict[str, Tensor]:
    """The weighted mean of these experts' rows."""
    rows = {}
    for name, held in layer.place.rows.items():
        picked = held.tensor.detach().movedim(held.axis, 0)[list(experts)].float()
        factors = torch.tensor(list(shares), device=picked.device).view(-1, *[1] * (picked.ndim - 1))
        rows[name] = (picked * factors).sum(dim=0).to(held.tensor.dtype)
    return rows


def count(layer: Layer, num_experts: int) -> list[Undo]:
    """Every copy of the number of experts that the layer keeps."""
    place = layer.place
    undos = [
        reset(module, "num_experts", num_experts)
        for module in (place.experts, place.router, place.block)
        if hasattr(module, "num_experts")
    ]
    owner = place.rows["weight"].owner
    if hasattr(owner, "out_features"):
        undos.append(reset(owner, "out_features", num_experts))
    return undos


def _led(reach: Reach, order: Sequence[int]) -> Reach:
    """The same under the experts' new numbers; those that go lead no more."""
    led = {position: reach.led[each] for position, each in enumerate(order) if each in reach.led}
    return changed(reach, led=led)


def _reshape_state(layer: Layer, closed: frozenset[int], bias: Mapping[int, float], reach: Reach) -> Undo:
    return _state(layer, changed(layer.state, closed=closed, bias=dict(bias), reach=reach))


def _state(layer: Layer, state: RouterState) -> Undo:
    """Let a layer's router do this besides routing; the way back leaves its program, which is the session's."""
    old = layer.state
    put_state(layer.router, state)
    return lambda now: put_state(layer.router, changed(layer.state, closed=old.closed, bias=old.bias, reach=old.reach))
