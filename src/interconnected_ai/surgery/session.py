"""A model on the table: what it is, what was done to it, and how every operation is verified and taken back."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from torch import nn

from interconnected_ai.errors import ConfigError
from interconnected_ai.surgery.adapters.stand_ins import Adapters
from interconnected_ai.surgery.anatomy.layer import Layer, Probe
from interconnected_ai.surgery.anatomy.places import copies_of, dissect
from interconnected_ai.surgery.operations.history import Done, Step, fingerprint
from interconnected_ai.surgery.routing.causal import EditedCausalLM
from interconnected_ai.surgery.routing.context import Hooks, dress, undress
from interconnected_ai.surgery.routing.dressing import EditedRouter, RouterState
from interconnected_ai.surgery.routing.losses import RouterRecord, watching
from interconnected_ai.surgery.routing.programs import Function, Program, compile_program

if TYPE_CHECKING:
    from interconnected_ai.surgery.model import MoE
    from interconnected_ai.surgery.operations.operations import Warmup

Expect = Callable[[Layer, Probe, Probe], None]


class Patient:
    """A transformers model with its layers of experts, its program, its adapters and its history."""

    def __init__(self, model: nn.Module, tokenizer: Any = None, expert_parallel: int | None = None) -> None:
        self.model: Any = model
        self.tokenizer = tokenizer
        self.expert_parallel = expert_parallel
        self.anatomy = dissect(model)
        self.family = self.anatomy.family
        self.layers = Layers(cast("MoE", self))
        self.hooks = Hooks()
        self.program = Program()
        self.functions: tuple[Function, ...] = ()
        self.adapters: dict[str, Adapters] = {}
        self.warmups: list[Warmup] = []
        self.rerouting = 0  # how many `ablate(…, reroute=True)` blocks hold at the moment
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

    @contextmanager
    def watch(self, *, keep_graph: bool = True) -> Iterator[RouterRecord]:
        """Record what the routers choose inside the block: for balance and z losses, and for counting."""
        self.follow()
        with watching(
            self.family.routing, [(layer.number, layer.router) for layer in self.layers], keep_graph=keep_graph
        ) as seen:
            yield seen

    @property
    def steps(self) -> tuple[Step, ...]:
        """What was done since opening or saving."""
        return tuple(done.step for done in self._done)

    def undo(self) -> Step:
        """Take the last step back; `ConfigError` when there is none, or an adapter stands in for an expert it takes out."""
        if not self._done:
            raise ConfigError("nothing to undo: no operation since the model was opened or saved")
        done = self._done[-1]
        done.undo()
        del self._done[-1]
        self._agree()
        return done.step

    def _perform(
        self,
        step: Step,
        layers: Sequence[Layer],
        change: Callable[[], Callable[[], None]],
        expect: Expect,
        measure: Callable[[], dict[str, float]] = dict,
    ) -> None:
        """Change, verify by running the touched blocks before and after, and take it back when that fails.

        measure: run after the change; what it finds stands in the log.
        """
        before = [layer.probe() for layer in layers]
        undo = change()
        try:
            self._agree()
            for layer, probe in zip(layers, before, strict=True):
                expect(layer, probe, layer.probe())
            step.measured.update(measure())
        except BaseException:  # Ctrl-C too leaves the model as it was
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
            dress_router(layer)

    def _install(self, program: Program, functions: tuple[Function, ...], *, always: bool = False) -> None:
        self.program, self.functions = program, functions
        self.hooks.role_tokens = {token: i for i, token in enumerate(program.roles.values())}
        self.hooks.role_names = program.role_names
        self.follow()
        for layer in self.layers:
            state, number = layer.state, layer.number
            # an operation inside `requests` must not take their allow and deny sets off
            needed = (
                always
                or self.hooks.requests
                or functions
                or any(r.layers is None or number in r.layers for r in program.rules)
            )
            state.program = (
                compile_program(program, number, layer.num_experts, _limits(layer), functions) if needed else None
            )
            layer.router.__dict__["surgery"] = state
            dress_router(layer)

    def follow(self) -> None:
        """Let routers know the forward pass they are in: padding, token ids, roles."""
        self.hooks.install(self.anatomy.backbone, [layer.place.decoder for layer in self.layers])

    def _numbers(self) -> dict[int, int]:
        return {layer.number: layer.num_experts for layer in self.layers}

    def _groups(self) -> dict[int, tuple[int, int]]:
        return {layer.number: layer.groups for layer in self.layers}

    def _chosen(self, layers: Iterable[int] | None) -> list[Layer]:
        chosen = list(self.layers) if layers is None else [self.layers[number] for number in layers]
        if not chosen:
            raise ConfigError("no layer was named; name at least one, or leave layers out for all")
        return chosen

    def _needs_unpacked(self, layer: Layer, what: str) -> None:
        if "packed" in layer.place.experts._modules:
            raise ConfigError(
                f"{what}: the experts of layer {layer.number} are packed in 4 bits; unpack them first (unpack_experts)"
            )

    def _needs_free_numbers(self, layer: Layer, what: str) -> None:
        """Raise `ConfigError` where something that cannot follow names experts by number."""
        self._needs_unpacked(layer, what)
        if self.functions:
            raise ConfigError(
                f"{what}: a router function in Python may name experts by number, which nobody can change for it; take it off "
                "first (set_program)"
            )
        state = layer.place.experts.__dict__.get("surgery")
        if self.hooks.requests or self.rerouting or (state is not None and (state.scale or state.direction)):
            raise ConfigError(
                f"{what}: requests, ablation and steering that hold at the moment name experts by number; operate outside "
                "their `with` blocks"
            )

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


class Layers:
    """The layers with experts, by their number in the model; iterating gives the layers themselves."""

    def __init__(self, moe: "MoE") -> None:
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


def dress_router(layer: Layer) -> None:
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
