"""Rules inside the routers and the tokens that begin roles, as changes; and what holds for a moment."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from torch import Tensor

from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.surgery.adapters.edited_experts import put_state, state_of
from interconnected_ai.surgery.operations import checks, vocabulary
from interconnected_ai.surgery.operations.change import Change
from interconnected_ai.surgery.operations.history import Step
from interconnected_ai.surgery.operations.snapshot import Snapshot, Undo
from interconnected_ai.surgery.operations.verification import finite
from interconnected_ai.surgery.routing.context import RowRequest
from interconnected_ai.surgery.routing.programs import (
    Function,
    Program,
    check_own_rules,
    check_program,
    check_requests,
)
from interconnected_ai.surgery.routing.rules import Rule
from interconnected_ai.surgery.session import Session
from interconnected_ai.surgery.settings import need_kind, need_list, need_numbers


def set_program(session: Session, program: Program, functions: Sequence[Function]) -> Change:
    """Run these rules inside the routers, instead of those before."""
    need_kind("program", program, Program)
    for function in need_list("functions", functions):
        need_kind("functions", function, Callable)  # type: ignore[arg-type]
    check_program(program, session.numbers(), session.takes(), session.groups())
    _needs_roles(session, program)
    before_program, before_functions = session.program, session.functions

    def do(before: Snapshot) -> Undo:
        session.install(before, program, tuple(functions))

        def undo(now: Snapshot) -> None:
            _needs_roles(
                session, before_program
            )  # an adapter that was put in since may wait for a role of this program
            session.install(now, before_program, before_functions)

        return undo

    return Change(Step("set_program", {"program": program.to_dict()}), list(session.layers), do, finite)


def add_role(session: Session, name: str, token: str) -> Change:
    """Let a token of its own begin a role."""
    known, before_program = vocabulary.known_id(session, token), session.program

    def do(before: Snapshot) -> Undo:
        number, forget = vocabulary.add(session, token) if known is None else (known, _nothing)
        roles = {**before_program.roles, name: number}
        session.install(before, Program.from_mapping({**before_program.to_dict(), "roles": roles}), session.functions)

        def undo(now: Snapshot) -> None:
            _needs_roles(session, before_program)
            session.install(now, before_program, session.functions)
            forget(now)

        return undo

    return Change(Step("add_role", {"name": name, "token": token}), list(session.layers), do, finite)


@contextmanager
def requests(session: Session, rows: Sequence[RowRequest]) -> Iterator[None]:
    """Settings for each row of the batches inside, in this thread."""
    for request in need_list("requests", rows):
        need_kind("a request", request, RowRequest)
        for name in (request.prompt, request.adapter, request.role):
            need_kind("a request's prompt, adapter or role", name, str, type(None))
        need_numbers("deny", request.deny)
        if request.allow is not None:
            need_numbers("allow", request.allow)
        if request.role not in (None, *session.program.roles):
            raise UnknownNameError("role", request.role, session.program.roles)
        for rule in need_list("rules", request.rules):
            need_kind("a request's rule", rule, Rule)
        if request.top_k is not None:
            for layer in session.layers:
                checks.check_top_k(layer, request.top_k)
    check_requests(rows, session.numbers(), session.takes())
    check_own_rules(rows, session.program, session.numbers(), session.takes(), session.groups())
    counting = any(request.top_k is not None for request in rows)
    session.hold_requests(+1, counting=counting)
    try:
        with session.hooks.during(rows):
            yield
    finally:
        session.hold_requests(-1, counting=counting)


@contextmanager
def rerouting(session: Session, experts: Mapping[int, Sequence[int]]) -> Iterator[None]:
    """Nobody reaches these experts for a moment; their tokens go to the next best."""
    rules = [Rule(do="forbid", experts=tuple(gone), layers=(number,)) for number, gone in experts.items()]
    before, functions = session.program, session.functions
    program = Program.from_mapping({**before.to_dict(), "rules": [*before.rules, *rules]})
    check_program(program, session.numbers(), session.takes(), session.groups())
    with session.changing() as now:
        session.install(now, program, functions)
        session.rerouting += 1
    try:
        yield
    finally:
        with session.changing() as now:
            session.rerouting -= 1
            session.install(now, before, functions)


@contextmanager
def steering(session: Session, strengths: Mapping[int, Mapping[int, float | Tensor]]) -> Iterator[None]:
    """Factors on experts' outputs, or vectors added to them, for a moment."""
    before = {}
    need_kind("strengths", strengths, Mapping)
    for number, wanted in strengths.items():
        need_kind(f"strengths of layer {number!r}", wanted, Mapping)
        layer = session.layers[number]
        layer.need(*wanted)
        for expert, strength in wanted.items():
            _check_strength(strength, layer.d_model, f"layer {number}, expert {expert}")
        before[number] = state_of(layer)
    steered_layers = [session.layers[number] for number in before]
    with session.changing(reach=steered_layers):
        for number, wanted in strengths.items():
            state = state_of(session.layers[number])
            directions = {expert: each for expert, each in wanted.items() if isinstance(each, Tensor)}
            factors = {expert: float(each) for expert, each in wanted.items() if not isinstance(each, Tensor)}
            steered = replace(state, scale={**state.scale, **factors}, direction={**state.direction, **directions})
            put_state(session.layers[number], steered)
    try:
        yield
    finally:
        with session.changing(reach=steered_layers):
            for number, state in before.items():
                layer = session.layers[number]
                put_state(layer, replace(state_of(layer), scale=state.scale, direction=state.direction))


def _check_strength(strength: float | Tensor, d_model: int, place: str) -> None:
    if isinstance(strength, Tensor):
        if strength.shape != (d_model,):
            raise ConfigError(
                f"{place}: a vector of shape {tuple(strength.shape)} cannot be added to the expert's output; it needs "
                f"({d_model},), the model's width"
            )
    elif isinstance(strength, bool) or not isinstance(strength, int | float):
        raise ConfigError(f"{place}: {strength!r} is neither a factor nor a vector of {d_model} numbers")


def _needs_roles(session: Session, program: Program) -> None:
    waiting = [each.name for each in session.adapters.values() if each.spec.role not in (None, *program.roles)]
    if waiting:
        raise ConfigError(
            f"the adapters {waiting} wait for roles that this program lacks; keep the roles, or drop them first"
        )


def _nothing(now: Snapshot) -> None:
    """The way back where nothing was done."""
