"""`MoE`: a pretrained mixture of experts under the knife. Every operation is checked, verified, undoable and logged."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.surgery.adapters.nf4 import PackedExperts
from interconnected_ai.surgery.adapters.stand_ins import settle, state_of
from interconnected_ai.surgery.analysis.looking import Looking
from interconnected_ai.surgery.anatomy.ffn import ExpertWeights
from interconnected_ai.surgery.anatomy.layer import Layer
from interconnected_ai.surgery.anatomy.places import stacks
from interconnected_ai.surgery.checkpoints.saving import Saved, save
from interconnected_ai.surgery.operations import changes
from interconnected_ai.surgery.operations.history import Recipe, Step
from interconnected_ai.surgery.operations.operations import Operations, Warmup
from interconnected_ai.surgery.operations.tuning import Tuning
from interconnected_ai.surgery.routing.programs import Program

__all__ = ["MoE", "Warmup"]


class MoE(Operations, Tuning, Looking):
    """A transformers model whose experts and routers can be seen, changed, added, trained and programmed.

    model: what was opened; it is changed in place. tokenizer: beside it in its folder, None without.
    expert_parallel: devices the experts are to be spread over; operations warn when their number no longer divides.
    """

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
        except BaseException:  # Ctrl-C too leaves the model as it was
            while len(self._done) > before:
                self.undo()
            raise

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
            "add_role",
            "merge_adapter",
            "pack_experts",
            "unpack_experts",
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
