"""A token's step in one call of compiled C, where the machine has a compiler: `step.c`, its library, and its calls."""

from interconnected_ai.experts.compiled.library import StepLibrary, library_folder, step_library
from interconnected_ai.experts.compiled.step import (
    NOT_COMPILED,
    STEPS,
    Compiled,
    CompiledModel,
    CompiledRow,
    require_compiled,
)
from interconnected_ai.experts.compiled.weights import BlockWeights, ModelWeights, Norm, Product

__all__ = [
    "NOT_COMPILED",
    "STEPS",
    "BlockWeights",
    "Compiled",
    "CompiledModel",
    "CompiledRow",
    "ModelWeights",
    "Norm",
    "Product",
    "StepLibrary",
    "library_folder",
    "require_compiled",
    "step_library",
]
