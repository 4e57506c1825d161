"""Operations on top-k, experts and the router's program: each checked, verified, undoable and logged."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.surgery.anatomy.ffn import ExpertWeights, average, weights_in
from interconnected_ai.surgery.anatomy.layer import FFNExpert, Layer
from interconnected_ai.surgery.operations import changes, vocabulary
from interconnected_ai.surgery.operations.history import Step
from interconnected_ai.surgery.operations.renumbering import (
    Renumbering,
    check_adapters,
    follow_adapters,
    follow_rules,
    follow_warmups,
)
from interconnected_ai.surgery.routing.context import RowRequest
from interconnected_ai.surgery.routing.programs import Function, Program, check_program, check_requests
from interconnected_ai.surgery.session import Expect, Patient, dress_router

# A warm-up's first bias: e^-10 of its weight, so an opening expert starts below a ten-thousandth.
_OPENING_BIAS = -10.0


class Operations(Patient):
    """What changes which experts there are, and who reaches them."""

    def set_top_k(self, top_k: int, layers: Iterable[int] | None = None) -> None:
        """Let a token take this many FFN experts, in all layers or some.

        Every copy is changed: router, block, config, causal LM. Raises `ConfigError` for more than there are in reach, more
        than the groups allow, or where the family's rule knows one number only.
        """
        chosen = self._chosen(layers)
        for layer in chosen:
            changes.check_top_k(layer, top_k)
        takes = {layer.number: layer.top_k for layer in self.layers} | dict.fromkeys([x.number for x in chosen], top_k)
        check_program(self.program, self._numbers(), takes, self._groups())
        arguments = {"top_k": top_k} | ({} if layers is None else {"layers": [layer.number for layer in chosen]})
        self._perform(
            Step("set_top_k", arguments), chosen, lambda: changes.set_top_k(chosen, top_k), changes.takes(top_k)
        )

    @contextmanager
    def top_k(self, top_k: int, layers: Iterable[int] | None = None) -> Iterator[None]:
        """The same for a moment."""
        self.set_top_k(top_k, layers)
        done = self._done.pop()
        try:
            yield
        finally:
            done.undo()
            self._agree()

    def replace(self, layer: int, expert: int, source: Any) -> None:
        """Put other weights where an expert stands; its row in the router stays.

        source: an `FFNExpert` (of this model or another), a gated FFN module, `ExpertWeights`, or several for their mean.
        Raises `ConfigError` for another shape or dtype, NaN or infinity.
        """
        place = self.layers[layer]
        place.need(expert)
        self._needs_unpacked(place, "replace")
        adapted = [each.name for each in self.adapters.values() if expert in each.spec.experts.get(layer, ())]
        if adapted:
            raise ConfigError(
                f"replace: the adapter {adapted[0]!r} stands in for expert {expert} of layer {layer}; merge or drop it first"
            )
        weights = self._weights(source, place)
        weights.check(place.read(expert), f"the new expert {expert} of layer {layer}")
        step = Step("replace", {"layer": layer, "expert": expert}, weights.aside().tensors())
        self._perform(step, [place], lambda: changes.replace(place, expert, weights), changes.others_equal({expert}))

    def insert(
        self,
        layer: int,
        sources: Sequence[Any],
        rows: Tensor | Mapping[str, Tensor] | None = None,
        *,
        closed: bool = True,
    ) -> tuple[int, ...]:
        """Add experts at the end of a layer and give their numbers.

        They start out of reach: outputs stay what they were, to the last bit, until `let_in`. sources: as in `replace`; None is
        the mean of the layer's experts. rows: the router's rows for them, (experts, d_model); None copies the source's row
        where it is an expert of this layer, else takes the mean of all rows. closed: False lets them in at once. In families
        that choose groups first, give as many as there are groups (or a multiple): each group gets its share.
        """
        place = self.layers[layer]
        self._needs_free_numbers(place, "insert")
        given = [self._weights(source, place) for source in sources]
        if not given:
            raise ConfigError("insert: no expert was given; give at least one")
        for weights in given:
            weights.check(place.read(0), f"the expert to insert into layer {layer}")
        made = [self._row(source, place) for source in sources]
        router_rows = changes.new_rows(place, made, rows)
        tensors = {f"{i}.{name}": tensor for i, w in enumerate(given) for name, tensor in w.aside().tensors().items()}
        step = Step(
            "insert",
            {"layer": layer, "closed": closed},
            tensors | {f"row.{k}": v.cpu() for k, v in router_rows.items()},
        )
        order, numbers = changes.placed(place, len(given))
        self._renumber(
            step,
            Renumbering.by_order("insert", place, order),
            lambda: changes.rebuild(place, order, given, router_rows, closed=closed),
            changes.same_bits if closed else changes.finite,
        )
        return numbers

    def clone(self, layer: int, expert: int) -> int:
        """Add a copy of an expert, out of reach until let in; gives its number."""
        return self.insert(layer, [self.layers[layer].experts[expert]])[0]

    def let_in(self, layer: int, experts: Iterable[int], steps: int = 0, taken: int = 0) -> "Warmup":
        """Open closed experts: at once, or over this many calls of the returned schedule's `step`.

        Schedules that are not finished stand in `warmups` too, also after a replay or when the model was saved and opened
        again. taken: how many of the steps were taken already.
        """
        place, numbers = self.layers[layer], tuple(experts)
        place.need(*numbers)
        shut = [each for each in numbers if each not in place.closed]
        if shut or not numbers:
            raise ConfigError(f"experts {shut} of layer {layer} are not closed; name some of {sorted(place.closed)}")
        if steps < 0 or not 0 <= taken <= steps:
            raise ConfigError(
                f"steps = {steps}, taken = {taken}: needs 0 steps (at once) or more, and no more taken than those"
            )
        step = Step("let_in", {"layer": layer, "experts": list(numbers), "steps": steps, "taken": taken})
        warmup = Warmup(place, numbers, steps, taken, step.arguments)

        def change() -> Callable[[], None]:
            shut_again = changes.let_in(place, numbers, warmup.bias)
            self.expect_warmup(warmup)

            def undo() -> None:
                warmup.experts = ()
                self.warmups = [each for each in self.warmups if each is not warmup]
                shut_again()

            return undo

        self._perform(step, [place], change, changes.finite)
        return warmup

    def expect_warmup(self, warmup: "Warmup") -> None:
        """Keep a schedule among those that are not finished."""
        self.warmups = [each for each in self.warmups if not each.finished]
        self.warmups += [] if warmup.finished else [warmup]

    def remove(self, layer: int, experts: Iterable[int]) -> None:
        """Take experts out; those after them move up, and rules and adapters follow them.

        At least top-k must stay, the same number in every group. Raises `ConfigError` too where a rule would have no expert
        left, or an adapter stands in for one that goes.
        """
        place, gone = self.layers[layer], set(experts)
        place.need(*gone)
        if not gone:
            raise ConfigError("remove: no expert was named; name at least one")
        self._needs_free_numbers(place, "remove")
        order = [each for each in range(place.num_experts) if each not in gone]
        changes.check_remaining(place, order)
        step = Step("remove", {"layer": layer, "experts": sorted(gone)})
        renumbering = Renumbering.by_order("remove", place, order)
        self._renumber(step, renumbering, lambda: changes.rebuild(place, order), changes.finite)

    def merge(self, layer: int, experts: Sequence[int], shares: Sequence[float] | None = None) -> int:
        """Make one expert out of several: the mean of their weights and of their router rows; gives its number.

        shares: how much each counts, summing to 1; None counts all alike (give use counts from `usage` for a better mean).
        A rule must name all of them or none.
        """
        place, numbers = self.layers[layer], list(experts)
        place.need(*numbers)
        self._needs_free_numbers(place, "merge")
        if len(set(numbers)) != len(numbers) or len(numbers) < 2:
            raise ConfigError(f"merge {numbers}: needs two or more different experts")
        weights = list(shares) if shares is not None else [1 / len(numbers)] * len(numbers)
        if len(weights) != len(numbers) or not abs(sum(weights) - 1) <= 1e-6 or min(weights) < 0:
            raise ConfigError(
                f"shares {weights}: needs one for each of the {len(numbers)} experts, none below 0, summing to 1"
            )
        order = [each for each in range(place.num_experts) if each not in numbers[1:]]
        changes.check_remaining(place, order)
        step = Step("merge", {"layer": layer, "experts": numbers, "shares": weights})
        into = order.index(numbers[0])
        renumbering = Renumbering.by_order("merge", place, order, numbers, into)
        self._renumber(step, renumbering, lambda: changes.merge(place, numbers, weights, order), changes.finite)
        return into

    def reorder(self, layer: int, order: Sequence[int]) -> None:
        """Number the experts anew: position i gets the expert that was order[i]. Outputs stay, up to rounding.

        Rules and adapters follow the experts.
        """
        place, numbers = self.layers[layer], list(order)
        self._needs_free_numbers(place, "reorder")
        changes.check_order(place, numbers)
        step = Step("reorder", {"layer": layer, "order": numbers})
        renumbering = Renumbering.by_order("reorder", place, numbers)
        self._renumber(step, renumbering, lambda: changes.rebuild(place, numbers), changes.same_up_to_rounding)

    def set_program(self, program: Program, functions: Sequence[Function] = ()) -> None:
        """Run these rules inside the routers, instead of those before; an empty program takes them off.

        functions: rules written in Python, (hidden, logits, forward) → logits, in all layers. They cannot be saved.
        """
        top_k = {layer.number: layer.top_k for layer in self.layers}
        check_program(program, self._numbers(), top_k, self._groups())
        self._needs_roles(program)
        before, before_functions = self.program, self.functions

        def change() -> Callable[[], None]:
            self._install(program, tuple(functions))

            def undo() -> None:
                self._needs_roles(before)  # an adapter that was put in since may wait for a role of this program
                self._install(before, before_functions)

            return undo

        self._perform(Step("set_program", {"program": program.to_dict()}), list(self.layers), change, changes.finite)

    @contextmanager
    def requests(self, requests: Sequence[RowRequest]) -> Iterator[None]:
        """Settings for each row of the batches inside: prompt, adapter, role, and the experts it may use."""
        for request in requests:
            if request.role not in (None, *self.program.roles):
                raise UnknownNameError("role", request.role, self.program.roles)
        check_requests(requests, self._numbers(), {layer.number: layer.top_k for layer in self.layers})
        self._install(self.program, self.functions, always=True)
        try:
            with self.hooks.during(requests):
                yield
        finally:
            self._install(self.program, self.functions)

    def add_role(self, name: str, token: str | None = None) -> int:
        """Let a token of its own begin a role, `<|role=NAME|>` unless another is given; gives the token's id.

        A token the tokenizer lacks is added to it, and the embeddings grow by a row (their mean); a warning says so. Undone,
        the model has the tokenizer and the rows it had.
        """
        token = token or f"<|role={name}|>"
        known, before = vocabulary.known_id(self, token), self.program

        def change() -> Callable[[], None]:
            number, forget = vocabulary.add(self, token) if known is None else (known, _nothing)
            try:
                program = Program.from_mapping({**before.to_dict(), "roles": {**before.roles, name: number}})
            except BaseException:
                forget()
                raise
            self._install(program, self.functions)

            def undo() -> None:
                self._needs_roles(before)
                self._install(before, self.functions)
                forget()

            return undo

        self._perform(Step("add_role", {"name": name, "token": token}), list(self.layers), change, changes.finite)
        return self.program.roles[name]

    def _needs_roles(self, program: Program) -> None:
        waiting = [each.name for each in self.adapters.values() if each.spec.role not in (None, *program.roles)]
        if waiting:
            raise ConfigError(
                f"the adapters {waiting} wait for roles that this program lacks; keep the roles, or drop them first"
            )

    def _renumber(
        self, step: Step, renumbering: Renumbering, change: Callable[[], Callable[[], None]], expect: Expect
    ) -> None:
        """Perform a change that numbers a layer's experts anew; rules, adapters and warm-ups follow, and come back with it."""
        place, before, back = self.layers[renumbering.layer], self.program, renumbering.back()
        program = follow_rules(before, list(self._numbers()), renumbering)
        counts = self._numbers() | {place.number: renumbering.num_experts}
        takes = {layer.number: layer.top_k for layer in self.layers}
        check_program(program, counts, takes, self._groups())
        check_adapters(self, renumbering)

        def whole() -> Callable[[], None]:
            undo = change()
            follow_adapters(self, renumbering)
            forget = follow_warmups(self, renumbering)
            self._install(program, self.functions)

            def undone() -> None:
                check_adapters(
                    self, back
                )  # one that was put in since may stand in for an expert that goes with the step
                undo()
                follow_adapters(self, back)
                forget()
                self._install(before, self.functions)

            return undone

        self._perform(step, [place], whole, expect)

    def _weights(self, source: Any, layer: Layer) -> ExpertWeights:
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
            return average([self._weights(each, layer) for each in source])
        raise ConfigError(
            f"{source if source == [] else type(source).__name__} is no expert; give an FFNExpert, a gated FFN module, "
            "ExpertWeights, or a list of them"
        )

    def _row(self, source: Any, layer: Layer) -> int | None:
        """Which row of this layer's router belongs to the source."""
        return source.number if isinstance(source, FFNExpert) and source.layer.place.router is layer.router else None


class Warmup:
    """Opens experts little by little: their logits' bias rises from -10 to 0 in equal steps.

    log: the arguments of the step it belongs to, where what was taken is kept up to date, so that a replay goes as far.
    """

    def __init__(
        self, place: Layer, experts: tuple[int, ...], steps: int, taken: int = 0, log: dict[str, Any] | None = None
    ) -> None:
        self._place, self.experts, self.steps, self.taken = place, experts, steps, taken
        self._log = {} if log is None else log

    @property
    def layer(self) -> int:
        """The number of the layer whose experts it opens."""
        return self._place.number

    @property
    def finished(self) -> bool:
        """Whether the experts are open without a bias."""
        return self.taken >= self.steps

    @property
    def bias(self) -> float:
        """What is added to their logits now."""
        return 0.0 if self.finished else _OPENING_BIAS * (1 - self.taken / self.steps)

    def step(self) -> None:
        """One step further; call it after every optimiser step. Does nothing once finished."""
        if self.finished:
            return
        self.taken += 1
        self._log["taken"] = self.taken
        for expert in self.experts:
            self._place.state.bias.pop(expert, None)
            if self.bias:
                self._place.state.bias[expert] = self.bias
        dress_router(self._place)


def _nothing() -> None:
    """The way back where nothing was done."""
