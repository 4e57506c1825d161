"""`MoE`: a pretrained mixture of experts under the knife. Every operation is checked, verified, undoable and logged."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.surgery import changes, vocabulary
from interconnected_ai.surgery.adapters import Adapters, AdapterSpec, check_spec, install, settle, state_of, take_out
from interconnected_ai.surgery.anatomy import copies_of, dissect, stacks
from interconnected_ai.surgery.causal import EditedCausalLM
from interconnected_ai.surgery.context import Hooks, Request, dress, undress
from interconnected_ai.surgery.dressing import EditedRouter, RouterState
from interconnected_ai.surgery.ffn import ExpertWeights, average, weights_in
from interconnected_ai.surgery.history import Done, Recipe, Step, fingerprint
from interconnected_ai.surgery.layer import Expert, Layer, Probe
from interconnected_ai.surgery.losses import Record, watching
from interconnected_ai.surgery.nf4 import PackedExperts
from interconnected_ai.surgery.programs import Function, Program, Rule, check_program, check_requests, compile_program
from interconnected_ai.surgery.saving import Saved, save
from interconnected_ai.surgery.texts import perplexity
from interconnected_ai.surgery.trained import train_routers, verified
from interconnected_ai.surgery.usage import Usage, measure_usage

Expect = Callable[[Layer, Probe, Probe], None]

# A warm-up's first bias: e^-10 of its weight, so an opening expert starts below a ten-thousandth.
_OPENING_BIAS = -10.0


class MoE:
    """A transformers model whose experts and routers can be seen, changed, added, trained and programmed.

    model: what was opened; it is changed in place. tokenizer: beside it in its folder, None without.
    expert_parallel: devices the experts are to be spread over; operations warn when their number no longer divides.
    """

    def __init__(self, model: nn.Module, tokenizer: Any = None, expert_parallel: int | None = None) -> None:
        self.model: Any = model
        self.tokenizer = tokenizer
        self.expert_parallel = expert_parallel
        self.anatomy = dissect(model)
        self.family = self.anatomy.family
        self.layers = Layers(self)
        self.hooks = Hooks()
        self.program = Program()
        self.functions: tuple[Function, ...] = ()
        self.adapters: dict[str, Adapters] = {}
        self._done: list[Done] = []
        self._made_for = self.description()
        self._fingerprint = self._routers_fingerprint()

    # What it is

    @property
    def uniform(self) -> bool:
        """Whether every layer has as many experts and the same top-k: what a config.json can say."""
        return len({(layer.num_experts, layer.top_k) for layer in self.layers}) == 1

    @property
    def plain(self) -> bool:
        """Whether transformers' own classes compute the same: nothing closed, warmed up, programmed, adapted or packed."""
        return not self.functions and not self.program.rules and all(map(_is_plain, self.layers))

    def description(self) -> dict[str, Any]:
        """Family and sizes: what a recipe must agree with."""
        first = self.layers.all[0]
        return {
            "family": self.family.name,
            "layers": [layer.number for layer in self.layers],
            "experts": [layer.num_experts for layer in self.layers],
            "top_k": [layer.top_k for layer in self.layers],
            "d_model": first.d_model,
            "d_ff": first.read(0).d_ff,
        }

    # Top-k

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

    # Experts

    def replace(self, layer: int, expert: int, source: Any) -> None:
        """Put other weights where an expert stands; its row in the router stays.

        source: an `Expert` (of this model or another), a gated FFN module, `ExpertWeights`, or several of those for their mean.
        Raises `ConfigError` for another shape or dtype, NaN or infinity.
        """
        place = self.layers[layer]
        place.need(expert)
        self._needs_bare(place, "replace")
        weights = self._weights(source, place)
        weights.check(place.read(expert), f"the new expert {expert} of layer {layer}")
        step = Step("replace", {"layer": layer, "expert": expert}, weights.copy().tensors())
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
        self._needs_bare(place, "insert")
        given = [self._weights(source, place) for source in sources]
        if not given:
            raise ConfigError("insert: no expert was given; give at least one")
        for weights in given:
            weights.check(place.read(0), f"the expert to insert into layer {layer}")
        made = [self._row(source, place) for source in sources]
        router_rows = changes.new_rows(place, made, rows)
        tensors = {f"{i}.{name}": tensor for i, w in enumerate(given) for name, tensor in w.copy().tensors().items()}
        step = Step(
            "insert", {"layer": layer, "closed": closed}, tensors | {f"row.{k}": v for k, v in router_rows.items()}
        )
        order, numbers = changes.placed(place, len(given))
        self._perform(
            step,
            [place],
            lambda: changes.rebuild(place, order, given, router_rows, closed=closed),
            changes.same_bits if closed else changes.finite,
        )
        return numbers

    def clone(self, layer: int, expert: int) -> int:
        """Add a copy of an expert, out of reach until let in; gives its number."""
        return self.insert(layer, [self.layers[layer].experts[expert]])[0]

    def let_in(self, layer: int, experts: Iterable[int], steps: int = 0) -> "Warmup":
        """Open closed experts: at once, or over this many calls of the returned schedule's `step`."""
        place, numbers = self.layers[layer], tuple(experts)
        place.need(*numbers)
        shut = [each for each in numbers if each not in place.closed]
        if shut:
            raise ConfigError(f"experts {shut} of layer {layer} are not closed; closed are {sorted(place.closed)}")
        if steps < 0:
            raise ConfigError(f"steps = {steps}: needs 0 (at once) or more")
        self._perform(
            Step("let_in", {"layer": layer, "experts": list(numbers), "steps": steps}),
            [place],
            lambda: changes.let_in(place, numbers, _OPENING_BIAS if steps else 0.0),
            changes.finite,
        )
        return Warmup(place, numbers, steps)

    def remove(self, layer: int, experts: Iterable[int]) -> None:
        """Take experts out; those after them move up. At least top-k must stay, the same number in every group."""
        place, gone = self.layers[layer], set(experts)
        place.need(*gone)
        self._needs_bare(place, "remove")
        order = [each for each in range(place.num_experts) if each not in gone]
        changes.check_remaining(place, order)
        step = Step("remove", {"layer": layer, "experts": sorted(gone)})
        self._perform(step, [place], lambda: changes.rebuild(place, order), changes.finite)

    def merge(self, layer: int, experts: Sequence[int], shares: Sequence[float] | None = None) -> int:
        """Make one expert out of several: the mean of their weights and of their router rows; gives its number.

        shares: how much each counts, summing to 1; None counts all alike (give use counts from `usage` for a better mean).
        """
        place, numbers = self.layers[layer], list(experts)
        place.need(*numbers)
        self._needs_bare(place, "merge")
        if len(set(numbers)) != len(numbers) or len(numbers) < 2:
            raise ConfigError(f"merge {numbers}: needs two or more different experts")
        weights = list(shares) if shares is not None else [1 / len(numbers)] * len(numbers)
        if len(weights) != len(numbers) or abs(sum(weights) - 1) > 1e-6:
            raise ConfigError(f"shares {weights}: needs one for each of the {len(numbers)} experts, summing to 1")
        order = [each for each in range(place.num_experts) if each not in numbers[1:]]
        changes.check_remaining(place, order)
        step = Step("merge", {"layer": layer, "experts": numbers, "shares": weights})
        self._perform(step, [place], lambda: changes.merge(place, numbers, weights, order), changes.finite)
        return order.index(numbers[0])

    def reorder(self, layer: int, order: Sequence[int]) -> None:
        """Number the experts anew: position i gets the expert that was order[i]. Outputs stay, up to rounding."""
        place, numbers = self.layers[layer], list(order)
        self._needs_bare(place, "reorder")
        changes.check_order(place, numbers)
        step = Step("reorder", {"layer": layer, "order": numbers})
        self._perform(step, [place], lambda: changes.rebuild(place, numbers), changes.same_up_to_rounding)

    # Programs

    def set_program(self, program: Program, functions: Sequence[Function] = ()) -> None:
        """Run these rules inside the routers, instead of those before; an empty program takes them off.

        functions: rules written in Python, (hidden, logits, forward) → logits, in all layers. They cannot be saved.
        """
        top_k = {layer.number: layer.top_k for layer in self.layers}
        check_program(program, self._numbers(), top_k, self._groups())
        waiting = [each.name for each in self.adapters.values() if each.spec.role not in (None, *program.roles)]
        if waiting:
            raise ConfigError(
                f"the adapters {waiting} wait for roles that this program lacks; keep the roles, or drop them first"
            )
        before, before_functions = self.program, self.functions

        def change() -> Callable[[], None]:
            self._install(program, tuple(functions))
            return lambda: self._install(before, before_functions)

        self._perform(Step("set_program", {"program": program.to_dict()}), list(self.layers), change, changes.finite)

    @contextmanager
    def requests(self, requests: Sequence[Request]) -> Iterator[None]:
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

    @contextmanager
    def watch(self, *, keep_graph: bool = True) -> Iterator[Record]:
        """Record what the routers choose inside the block: for balance and z losses, and for counting."""
        self.follow()
        with watching(
            self.family.routing, [(layer.number, layer.router) for layer in self.layers], keep_graph=keep_graph
        ) as seen:
            yield seen

    def add_role(self, name: str, token: str | None = None) -> int:
        """Let a token of its own begin a role, `<|role=NAME|>` unless another is given; gives the token's id.

        A token the tokenizer lacks is added to it, and the embeddings grow by a row (their mean); a warning says so.
        """
        token = token or f"<|role={name}|>"
        number = vocabulary.token_id(self, token)
        self.set_program(
            Program.from_mapping({**self.program.to_dict(), "roles": {**self.program.roles, name: number}})
        )
        return number

    # Training

    def lora(
        self,
        experts: Mapping[int, Sequence[int]],
        rank: int = 16,
        alpha: float | None = None,
        *,
        name: str = "lora",
        role: str | None = None,
        on_request: bool = False,
        seed: int = 0,
    ) -> Adapters:
        """Low-rank adapters on these experts alone, computed for the tokens routed to them; all other parameters are frozen.

        alpha: the update is scaled by alpha / rank; None is rank. role, on_request: see `AdapterSpec`.
        """
        chosen = {layer: tuple(numbers) for layer, numbers in experts.items()}
        spec = AdapterSpec(name, "lora", chosen, rank, float(alpha or rank), role, on_request)
        return self._adapt(spec, seed)

    def train_experts(
        self,
        experts: Mapping[int, Sequence[int]],
        *,
        name: str = "full",
        role: str | None = None,
        on_request: bool = False,
    ) -> Adapters:
        """Copies of these experts as parameters of their own; all others are frozen, and out of an optimiser's reach."""
        chosen = {layer: tuple(numbers) for layer, numbers in experts.items()}
        return self._adapt(AdapterSpec(name, "full", chosen, role=role, on_request=on_request), seed=0)

    def train_only(self, what: str, layers: Iterable[int] | None = None) -> list[nn.Parameter]:
        """Freeze all but the "router" of all layers or some, or all but the "adapters"; gives what trains."""
        if what == "router":
            return train_routers(self.model, self._chosen(layers))
        if what == "adapters":
            self.model.requires_grad_(False)
            parameters = [each for adapter in self.adapters.values() for each in adapter.parameters()]
            for parameter in parameters:
                parameter.requires_grad_(True)
            return parameters
        raise UnknownNameError("part to train", what, ("router", "adapters"))

    def verified_training(self) -> AbstractContextManager[None]:
        """Around a training: raises `TrainingError` unless what should move moved, and all else is the same to the last bit."""
        return verified(self.model)

    def merge_adapter(self, name: str) -> None:
        """Write an adapter into the experts' own weights, and take it out."""
        adapter = self._adapter(name)
        if adapter.spec.conditional:
            raise ConfigError(
                f"adapter {name!r} acts for some tokens only; merged, it would act for all. Drop it or keep it"
            )
        self._needs_unpacked(adapter.spec)
        merged = {place: module.merged() for place, module in adapter.modules().items()}
        layers = [self.layers[number] for number in adapter.spec.experts]

        def change() -> Callable[[], None]:
            back = take_out(self, adapter.spec)
            undos = [
                changes.replace(self.layers[layer], expert, weights) for (layer, expert), weights in merged.items()
            ]
            del self.adapters[name]

            def undo() -> None:
                for each in undos:
                    each()
                back()
                self.adapters[name] = adapter

            return undo

        tensors = {f"{layer}.{n}.{key}": t for (layer, n), w in merged.items() for key, t in w.copy().tensors().items()}
        step = Step("merge_adapter", {"name": name}, tensors)
        self._perform(step, layers, change, changes.close)

    def drop_adapter(self, name: str) -> None:
        """Take an adapter out and forget it."""
        adapter = self._adapter(name)
        take_out(self, adapter.spec)
        del self.adapters[name]

    def pack_experts(self, layers: Iterable[int] | None = None) -> int:
        """Hold these layers' experts in 4 bits (NF4); gives the bytes of all their stacks now.

        Not undoable: the numbers that are rounded away are gone. Outputs change a little; measure with `perplexity`.
        """
        chosen = self._chosen(layers)
        for layer in chosen:
            self._needs_bare(layer, "pack")
        for layer in chosen:
            own = stacks(layer.place.experts)
            matrices = {name: stack for name, stack in own.items() if stack.ndim == 3}
            for name in matrices:
                del layer.place.experts._parameters[name]
            layer.place.experts.add_module("packed", PackedExperts(matrices))
            state_of(layer)
            settle(layer)
        return sum(layer.place.experts.packed.size_bytes for layer in chosen)  # type: ignore[union-attr, misc]

    def unpack_experts(self, layers: Iterable[int] | None = None) -> None:
        """Hold packed experts as ordinary numbers again: those that four bits kept."""
        for layer in self._chosen(layers):
            experts = layer.place.experts
            packed = experts._modules.pop("packed", None)
            if isinstance(packed, PackedExperts):
                for name, stack in packed.stacks().items():
                    whole = torch.stack([stack[expert] for expert in range(layer.num_experts)])
                    experts.register_parameter(name, nn.Parameter(whole, requires_grad=False))
                settle(layer)

    # Looking

    def usage(
        self,
        texts: Mapping[str, Sequence[str]] | Sequence[str],
        *,
        max_tokens: int = 256,
        batch_size: int = 8,
        generate_tokens: int = 0,
    ) -> Usage:
        """Which experts the routers choose for these texts (domain → texts, or one list); see `measure_usage`."""
        return measure_usage(self, texts, max_tokens=max_tokens, batch_size=batch_size, generate_tokens=generate_tokens)

    def suggest(self, texts: Sequence[str], share: float = 0.25, **how: Any) -> dict[int, tuple[int, ...]]:
        """The experts worth training for these texts, by layer; see `Usage.suggest`."""
        return self.usage(texts).suggest("texts", share, **how)

    def perplexity(self, texts: Sequence[str], *, max_tokens: int = 256, role: str | None = None) -> float:
        """exp of the mean negative log likelihood of a token; role: begin every text with this role's token."""
        if role is not None and role not in self.program.roles:
            raise UnknownNameError("role", role, self.program.roles)
        prefix = [] if role is None else [self.program.roles[role]]
        return perplexity(self, texts, max_tokens=max_tokens, prefix=prefix)

    # Ablation and steering

    @contextmanager
    def ablate(self, experts: Mapping[int, Sequence[int]], *, reroute: bool = False) -> Iterator[None]:
        """Without these experts for a moment: their outputs are zero, or (reroute) their tokens go to the next best."""
        for number, gone in experts.items():
            self.layers[number].need(*gone)
        if reroute:
            rules = [Rule(do="forbid", experts=tuple(gone), layers=(number,)) for number, gone in experts.items()]
            before, functions = self.program, self.functions
            program = Program.from_mapping({**before.to_dict(), "rules": [*before.rules, *rules]})
            check_program(program, self._numbers(), {x.number: x.top_k for x in self.layers}, self._groups())
            self._install(program, functions)
            try:
                yield
            finally:
                self._install(before, functions)
            return
        with self.steer({number: dict.fromkeys(gone, 0.0) for number, gone in experts.items()}):
            yield

    @contextmanager
    def steer(self, strengths: Mapping[int, Mapping[int, float | Tensor]]) -> Iterator[None]:
        """For a moment: layer → expert → a factor on its output, or a vector added to it for the tokens it serves."""
        for number, wanted in strengths.items():
            self.layers[number].need(*wanted)
        before = {
            number: (dict(state_of(self.layers[number]).scale), dict(state_of(self.layers[number]).direction))
            for number in strengths
        }
        try:
            for number, wanted in strengths.items():
                state = state_of(self.layers[number])
                for expert, strength in wanted.items():
                    if isinstance(strength, Tensor):
                        state.direction[expert] = strength
                    else:
                        state.scale[expert] = float(strength)
                settle(self.layers[number])
            yield
        finally:
            for number, (scale, direction) in before.items():
                state = state_of(self.layers[number])
                state.scale, state.direction = scale, direction
                settle(self.layers[number])

    # Keeping

    def save(self, folder: str | Path, *, verify: bool = True) -> Saved:
        """Write the model: an ordinary checkpoint where the format can hold it, else with a side-car that `surgery.open` reads.

        Steps before it can no longer be undone. Raises `StorageError` when it cannot be written; what stood there stays.
        """
        saved = save(self, folder, verify=verify)
        self.settle_opened()
        return saved

    def settle_opened(self) -> None:
        """Start a new log here."""
        self._done.clear()
        self._agree()
        self._made_for, self._fingerprint = self.description(), self._routers_fingerprint()

    @property
    def has_functions_in_log(self) -> bool:
        """Whether a step cannot stand in a recipe."""
        return bool(self.functions)

    def install_program(self, program: Program) -> None:
        """Put rules in without a step in the log: for loading."""
        self._install(program, ())

    def put_in(self, spec: AdapterSpec, seed: int) -> Adapters:
        """Put stand-ins in without freezing anything: for loading."""
        check_spec(self, spec)
        adapter = install(self, spec, seed)
        self.adapters[spec.name] = adapter
        self.follow()
        return adapter

    def set_numbers(self, layer: Layer, num_experts: int, top_k: int) -> None:
        """Set every copy of a layer's numbers: for loading."""
        changes.count(layer, num_experts)
        changes.set_top_k([layer], top_k)

    def expect_packed(self, layer: Layer, state: Mapping[str, Tensor]) -> None:
        """Packed stacks of the sizes in `state`, to be filled: for loading."""
        experts = layer.place.experts
        matrices = {name: stack for name, stack in stacks(experts).items() if stack.ndim == 3}
        for name in matrices:
            del experts._parameters[name]
        packed = PackedExperts(matrices)
        for buffer in ("codes", "largest"):
            for name in matrices:
                stored = state[f"{layer.place.name}.experts.packed.{name}.{buffer}"]
                setattr(packed.get_submodule(name), buffer, torch.empty_like(stored))
        experts.add_module("packed", packed)
        state_of(layer)
        settle(layer)

    # History

    @property
    def steps(self) -> tuple[Step, ...]:
        """What was done since opening or saving."""
        return tuple(done.step for done in self._done)

    def undo(self) -> Step:
        """Take the last step back; `ConfigError` when there is none."""
        if not self._done:
            raise ConfigError("nothing to undo: no operation since the model was opened or saved")
        done = self._done.pop()
        done.undo()
        self._agree()
        return done.step

    def recipe(self) -> Recipe:
        """The steps so far, to be replayed on another copy of the model as it was opened."""
        if self.functions:
            raise ConfigError("a router function in Python cannot stand in a recipe; write it as rules, or take it off")
        return Recipe(self._made_for, self._fingerprint, self.steps)

    def apply(self, recipe: Recipe | str | Path, *, any_weights: bool = False) -> None:
        """Replay a recipe; all its steps hold or none does.

        any_weights: accept a model of the same shape whose routers have other weights. Raises `ConfigError` for another model.
        """
        recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
        self._needs_same(recipe, any_weights)
        before = len(self._done)
        try:
            for step in recipe.steps:
                self._replay(step)
        except Exception:
            while len(self._done) > before:
                self.undo()
            raise

    # How it is done

    def _perform(
        self, step: Step, layers: Sequence[Layer], change: Callable[[], Callable[[], None]], expect: Expect
    ) -> None:
        """Change, verify by running the touched blocks before and after, and take it back when that fails."""
        before = [layer.probe() for layer in layers]
        undo = change()
        try:
            self._agree()
            for layer, probe in zip(layers, before, strict=True):
                expect(layer, probe, layer.probe())
        except Exception:
            undo()
            self._agree()
            raise
        self._done.append(Done(step, undo))
        self._warn_of_devices(layers)

    def _agree(self) -> None:
        """Let config and causal LM say what the layers have; lend the LM a balance loss where its own would be wrong."""
        if self.uniform:
            first = self.layers.all[0]
            for config in self.anatomy.configs:
                _say(config, ("num_experts_per_tok",), first.top_k)
                _say(config, self.family.count_keys, first.num_experts)
            for module in copies_of(self.model, "num_experts_per_tok"):
                module.num_experts_per_tok = first.top_k  # type: ignore[assignment]
            for module in copies_of(self.model, "num_experts"):
                module.num_experts = first.num_experts  # type: ignore[assignment]
        odd = not self.uniform or any(layer.closed for layer in self.layers)
        if odd and hasattr(self.model, "router_aux_loss_coef"):
            self.model.__dict__["surgery_watch"] = self.watch
            dress(self.model, EditedCausalLM)
        else:
            undress(self.model, EditedCausalLM)
            self.model.__dict__.pop("surgery_watch", None)
        for layer in self.layers:
            _dress_router(layer)

    def _install(self, program: Program, functions: tuple[Function, ...], *, always: bool = False) -> None:
        self.program, self.functions = program, functions
        self.hooks.role_tokens = {token: i for i, token in enumerate(program.roles.values())}
        self.hooks.role_names = program.role_names
        self.follow()
        for layer in self.layers:
            state, number = layer.state, layer.number
            needed = always or functions or any(r.layers is None or number in r.layers for r in program.rules)
            state.program = (
                compile_program(program, number, layer.num_experts, _limits(layer), functions) if needed else None
            )
            layer.router.__dict__["surgery"] = state
            _dress_router(layer)

    def follow(self) -> None:
        """Let routers know the forward pass they are in: padding, token ids, roles."""
        self.hooks.install(self.anatomy.backbone, [layer.place.decoder for layer in self.layers])

    def _numbers(self) -> dict[int, int]:
        return {layer.number: layer.num_experts for layer in self.layers}

    def _groups(self) -> dict[int, tuple[int, int]]:
        return {layer.number: layer.groups for layer in self.layers}

    def _chosen(self, layers: Iterable[int] | None) -> list[Layer]:
        return list(self.layers) if layers is None else [self.layers[number] for number in layers]

    def _adapt(self, spec: AdapterSpec, seed: int) -> Adapters:
        adapter = self.put_in(spec, seed)
        self.train_only("adapters")
        return adapter

    def _adapter(self, name: str) -> Adapters:
        if name not in self.adapters:
            raise UnknownNameError("adapter", name, self.adapters)
        return self.adapters[name]

    def _needs_unpacked(self, spec: AdapterSpec) -> None:
        packed = [number for number in spec.experts if "packed" in self.layers[number].place.experts._modules]
        if packed:
            raise ConfigError(
                f"the experts of layers {packed} are packed in 4 bits, which cannot take an adapter in without "
                f"rounding it; keep the "
                "adapter beside them, or merge it into the unpacked model"
            )

    def _needs_bare(self, layer: Layer, what: str) -> None:
        """Operations that number experts anew would leave rules and adapters pointing at others."""
        if self.program.rules or self.functions:
            raise ConfigError(f"{what}: a program names experts by number; take it off first (set_program(Program()))")
        children = dict(layer.place.experts.named_children())
        if children.get("variants") is not None:
            raise ConfigError(
                f"{what}: layer {layer.number} has adapters or experts in training; merge or drop them first"
            )
        if children.get("packed") is not None:
            raise ConfigError(
                f"{what}: the experts of layer {layer.number} are packed in 4 bits; unpack them first (unpack_experts)"
            )

    def _weights(self, source: Any, layer: Layer) -> ExpertWeights:
        """The weights in whatever stands for an expert."""
        if source is None:
            return average([layer.read(each) for each in range(layer.num_experts)])
        if isinstance(source, Expert):
            return source.weights
        if isinstance(source, ExpertWeights):
            return source
        if isinstance(source, nn.Module):
            return weights_in(source)
        if isinstance(source, Sequence) and not isinstance(source, str):
            return average([self._weights(each, layer) for each in source])
        raise ConfigError(
            f"{type(source).__name__} is no expert; give an Expert, a gated FFN module, ExpertWeights, or a list of them"
        )

    def _row(self, source: Any, layer: Layer) -> int | None:
        """Which row of this layer's router belongs to the source."""
        return source.number if isinstance(source, Expert) and source.layer.place.router is layer.router else None

    def _warn_of_devices(self, layers: Sequence[Layer]) -> None:
        devices = self.expert_parallel
        for layer in layers:
            if devices and layer.num_experts % devices:
                warnings.warn(
                    f"layer {layer.number} now has {layer.num_experts} experts, which {devices} devices cannot share evenly: "
                    "expert parallelism will refuse it; insert or remove until it divides",
                    stacklevel=4,
                )

    def _routers_fingerprint(self) -> str:
        return fingerprint([layer.router.weight for layer in self.layers])  # type: ignore[misc]

    def _needs_same(self, recipe: Recipe, any_weights: bool) -> None:
        here = self.description()
        differing = [key for key in here if recipe.model.get(key) != here[key]]
        if differing:
            told = "; ".join(f"{key}: {recipe.model.get(key)!r} in the recipe, {here[key]!r} here" for key in differing)
            raise ConfigError(f"the recipe was made for another model ({told}); open the one it belongs to")
        if not any_weights and recipe.fingerprint != self._routers_fingerprint():
            raise ConfigError(
                "the recipe was made for a model of this shape with other router weights; open that one, or say that any "
                "weights will do (any_weights=True)"
            )

    def _replay(self, step: Step) -> None:
        known = (
            "set_top_k",
            "replace",
            "insert",
            "let_in",
            "remove",
            "merge",
            "reorder",
            "set_program",
            "merge_adapter",
        )
        if step.do not in known:
            raise UnknownNameError("operation", step.do, known)
        arguments = dict(step.arguments)
        try:
            if step.do == "replace":
                self.replace(**arguments, source=ExpertWeights(**step.tensors))
            elif step.do == "insert":
                sources, rows = changes.brought(step.tensors)
                self.insert(**arguments, sources=sources, rows=rows)
            elif step.do == "merge_adapter":
                for layer, expert, weights in changes.merged(step.tensors):
                    self.replace(layer, expert, weights)
            elif step.do == "set_program":
                self.set_program(Program.from_mapping(arguments["program"], source="recipe"))
            else:
                getattr(self, step.do)(**arguments)
        except (TypeError, KeyError) as error:
            raise ConfigError(f"recipe step {step.do!r} has wrong arguments {sorted(arguments)}: {error}") from error


class Layers:
    """The layers with experts, by their number in the model; iterating gives the layers themselves."""

    def __init__(self, moe: MoE) -> None:
        self.all = tuple(Layer(moe, place) for place in moe.anatomy.places)
        self._by_number = {layer.number: layer for layer in self.all}

    def __getitem__(self, number: int) -> Layer:
        """The layer with this number; `ConfigError` when there is none or it is dense."""
        if number not in self._by_number:
            known = list(self._by_number)
            raise ConfigError(
                f"layer {number!r} has no experts; layers with experts: {known[0]} to {known[-1]}, {len(known)} of them"
            )
        return self._by_number[number]

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.all)

    def __len__(self) -> int:
        return len(self.all)


class Warmup:
    """Opens experts little by little: their logits' bias rises from -10 to 0 in equal steps."""

    def __init__(self, layer: Layer, experts: tuple[int, ...], steps: int) -> None:
        self._layer, self._experts, self._steps, self._taken = layer, experts, steps, 0

    @property
    def finished(self) -> bool:
        """Whether the experts are open without a bias."""
        return self._taken >= self._steps

    def step(self) -> None:
        """One step further; call it after every optimiser step. Does nothing once finished."""
        if self.finished:
            return
        self._taken += 1
        left = _OPENING_BIAS * (1 - self._taken / self._steps)
        for expert in self._experts:
            self._layer.state.bias.pop(expert, None)
            if left:
                self._layer.state.bias[expert] = left
        _dress_router(self._layer)


def _dress_router(layer: Layer) -> None:
    """The edited class while there is something to do, else the family's own."""
    state = layer.router.__dict__.get("surgery")
    if isinstance(state, RouterState) and not state.plain:
        dress(layer.router, EditedRouter)
    else:
        undress(layer.router, EditedRouter)


def _is_plain(layer: Layer) -> bool:
    children = dict(layer.place.experts.named_children())
    return layer.state.plain and children.get("variants") is None and children.get("packed") is None


def _limits(layer: Layer) -> Callable[[], tuple[int, int]]:
    return lambda: (layer.top_k, len(layer.closed))


def _say(config: Any, keys: Sequence[str], value: int) -> None:
    """Set the first of these keys that the config has (transformers maps its other names to the same)."""
    for key in keys:
        if hasattr(config, key):
            setattr(config, key, value)
            return
