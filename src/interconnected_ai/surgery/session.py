"""A model that is being edited: what it is, what was done to it, and how every change is verified and taken back.

What changes are there to make is the affair of `operations`; `MoE` is what a user holds.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import RLock
from typing import Any

from torch import nn

from interconnected_ai.errors import ConfigError
from interconnected_ai.nn import require_own_threads
from interconnected_ai.surgery.adapters.edited_experts import put_state as put_experts_state
from interconnected_ai.surgery.adapters.edited_experts import state_of
from interconnected_ai.surgery.adapters.stand_ins import Adapters
from interconnected_ai.surgery.anatomy.layer import Layer, Layers
from interconnected_ai.surgery.anatomy.places import dissect
from interconnected_ai.surgery.checkpoints.origin import Origin
from interconnected_ai.surgery.operations.change import Change, Done
from interconnected_ai.surgery.operations.history import Step, digest, fingerprint
from interconnected_ai.surgery.operations.snapshot import Snapshot
from interconnected_ai.surgery.routing.causal import EditedCausalLM
from interconnected_ai.surgery.routing.context import Hooks, dress, undress
from interconnected_ai.surgery.routing.edited_router import put_state, settle_router
from interconnected_ai.surgery.routing.losses import RouterRecord, watching
from interconnected_ai.surgery.routing.programs import Function, Program, compile_program
from interconnected_ai.surgery.routing.warmup import Warmup
from interconnected_ai.surgery.settings import need_numbers


class Session:
    """A transformers model with its layers of experts, its program, its adapters and its history.

    source: the folder of ours that it was opened from and the version that was read, None for any other origin.
    origin: the folder that it was opened from, whoever wrote it, None for a model that was in memory.
    log_is_whole: whether the log goes back to the opening.
    rerouting: how many `ablate(…, reroute=True)` blocks hold at the moment. lock: held by whoever changes something.
    adapters_at_start: name → digest of what each had learnt when the log began. unlogged: what the log lacks, in words.
    """

    def __init__(self, model: nn.Module, tokenizer: Any = None, expert_parallel: int | None = None) -> None:
        self.model: Any = model
        self.tokenizer = tokenizer
        self.expert_parallel = expert_parallel
        self.anatomy = dissect(model)
        self.family = self.anatomy.family
        self.layers = Layers(self.anatomy.places, self.family)
        self.hooks = Hooks()
        self.program = Program()
        self.functions: tuple[Function, ...] = ()
        self.adapters: dict[str, Adapters] = {}
        self.warmups: list[Warmup] = []
        self.source: tuple[Path, str] | None = None
        self.origin: Origin | None = None
        self.log_is_whole = True
        self.rerouting = 0
        self.lock = RLock()
        self._done: list[Done] = []
        self._unfinished: tuple[Step | None, Snapshot] | None = None
        self.made_for = self.description()
        self.fingerprint = self.routers_fingerprint()
        self.adapters_at_start: dict[str, str] = {}
        self.unlogged: tuple[str, ...] = ()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Neither copied nor pickled: a copy would share what it edits."""
        raise ConfigError(
            "a MoE can be neither copied nor pickled; save it (MoE.save) and open the folder (surgery.open)"
        )

    # What it is

    @property
    def uniform(self) -> bool:
        """Whether every layer has as many experts and the same top-k: what a config.json can say."""
        return len({*((layer.num_experts, layer.top_k) for layer in self.layers), *self.anatomy.fixed}) == 1

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

    def routers_fingerprint(self) -> str:
        """Of the routers' weights as they are."""
        return fingerprint([layer.matrix for layer in self.layers])

    @contextmanager
    def watch(self, *, keep_graph: bool = True) -> Iterator[RouterRecord]:
        """Record what the routers choose inside the block, in this thread's passes. Raises `ForkError` in a forked child."""
        require_own_threads()
        self.follow()
        routers = [(layer.number, layer.router) for layer in self.layers]
        with watching(self.family.routing, routers, keep_graph=keep_graph) as seen:
            yield seen

    # What was done to it

    @property
    def steps(self) -> tuple[Step, ...]:
        """What was done since opening or saving."""
        return tuple(done.step for done in self._done)

    def start_log(self) -> None:
        """A new log begins here; what was done before can no longer be undone."""
        with self.changing():
            changed = bool(self._done or self.unlogged) or self.fingerprint != self.routers_fingerprint()
            self.log_is_whole = self.log_is_whole and not changed
            self._done = []
            self.agree()
            self.made_for, self.fingerprint = self.description(), self.routers_fingerprint()
            self.adapters_at_start = {name: digest(adapter.learnt()) for name, adapter in self.adapters.items()}
            self.unlogged = ()

    def leave_unlogged(self, words: str) -> None:
        """Remember that something is done which no step holds, for a recipe to say so."""
        self.unlogged = tuple(dict.fromkeys((*self.unlogged, words)))

    def perform(self, change: Change) -> None:
        """Change, and verify by running the touched blocks before and after; fails it anywhere, all is as it was."""
        with self.changing(change.step, change.reach) as before:
            probes = [layer.probe() for layer in change.layers]
            undo = change.do(before)
            self.agree()
            for layer, probe in zip(change.layers, probes, strict=True):
                change.verify(layer, probe, layer.probe())
            change.step.measured.update(change.measure())
            self._warn_of_devices(change.layers)
            self._done = [*self._done, Done(change, undo)]

    def undo(self) -> Step:
        """Take the last step back; an undo that fails leaves the step as it was, and may be called again.

        Raises `ConfigError` when there is none, or an adapter stands in for an expert that the step takes out.
        """
        with self.lock:
            if self._unfinished is not None:
                return self._finish(*self._unfinished)
            if not self._done:
                raise ConfigError("nothing to undo: no operation since the model was opened or saved")
            *rest, done = self._done
            with self.changing(done.step, done.change.reach) as now:
                done.undo(now)
                self.agree()
                self._done = rest
            return done.step

    @contextmanager
    def changing(self, step: Step | None = None, reach: Sequence[Layer] | None = None) -> Iterator[Snapshot]:
        """All of what the block changes, or none of it, whatever fails or interrupts it.

        step: what it belongs to, should it have to be taken back later (`undo`), when memory or disk allow it again.
        reach: the only layers that it changes, besides what stands outside of layers; None: any. What it changes of another
        it tells the snapshot first (`part`, `also`).
        """
        with self.lock:
            self.needs_whole()
            reached = {layer.number for layer in (self.layers if reach is None else reach)}
            left_out = [layer.place.decoder for layer in self.layers if layer.number not in reached]
            before = Snapshot(self.model, self._parts(), left_out)
            try:
                yield before
            except BaseException:  # Ctrl-C too leaves the model as it was
                self._restore(step, before)
                raise

    @contextmanager
    def for_a_moment(self, change: Change) -> Iterator[None]:
        """A change that goes with the block, and does not stand in the log."""
        with self.lock:
            self.perform(change)
            *self._done, done = self._done
        try:
            yield
        finally:
            with self.changing(done.step, done.change.reach) as now:
                done.undo(now)
                self.agree()

    def needs_whole(self) -> None:
        """Raise `ConfigError` while the model stands between two states."""
        if self._unfinished is not None:
            raise ConfigError(
                "an operation failed and could not be taken back whole, for lack of memory or of the disk; call undo() once "
                "there is room, then go on"
            )

    def _parts(self) -> list[Any]:
        return [self, self.hooks, *self.anatomy.configs, *self.adapters.values(), *self.warmups]

    def _restore(self, step: Step | None, before: Snapshot) -> None:
        for last in (False, True):
            try:
                before.restore()
            except BaseException as error:  # interrupted again, or no room to read back what waits on disk
                if last:
                    self._unfinished = step, before
                    error.add_note("The model stands between two states: call undo() once there is room.")
                    raise
            else:
                return

    def _finish(self, step: Step | None, before: Snapshot) -> Step:
        before.restore()
        self._unfinished = None
        return step or Step("unfinished")

    # What operations have in common

    def agree(self) -> None:
        """Let config and causal LM say what the layers have; lend the LM a balance loss where its own would be wrong."""
        uniform = self.uniform
        if uniform:
            first = self.layers.all[0]
            for config in self.anatomy.configs:
                _say(config, self.family.top_k_keys, first.top_k)
                _say(config, self.family.count_keys, first.num_experts)
            for name, number in (("num_experts_per_tok", first.top_k), ("num_experts", first.num_experts)):
                for module in self.anatomy.copies[name]:
                    setattr(module, name, number)
        odd = not uniform or any(layer.closed for layer in self.layers)
        if odd and hasattr(self.model, "router_aux_loss_coef"):
            self.model.__dict__["surgery_watch"] = self.watch
            dress(self.model, EditedCausalLM)
        else:
            undress(self.model, EditedCausalLM)
            self.model.__dict__.pop("surgery_watch", None)
        for layer in self.layers:
            settle_router(layer.router)

    def install(
        self,
        before: Snapshot,
        program: Program,
        functions: tuple[Function, ...] = (),
        layers: Iterable[Layer] | None = None,
    ) -> None:
        """Run these rules inside the routers, instead of those before. layers: where they differ; None: anywhere."""
        self.program, self.functions = program, functions
        self.hooks.role_tokens = {token: i for i, token in enumerate(program.roles.values())}
        self.hooks.role_names = program.role_names
        self.follow(before)
        for layer in self.layers if layers is None else layers:
            number = layer.number
            ruled = any(rule.layers is None or number in rule.layers for rule in program.rules)
            # an operation inside `requests` must not take their allow and deny sets off
            needed = ruled or functions or self.hooks.holding
            compiled = compile_program(program, number, layer.num_experts, layer.limits, functions) if needed else None
            put_state(layer.router, replace(layer.state, program=compiled))

    def expect_warmup(self, warmup: Warmup) -> None:
        """Keep a schedule among those that are not finished."""
        self.warmups = [each for each in self.warmups if not each.finished]
        self.warmups += [] if warmup.finished else [warmup]

    def hold_requests(self, more: int, *, counting: bool = False) -> None:
        """One `requests` block more, or (-1) less: while any holds, all routers ask for the rows' settings.

        counting: whether its rows ask for another top-k, so that tokens of one pass may take fewer experts than others.
        """
        with self.changing() as before:
            self.hooks.counting += more if counting else 0
            if counting and self.hooks.counting == max(more, 0):
                for layer in self.layers:
                    fewer = self.hooks.counting > 0 or not layer.state.reach.plain
                    put_experts_state(layer, replace(state_of(layer), fewer=fewer))
            self.hooks.holding += more
            if self.hooks.holding == max(more, 0):  # the first came, or the last went
                self.install(before, self.program, self.functions)

    def follow(self, before: Snapshot | None = None) -> None:
        """Let routers know the forward pass they are in: padding, token ids, roles. before: of the change it is part of."""
        with self.lock:
            if self.hooks.installed:
                return
            decoders = [layer.place.decoder for layer in self.layers]
            if before is not None:
                for each in decoders:
                    before.part(each)  # its class alone changes
            self.hooks.install(self.anatomy.backbone, decoders)

    def numbers(self) -> dict[int, int]:
        """Layer → how many experts it has."""
        return {layer.number: layer.num_experts for layer in self.layers}

    def takes(self) -> dict[int, int]:
        """Layer → how many experts a token takes."""
        return {layer.number: layer.top_k for layer in self.layers}

    def groups(self) -> dict[int, tuple[int, int]]:
        """Layer → its router's groups."""
        return {layer.number: layer.groups for layer in self.layers}

    def chosen(self, layers: Iterable[int] | None) -> list[Layer]:
        """The layers with these numbers, None for all; `ConfigError` for none."""
        chosen = list(self.layers) if layers is None else [self.layers[each] for each in need_numbers("layers", layers)]
        if not chosen:
            raise ConfigError("no layer was named; name at least one, or leave layers out for all")
        return chosen

    def needs_unpacked(self, layer: Layer, what: str) -> None:
        """Raise `ConfigError` where the experts are packed."""
        if layer.packed:
            raise ConfigError(
                f"{what}: the experts of layer {layer.number} are packed in 4 bits; unpack them first (unpack_experts)"
            )

    def needs_free_numbers(self, layer: Layer, what: str) -> None:
        """Raise `ConfigError` where something that cannot follow names experts by number."""
        self.needs_unpacked(layer, what)
        if self.functions:
            raise ConfigError(
                f"{what}: a router function in Python may name experts by number, which nobody can change for it; take it off "
                "first (set_program)"
            )
        state = state_of(layer)
        if self.hooks.holding or self.rerouting or state.scale or state.direction:
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


def _is_plain(layer: Layer) -> bool:
    return layer.state.plain and not layer.packed and "variants" not in layer.place.experts._modules


def _say(config: Any, keys: Sequence[str], value: int) -> None:
    """Set the first of these keys that the config has (transformers maps its other names to the same)."""
    for key in keys:
        if hasattr(config, key):
            setattr(config, key, value)
            return
