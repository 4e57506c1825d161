"""Training parts of a model: adapters of single experts, whole experts, routers; and the rest in four bits."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

import torch
from torch import nn

from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.surgery import changes
from interconnected_ai.surgery.adapters import Adapters, AdapterSpec, check_spec, install, settle, state_of, take_out
from interconnected_ai.surgery.anatomy import stacks
from interconnected_ai.surgery.history import Step
from interconnected_ai.surgery.nf4 import PackedExperts
from interconnected_ai.surgery.patient import Patient
from interconnected_ai.surgery.trained import train_routers, verified


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

    def _needs_unpacked(self, spec: AdapterSpec) -> None:
        packed = [number for number in spec.experts if "packed" in self.layers[number].place.experts._modules]
        if packed:
            raise ConfigError(
                f"the experts of layers {packed} are packed in 4 bits, which cannot take an adapter in without "
                f"rounding it; keep the "
                "adapter beside them, or merge it into the unpacked model"
            )
