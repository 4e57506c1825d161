"""Putting stand-ins for single experts in and taking them out, and saying what trains."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.surgery.adapters.edited_experts import Condition, put_state, state_of
from interconnected_ai.surgery.adapters.stand_ins import (
    Adapters,
    AdapterSpec,
    LoRAExpert,
    WholeExpert,
    spec_to,
    variants_of,
)
from interconnected_ai.surgery.adapters.trained import train_routers
from interconnected_ai.surgery.anatomy.layer import Layer
from interconnected_ai.surgery.operations import layer_edits
from interconnected_ai.surgery.operations.change import Change
from interconnected_ai.surgery.operations.history import PUT_ADAPTER, Step
from interconnected_ai.surgery.operations.snapshot import Snapshot, Undo, all_of
from interconnected_ai.surgery.operations.verification import close, finite
from interconnected_ai.surgery.routing.context import Forward, Hooks
from interconnected_ai.surgery.session import Session
from interconnected_ai.surgery.settings import need_count, need_key, need_kind


def put_in(session: Session, spec: AdapterSpec, seed: int) -> Adapters:
    """Put stand-ins into their layers; nothing is frozen."""
    check_spec(session, spec)
    need_count("seed", seed, 0)
    generator = torch.Generator().manual_seed(seed)
    with session.changing(reach=[session.layers[number] for number in spec.experts]) as before:
        for number in spec.experts:
            layer = session.layers[number]
            _add(layer, spec.name, _made(layer, spec, generator), _condition(session.hooks, spec))
        adapter = Adapters(session.layers, spec)
        session.adapters[spec.name] = adapter
        session.follow(before)
    return adapter


def adapt(session: Session, spec: AdapterSpec, seed: int) -> Adapters:
    """Put stand-ins in, and let adapters alone train."""
    need_key("adapter", spec.name)  # here, so that folders written with other names still open
    with session.changing():
        adapter = put_in(session, spec, seed)
        train_only(session, "adapters")
    return adapter


def drop(session: Session, name: str) -> None:
    """Take an adapter out and forget it."""
    adapter = named(session, name)
    with session.changing(reach=[session.layers[number] for number in adapter.spec.experts]):
        for number in adapter.spec.experts:
            _take_out(session.layers[number], name)
        del session.adapters[name]


def bring(session: Session, spec: AdapterSpec, learnt: Mapping[str, Tensor]) -> Change:
    """Put stand-ins in with what they have learnt elsewhere (`Adapters.learnt`)."""
    check_spec(session, spec)
    layers = [session.layers[number] for number in spec.experts]

    def do(before: Snapshot) -> Undo:
        for (layer, expert), module in put_in(session, spec, seed=0).modules().items():
            prefix = f"{layer}.{expert}."
            mine = {key.removeprefix(prefix): tensor for key, tensor in learnt.items() if key.startswith(prefix)}
            try:
                module.load_state_dict(mine)
            except RuntimeError as error:
                raise ConfigError(
                    f"what adapter {spec.name!r} learnt for expert {expert} of layer {layer} is missing or of another shape "
                    f"({error}); take the recipe and the tensors that were saved together"
                ) from error
        return lambda now: drop(session, spec.name) if spec.name in session.adapters else None

    return Change(Step(PUT_ADAPTER, spec_to(spec), dict(learnt)), layers, do, finite, reach=layers)


def let_go(session: Session, name: str) -> Change:
    """Take an adapter out, so that it can be put back."""
    adapter = named(session, name)
    layers = [session.layers[number] for number in adapter.spec.experts]

    def do(before: Snapshot) -> Undo:
        undos = [_take_out(layer, name) for layer in layers]
        del session.adapters[name]
        return all_of([*undos, lambda now: session.adapters.__setitem__(name, adapter)])

    return Change(Step("drop_adapter", {"name": name}), layers, do, finite, reach=layers)


def merge_adapter(session: Session, name: str, *, comes_back: bool = True) -> Change:
    """Write an adapter into the experts' own weights, and take it out.

    comes_back: whether undoing it puts the adapter back; not one that the same operation brought.
    """
    adapter = named(session, name)
    if adapter.spec.conditional:
        raise ConfigError(
            f"adapter {name!r} acts for some tokens only; merged, it would act for all. Drop it or keep it"
        )
    _needs_unrounded(session, adapter.spec)
    merged = {place: module.merged().aside() for place, module in adapter.modules().items()}
    layers = [session.layers[number] for number in adapter.spec.experts]

    def do(before: Snapshot) -> Undo:
        back: list[Undo] = [_take_out(layer, name) for layer in layers]
        whole = [
            layer_edits.replace(before, session.layers[layer], expert, weights)
            for (layer, expert), weights in merged.items()
        ]
        del session.adapters[name]
        back.append(lambda now: session.adapters.__setitem__(name, adapter))
        return all_of([*back, *whole] if comes_back else whole)

    tensors = {f"{layer}.{n}.{key}": t for (layer, n), w in merged.items() for key, t in w.tensors().items()}
    return Change(Step("merge_adapter", {"name": name}, tensors), layers, do, close, reach=layers)


def train_only(session: Session, what: str, layers: Iterable[int] | None = None) -> list[nn.Parameter]:
    """Freeze all but the "router" of all layers or some, or all but the "adapters"; gives what trains."""
    if what not in ("router", "adapters"):
        raise UnknownNameError("part to train", what, ("router", "adapters"))
    with session.changing():
        if what == "router":
            session.leave_unlogged("what routers learn in a training")
            return train_routers(session.model, session.chosen(layers))
        session.model.requires_grad_(False)
        parameters = [each for adapter in session.adapters.values() for each in adapter.parameters()]
        for parameter in parameters:
            parameter.requires_grad_(True)
        return parameters


def named(session: Session, name: str) -> Adapters:
    """The adapter with this name."""
    need_kind("name", name, str)
    if name not in session.adapters:
        raise UnknownNameError("adapter", name, session.adapters)
    return session.adapters[name]


def check_spec(session: Session, spec: AdapterSpec) -> None:
    """Raise `ConfigError` for adapters that cannot be put in."""
    if not spec.experts or not all(spec.experts.values()):
        raise ConfigError("no experts were named; give layer → expert numbers, such as experts={3: [77]}")
    for number, experts in spec.experts.items():
        session.layers[number].need(*experts)
        if len(set(experts)) != len(experts):
            raise ConfigError(f"experts {list(experts)} of layer {number} name one twice")
        for other in session.adapters.values():
            both = set(experts) & set(other.spec.experts.get(number, ()))
            if both and not (spec.conditional and other.spec.conditional):
                raise ConfigError(
                    f"experts {sorted(both)} of layer {number} already have the adapter {other.name!r}; merge or drop "
                    "it first, or let both wait for a role or a request"
                )
    if not isinstance(spec.name, str) or spec.name in session.adapters or "." in spec.name or not spec.name:
        raise ConfigError(f"adapter name {spec.name!r} is taken, empty or has a dot in it; choose another")
    for setting, name in (("name", spec.name), *([("role", spec.role)] if spec.role is not None else [])):
        need_kind(setting, name, str)
    if spec.kind == "lora":
        need_kind("alpha", spec.alpha, int, float)
    if spec.kind == "lora" and not (_is_count(spec.rank) and 0 < spec.alpha < math.inf):
        raise ConfigError(
            f"rank = {spec.rank!r}, alpha = {spec.alpha}: needs a rank of at least 1 and an alpha above 0"
        )
    if spec.role is not None and spec.role not in session.program.roles:
        raise ConfigError(f"role {spec.role!r} is begun by no token; add it to the program first (add_role)")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _made(layer: Layer, spec: AdapterSpec, generator: torch.Generator) -> nn.ModuleDict:
    made: dict[str, nn.Module] = {}
    for expert in spec.experts[layer.number]:
        if spec.kind == "lora":
            made[str(expert)] = LoRAExpert(layer, expert, spec.rank, spec.alpha, generator)
        else:
            made[str(expert)] = WholeExpert(layer, expert)
    return nn.ModuleDict(made)


def _add(layer: Layer, name: str, modules: nn.Module, condition: Condition) -> None:
    experts = layer.place.experts
    if "variants" not in experts._modules:
        experts.add_module("variants", nn.ModuleDict())
    variants_of(layer)[name] = modules
    state = state_of(layer)
    put_state(layer, replace(state, variants={**state.variants, name: condition}))


def _take_out(layer: Layer, name: str) -> Undo:
    """Take a layer's stand-ins out; returns what puts them back."""
    variants, state = variants_of(layer), state_of(layer)
    module, condition = variants[name], state.variants[name]
    del variants[name]
    if not len(variants):
        del layer.place.experts._modules["variants"]
    put_state(layer, replace(state, variants={key: each for key, each in state.variants.items() if key != name}))
    return lambda now: _add(layer, name, module, condition)


def _condition(hooks: Hooks, spec: AdapterSpec) -> Condition:
    """Where the stand-ins act: True everywhere, False nowhere, or one flag a token."""

    def holds(forward: Forward | None) -> Tensor | bool:
        if not spec.conditional:
            return True
        if forward is None:
            return False
        flags: Tensor | bool = True
        if spec.role is not None:
            if forward.roles is None or spec.role not in hooks.role_names:
                return False
            flags = forward.roles.reshape(-1) == hooks.role_names.index(spec.role)
        if spec.on_request:
            rows = [request.adapter == spec.name for request in forward.requests]
            if not any(rows):
                return False
            asked = forward.per_token(rows, torch.device("cpu"))
            flags = asked if flags is True else flags & asked.to(flags.device)  # type: ignore[operator, union-attr]
        return flags

    return holds


def _needs_unrounded(session: Session, spec: AdapterSpec) -> None:
    packed = [number for number in spec.experts if session.layers[number].packed]
    if packed:
        raise ConfigError(
            f"the experts of layers {packed} are packed in 4 bits: their numbers stand on 16 levels, and an update that is "
            "smaller than half a step would be rounded away with them. Keep the adapter beside them, or take the packing "
            f"back (undo, or unpack_experts({packed})), merge, and leave those layers unpacked"
        )
