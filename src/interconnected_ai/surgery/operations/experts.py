"""Operations on top-k and on the experts that a layer has: each checks its arguments and gives the change."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace as dataclass_replace
from typing import Any

from torch import Tensor, nn

from interconnected_ai.errors import ConfigError
from interconnected_ai.surgery.anatomy.ffn import ExpertWeights, average, weights_in
from interconnected_ai.surgery.anatomy.layer import FFNExpert, Layer
from interconnected_ai.surgery.operations import checks, layer_edits, verification
from interconnected_ai.surgery.operations.change import Change, Verify
from interconnected_ai.surgery.operations.history import Step
from interconnected_ai.surgery.operations.renumbering import (
    Renumbering,
    check_adapters,
    follow_adapters,
    follow_rules,
    follow_warmups,
)
from interconnected_ai.surgery.operations.snapshot import Snapshot, Undo, all_of
from interconnected_ai.surgery.routing.programs import check_program
from interconnected_ai.surgery.routing.reach import Reach
from interconnected_ai.surgery.routing.warmup import Warmup
from interconnected_ai.surgery.session import Session
from interconnected_ai.surgery.settings import need_count, need_kind, need_list, need_number, need_numbers


def set_top_k(session: Session, top_k: int, layers: Iterable[int] | None) -> Change:
    """Let a token take this many experts, in all layers or some."""
    chosen = session.chosen(layers)
    for layer in chosen:
        checks.check_top_k(layer, top_k)
    takes = session.takes() | dict.fromkeys([layer.number for layer in chosen], top_k)
    check_program(session.program, session.numbers(), takes, session.groups())
    arguments = {"top_k": top_k} | ({} if layers is None else {"layers": [layer.number for layer in chosen]})
    return Change(
        Step("set_top_k", arguments),
        chosen,
        lambda before: layer_edits.set_top_k(chosen, top_k),
        verification.takes(top_k),
        reach=chosen,
    )


def set_top_p(
    session: Session, top_p: float | None, at_most: int | None, at_least: int, layers: Iterable[int] | None
) -> Change:
    """Let a token take as few experts as reach a part of the router's probabilities; None: top-k again."""
    chosen = session.chosen(layers)
    if top_p is not None:
        need_number("top_p", top_p, above=0, up_to=1)
    need_count("at_least", at_least)
    for layer in chosen:
        cap = layer.top_k if at_most is None else at_most
        checks.check_top_k(layer, cap)
        _needs_free_top_k(layer)
        if at_least > cap:
            raise ConfigError(f"at_least = {at_least}: a token of layer {layer.number} takes at most {cap}; take fewer")
    given = {"top_p": top_p, "at_most": at_most, "at_least": at_least}

    def new(reach: Reach) -> Reach:
        return dataclass_replace(reach, top_p=top_p, at_most=at_most, at_least=at_least)

    return _reached(session, "set_top_p", given, layers, chosen, new)


def set_top_k_after(session: Session, numbers: Mapping[int, int], layers: Iterable[int] | None) -> Change:
    """Let a token take another number of experts where its best one is one of these: expert → number; none: top-k again."""
    chosen = session.chosen(layers)
    need_kind("numbers", numbers, Mapping)
    for layer in chosen:
        layer.need(*numbers)
        _needs_free_top_k(layer)
        for number in numbers.values():
            checks.check_top_k(layer, number)
    led = {int(expert): number for expert, number in numbers.items()}
    given = {"numbers": led}
    return _reached(session, "set_top_k_after", given, layers, chosen, lambda reach: dataclass_replace(reach, led=led))


def _needs_free_top_k(layer: Layer) -> None:
    fixed = layer.family.routing.fixed_top_k
    if fixed is not None:
        raise ConfigError(
            f"the router of {layer.family.name} always takes {fixed}; top-p and other numbers are not for it"
        )


def _reached(
    session: Session,
    what: str,
    given: dict[str, Any],
    layers: Iterable[int] | None,
    chosen: Sequence[Layer],
    new: Callable[[Reach], Reach],
) -> Change:
    named = {} if layers is None else {"layers": [layer.number for layer in chosen]}

    def do(before: Snapshot) -> Undo:
        session.follow(before)
        return all_of([layer_edits.set_reach([layer], new(layer.state.reach)) for layer in chosen])

    return Change(Step(what, given | named), chosen, do, verification.finite)


def replace(session: Session, layer: int, expert: int, source: Any) -> Change:
    """Put other weights where an expert stands; its row in the router stays."""
    place = session.layers[layer]
    place.need(expert)
    session.needs_unpacked(place, "replace")
    adapted = [each.name for each in session.adapters.values() if expert in each.spec.experts.get(layer, ())]
    if adapted:
        raise ConfigError(
            f"replace: the adapter {adapted[0]!r} stands in for expert {expert} of layer {layer}; merge or drop it first"
        )
    weights = _weights(source, place)
    weights.check(place.read(expert), f"the new expert {expert} of layer {layer}")
    return Change(
        Step("replace", {"layer": layer, "expert": expert}, weights.aside().tensors()),
        [place],
        lambda before: layer_edits.replace(before, place, expert, weights),
        verification.others_equal({expert}),
        reach=[place],
    )


def set_routers(session: Session, learnt: Mapping[str, Tensor]) -> Change:
    """Give routers other numbers. learnt: LAYER.NAME → all of a router's parameter."""
    touched = sorted({int(key.partition(".")[0]) for key in learnt})
    layers = [session.layers[number] for number in touched]
    parameters: dict[str, Tensor] = {
        f"{layer.number}.{name}": each for layer in layers for name, each in layer.router.named_parameters()
    }
    for key, tensor in learnt.items():
        if key not in parameters or parameters[key].shape != tensor.shape:
            raise ConfigError(f"the router's {key} of shape {tuple(tensor.shape)} does not fit this model's routers")

    def put(before: Snapshot, numbers: Mapping[str, Tensor]) -> None:
        for key, tensor in numbers.items():
            before.keep(parameters[key])
            parameters[key].data.copy_(tensor)

    def do(before: Snapshot) -> Undo:
        old = {key: parameters[key].detach().clone() for key in learnt}
        put(before, learnt)
        return lambda now: put(now, old)

    step = Step("set_routers", {}, {key: tensor.cpu() for key, tensor in learnt.items()})
    return Change(step, layers, do, verification.finite, reach=layers)


def insert(
    session: Session, layer: int, sources: Sequence[Any], rows: Tensor | Mapping[str, Tensor] | None, closed: bool
) -> tuple[Change, tuple[int, ...]]:
    """Add experts, out of reach where closed; with their numbers."""
    place = session.layers[layer]
    session.needs_free_numbers(place, "insert")
    given = [_weights(source, place) for source in need_list("sources", sources)]
    if not given:
        raise ConfigError("insert: no expert was given; give at least one")
    for weights in given:
        weights.check(place.read(0), f"the expert to insert into layer {layer}")
    made = [_row(source, place) for source in sources]
    if rows is not None:
        need_kind("rows", rows, Tensor, Mapping)
        for name, tensor in rows.items() if isinstance(rows, Mapping) else ():
            need_kind(f"rows of {name!r}", tensor, Tensor)
    router_rows = layer_edits.new_rows(place, made, rows)
    tensors = {f"{i}.{name}": tensor for i, w in enumerate(given) for name, tensor in w.aside().tensors().items()}
    tensors |= {f"row.{name}": row.cpu() for name, row in router_rows.items()}
    order, numbers = layer_edits.placed(place, len(given))
    change = _renumber(
        session,
        Step("insert", {"layer": layer, "closed": closed}, tensors),
        Renumbering.by_order("insert", place, order),
        lambda before: layer_edits.rebuild(place, order, given, router_rows, closed=closed),
        verification.same_bits if closed else verification.finite,
    )
    return change, numbers


def let_in(session: Session, layer: int, experts: Iterable[int], steps: int, taken: int) -> tuple[Change, Warmup]:
    """Open closed experts, at once or by a schedule."""
    place, numbers = session.layers[layer], need_numbers("experts", experts)
    place.need(*numbers)
    shut = [each for each in numbers if each not in place.closed]
    if shut or not numbers:
        raise ConfigError(f"experts {shut} of layer {layer} are not closed; name some of {sorted(place.closed)}")
    if not _is_count(steps) or not _is_count(taken) or taken > steps:
        raise ConfigError(
            f"steps = {steps!r}, taken = {taken!r}: needs 0 steps (at once) or more, and no more taken than those"
        )
    step = Step("let_in", {"layer": layer, "experts": list(numbers), "steps": steps, "taken": taken})
    warmup = Warmup(place, numbers, steps, taken, step.arguments)

    def do(before: Snapshot) -> Undo:
        before.part(warmup)
        shut_again = layer_edits.let_in(place, numbers, warmup.bias)
        session.expect_warmup(warmup)

        def undo(now: Snapshot) -> None:
            now.part(warmup)
            warmup.experts = ()
            session.warmups = [each for each in session.warmups if each is not warmup]
            shut_again(now)

        return undo

    return Change(step, [place], do, verification.finite, reach=[place]), warmup


def remove(session: Session, layer: int, experts: Iterable[int]) -> Change:
    """Take experts out; those after them move up."""
    place, gone = session.layers[layer], set(need_numbers("experts", experts))
    place.need(*gone)
    if not gone:
        raise ConfigError("remove: no expert was named; name at least one")
    session.needs_free_numbers(place, "remove")
    order = [each for each in range(place.num_experts) if each not in gone]
    checks.check_remaining(place, order)
    return _renumber(
        session,
        Step("remove", {"layer": layer, "experts": sorted(gone)}),
        Renumbering.by_order("remove", place, order),
        lambda before: layer_edits.rebuild(place, order),
        verification.finite,
    )


def merge(
    session: Session, layer: int, experts: Sequence[int], shares: Sequence[float] | None, *, align: bool = False
) -> tuple[Change, int]:
    """Make one expert out of several; with its number."""
    place, numbers = session.layers[layer], list(need_numbers("experts", experts))
    weights = _shares(place, numbers, shares, "merge")
    step = Step("merge", {"layer": layer, "experts": numbers, "shares": weights} | _aligning(align))
    change = _merged(session, place, step, [(numbers, weights)], align=align)
    return change, numbers[0] - sum(each < numbers[0] for each in numbers[1:])


def join(
    session: Session,
    layer: int,
    clusters: Sequence[Sequence[int]],
    shares: Sequence[Sequence[float]] | None,
    *,
    align: bool = False,
) -> Change:
    """Make one expert out of each of several clusters, at once: routers with groups keep as many in each."""
    place = session.layers[layer]
    named = [list(need_numbers("clusters", each)) for each in need_list("clusters", clusters)]
    given = [None] * len(named) if shares is None else list(need_list("shares", shares))
    if len(given) != len(named) or not named:
        raise ConfigError(
            f"{len(given)} lists of shares for {len(named)} clusters; give one for each, and one cluster or more"
        )
    everyone = [expert for each in named for expert in each]
    if len(set(everyone)) != len(everyone):
        raise ConfigError(f"join {named}: an expert stands in one cluster alone")
    weights = [_shares(place, each, mine, "join") for each, mine in zip(named, given, strict=True)]
    step = Step("join", {"layer": layer, "clusters": named, "shares": weights} | _aligning(align))
    return _merged(session, place, step, list(zip(named, weights, strict=True)), align=align)


def _aligning(align: bool) -> dict[str, bool]:
    need_kind("align", align, bool)
    return {"align": True} if align else {}


def _shares(place: Layer, numbers: Sequence[int], shares: Sequence[float] | None, what: str) -> list[float]:
    """How much each expert of a cluster counts, checked."""
    place.need(*numbers)
    if len(set(numbers)) != len(numbers) or len(numbers) < 2:
        raise ConfigError(f"{what} {list(numbers)}: needs two or more different experts")
    weights = [1 / len(numbers)] * len(numbers) if shares is None else list(need_list("shares", shares))
    for share in weights:
        need_number("shares", share)
    if len(weights) != len(numbers) or not abs(sum(weights) - 1) <= 1e-6 or min(weights) < 0:
        raise ConfigError(
            f"shares {weights}: needs one for each of the {len(numbers)} experts, none below 0, summing to 1"
        )
    return weights


def _merged(
    session: Session, place: Layer, step: Step, clusters: Sequence[tuple[list[int], list[float]]], *, align: bool
) -> Change:
    session.needs_free_numbers(place, step.do)
    gone = {expert for experts, _ in clusters for expert in experts[1:]}
    order = [each for each in range(place.num_experts) if each not in gone]
    checks.check_remaining(place, order)
    return _renumber(
        session,
        step,
        Renumbering.by_order(step.do, place, order, [experts for experts, _ in clusters]),
        lambda before: layer_edits.merge(before, place, clusters, order, align=align),
        verification.finite,
    )


def reorder(session: Session, layer: int, order: Sequence[int]) -> Change:
    """Number the experts anew: position i gets the expert that was order[i]."""
    place, numbers = session.layers[layer], list(need_numbers("order", order))
    session.needs_free_numbers(place, "reorder")
    checks.check_order(place, numbers)
    return _renumber(
        session,
        Step("reorder", {"layer": layer, "order": numbers}),
        Renumbering.by_order("reorder", place, numbers),
        lambda before: layer_edits.rebuild(place, numbers),
        verification.same_up_to_rounding,
    )


def _renumber(
    session: Session, step: Step, renumbering: Renumbering, edit: Callable[[Snapshot], Undo], verify: Verify
) -> Change:
    """An edit that numbers a layer's experts anew; rules, adapters and warm-ups follow, and come back with it."""
    place, program_before, back = session.layers[renumbering.layer], session.program, renumbering.back()
    program = follow_rules(program_before, list(session.numbers()), renumbering)
    counts = session.numbers() | {place.number: renumbering.num_experts}
    check_program(program, counts, session.takes(), session.groups())
    check_adapters(session.adapters, renumbering)

    def do(before: Snapshot) -> Undo:
        undo_edit = edit(before)
        follow_adapters(place, session.adapters, renumbering)
        forget = follow_warmups(session.warmups, renumbering)
        session.install(before, program, layers=[place])  # functions in Python keep experts where they are

        def undo(now: Snapshot) -> None:
            # an adapter that was put in since may stand in for an expert that goes with the step
            check_adapters(session.adapters, back)
            undo_edit(now)
            follow_adapters(place, session.adapters, back)
            forget(now)
            session.install(now, program_before, session.functions, [place])

        return undo

    return Change(step, [place], do, verify, reach=[place])


def _weights(source: Any, layer: Layer) -> ExpertWeights:
    """The weights in whatever stands for an expert."""
    if source is None:
        return average([layer.read(each) for each in range(layer.num_experts)])
    if isinstance(source, FFNExpert):
        return source.weights
    if isinstance(source, ExpertWeights):
        return source
    if isinstance(source, nn.Module):
        return weights_in(source)
    if isinstance(source, Sequence) and not isinstance(source, str) and source:
        return average([_weights(each, layer) for each in source])
    raise ConfigError(
        f"{source if source == [] else type(source).__name__} is no expert; give an FFNExpert, a gated FFN module, "
        "ExpertWeights, or a list of them"
    )


def _row(source: Any, layer: Layer) -> int | None:
    """Which row of this layer's router belongs to the source."""
    return source.number if isinstance(source, FFNExpert) and source.layer.place.router is layer.router else None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
