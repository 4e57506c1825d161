"""A token's step, of one row or of several, in one call of C, where there is a compiler: `step.c`, its library, its calls."""

from interconnected_ai.experts.compiled.library import StepLibrary, library_folder, step_library
from interconnected_ai.experts.compiled.step import (
    NOT_COMPILED,
    STEPS,
    Compiled,
    CompiledModel,
    CompiledRow,
    RowAdapter,
    require_compiled,
    step_rows,
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
    "RowAdapter",
    "StepLibrary",
    "library_folder",
    "require_compiled",
    "step_library",
    "step_rows",
]
