"""What operations do to a layer's tensors. Every edit returns the way back.

It keeps for the way back only what would be lost: experts that go, in main memory. A layer's stacks are most of a model, and
a history of copies of them would double it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace as changed

import torch
from torch import Tensor, nn

from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.surgery.anatomy.ffn import ExpertWeights, average
from interconnected_ai.surgery.anatomy.layer import Layer
from interconnected_ai.surgery.anatomy.places import stacks
from interconnected_ai.surgery.operations.snapshot import Snapshot, Undo, all_of, exchange, let_go, reset
from interconnected_ai.surgery.routing.edited_router import put_state

_ROUTER_ROWS = ("weight", "bias", "e_score_correction_bias")


def set_top_k(layers: Sequence[Layer], top_k: int) -> Undo:
    """Every copy that a router and its block keep."""
    undos = [
        reset(module, "top_k", top_k)
        for layer in layers
        for module in (layer.place.router, layer.place.block)
        if hasattr(module, "top_k")
    ]
    return all_of(undos)


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
    for name in _ROUTER_ROWS:
        tensor = getattr(place.router, name, None)
        if isinstance(tensor, Tensor):
            extra = [] if rows is None else list(rows[name])
            undos.append(exchange(place.router, name, _taken(tensor, order, extra)))
    undos += count(layer, len(order))
    shut = {position for position, each in enumerate(order) if each in layer.closed or (closed and each >= before)}
    bias = {position: layer.state.bias[each] for position, each in enumerate(order) if each in layer.state.bias}
    undos.append(_reshape_state(layer, frozenset(shut), bias))
    return all_of(undos)


@torch.no_grad()
def merge(
    before: Snapshot, layer: Layer, experts: Sequence[int], shares: Sequence[float], order: Sequence[int]
) -> Undo:
    """The mean into the first, the others out."""
    first = experts[0]
    mean = average([layer.read(each) for each in experts], list(shares))
    rows, old = _router_rows(layer, experts, shares), layer.read(first).aside()
    position = order.index(first)
    out = rebuild(layer, order)
    _write(before, layer, position, mean)
    for name, row in rows.items():
        before.write(getattr(layer.place.router, name), position, row)

    def undo(now: Snapshot) -> None:
        _write(now, layer, position, old)
        out(now)

    return undo


def let_in(layer: Layer, experts: Sequence[int], bias: float) -> Undo:
    """Open experts, with a bias on their logits (0 for none)."""
    state = layer.state
    biases = {**state.bias, **(dict.fromkeys(experts, bias) if bias else {})}
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


def _reshape_state(layer: Layer, closed: frozenset[int], bias: Mapping[int, float]) -> Undo:
    old = layer.state
    put_state(layer.router, changed(old, closed=closed, bias=dict(bias)))
    return lambda now: put_state(layer.router, changed(layer.state, closed=old.closed, bias=old.bias))
