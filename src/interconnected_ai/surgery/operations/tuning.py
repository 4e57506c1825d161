"""Training parts of a model: adapters of single experts, whole experts, routers; and the rest in four bits."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from torch import Tensor, nn

from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.surgery.adapters import packing
from interconnected_ai.surgery.adapters.offload import Shelf
from interconnected_ai.surgery.adapters.stand_ins import (
    Adapters,
    AdapterSpec,
    check_spec,
    install,
    settle,
    state_of,
    take_out,
)
from interconnected_ai.surgery.adapters.trained import train_routers, verified
from interconnected_ai.surgery.anatomy.layer import Layer
from interconnected_ai.surgery.operations import changes
from interconnected_ai.surgery.operations.history import Step
from interconnected_ai.surgery.session import Expect, Patient

# Four bits move the logits of trained models by some hundredths of their size; far beyond that a model is worth a look.
_MUCH_ERROR = 0.25


class Tuning(Patient):
    """What learns, and what is only held."""

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
        spec = AdapterSpec(name, "lora", chosen, rank, float(rank if alpha is None else alpha), role, on_request)
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
        self._needs_unrounded(adapter.spec)
        merged = {place: module.merged().aside() for place, module in adapter.modules().items()}
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

        tensors = {f"{layer}.{n}.{key}": t for (layer, n), w in merged.items() for key, t in w.tensors().items()}
        step = Step("merge_adapter", {"name": name}, tensors)
        self._perform(step, layers, change, changes.close)

    def drop_adapter(self, name: str) -> None:
        """Take an adapter out and forget it."""
        adapter = self._adapter(name)
        take_out(self, adapter.spec)
        del self.adapters[name]

    def pack_experts(self, layers: Iterable[int] | None = None, *, spill: str | Path | None = None) -> int:
        """Hold these layers' experts in 4 bits (NF4); gives the bytes of all their stacks now.

        Outputs change a little: the relative error of the logits stands in the step's `measured`, and a large one is warned of.
        spill: a folder for the originals, which an undo needs and memory must not hold, until the next save; None is the
        system's temporary folder. Raises `StorageError` without room for them.
        """
        chosen = self._chosen(layers)
        for layer in chosen:
            self._needs_unpacked(layer, "pack")
        before = self._sample_logits()
        step = Step("pack_experts", {} if layers is None else {"layers": [layer.number for layer in chosen]})
        self._hold(step, chosen, packing.pack, changes.near, spill, lambda: _error(before, self._sample_logits()))
        error = step.measured["logits_relative_error"]
        if error > _MUCH_ERROR:
            warnings.warn(
                f"four bits moved the logits by {error:.0%} of their size; measure with `perplexity`, and undo it or pack "
                "fewer layers where that is too much",
                stacklevel=2,
            )
        return sum(layer.place.experts.packed.size_bytes for layer in chosen)  # type: ignore[union-attr, misc]

    def unpack_experts(self, layers: Iterable[int] | None = None, *, spill: str | Path | None = None) -> None:
        """Hold packed experts as ordinary numbers again: those that four bits kept. Does nothing where none is packed.

        To have the numbers back that were there before, undo the packing. spill: as in `pack_experts`.
        """
        chosen = [layer for layer in self._chosen(layers) if "packed" in layer.place.experts._modules]
        if not chosen:
            return
        step = Step("unpack_experts", {} if layers is None else {"layers": [layer.number for layer in chosen]})
        self._hold(step, chosen, packing.unpack, changes.close, spill, dict)

    def _hold(
        self,
        step: Step,
        layers: Sequence[Layer],
        change: Callable[[Layer, Shelf], Callable[[], None]],
        expect: Expect,
        spill: str | Path | None,
        measure: Callable[[], dict[str, float]],
    ) -> None:
        """Hold layers in other numbers; what they were waits on disk for the undo."""
        undos: list[Callable[[], None]] = []

        def undo() -> None:
            for each in reversed(undos):
                each()
            for layer in layers:
                settle(layer)

        def whole() -> Callable[[], None]:
            shelf = Shelf(spill, sum(map(packing.held_bytes, layers)))
            try:
                for layer in layers:
                    undos.append(change(layer, shelf))
                    state_of(layer)
                    settle(layer)
            except BaseException:
                undo()
                raise
            return undo

        self._perform(step, layers, whole, expect, measure)

    @torch.no_grad()
    def _sample_logits(self) -> Tensor:
        """What the model says to a few tokens, always the same."""
        vocab_size = self.model.config.get_text_config().vocab_size
        ids = torch.randint(vocab_size, (1, 16), generator=torch.Generator().manual_seed(0))
        training = self.model.training
        self.model.eval()
        try:
            logits: Tensor = self.model(ids.to(self.model.get_input_embeddings().weight.device)).logits
        finally:
            self.model.train(training)
        return logits.float()

    def put_in(self, spec: AdapterSpec, seed: int) -> Adapters:
        """Put stand-ins in without freezing anything: for loading."""
        check_spec(self, spec)
        adapter = install(self, spec, seed)
        self.adapters[spec.name] = adapter
        self.follow()
        return adapter

    def _adapt(self, spec: AdapterSpec, seed: int) -> Adapters:
        adapter = self.put_in(spec, seed)
        self.train_only("adapters")
        return adapter

    def _adapter(self, name: str) -> Adapters:
        if name not in self.adapters:
            raise UnknownNameError("adapter", name, self.adapters)
        return self.adapters[name]

    def _needs_unrounded(self, spec: AdapterSpec) -> None:
        packed = [number for number in spec.experts if "packed" in self.layers[number].place.experts._modules]
        if packed:
            raise ConfigError(
                f"the experts of layers {packed} are packed in 4 bits: their numbers stand on 16 levels, and an update that is "
                "smaller than half a step would be rounded away with them. Keep the adapter beside them, or take the packing "
                f"back (undo, or unpack_experts({packed})), merge, and leave those layers unpacked"
            )


def _error(before: Tensor, after: Tensor) -> dict[str, float]:
    return {"logits_relative_error": float((after - before).norm() / before.norm())}
