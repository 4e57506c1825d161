"""Size, train and grow domain-specific systems of experts, on the hardware you have.

Importing the package costs nothing: public names are found the first time they are used (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from interconnected_ai import surgery
    from interconnected_ai.branches import DenseSystem, InterconnectedAISystem, Prediction, inference
    from interconnected_ai.clients import AsyncThreeLevelMemory
    from interconnected_ai.config import (
        BranchSpec,
        ExpertConfig,
        GenerationConfig,
        RunConfig,
        SystemConfig,
        TrainingConfig,
    )
    from interconnected_ai.errors import InterconnectedAIError
    from interconnected_ai.experts import Expert, ExpertModel
    from interconnected_ai.memory import ThreeLevelMemory
    from interconnected_ai.nn import LoRA, LoRALinear, MoELayer, TokenRouter
    from interconnected_ai.planner import Plan, PlanRequest, plan
    from interconnected_ai.training import evaluate, fit, train_epoch

_ROOMS = {
    "InterconnectedAISystem": "branches",
    "DenseSystem": "branches",
    "Prediction": "branches",
    "inference": "branches",
    "AsyncThreeLevelMemory": "clients",
    "BranchSpec": "config",
    "ExpertConfig": "config",
    "GenerationConfig": "config",
    "RunConfig": "config",
    "SystemConfig": "config",
    "TrainingConfig": "config",
    "InterconnectedAIError": "errors",
    "Expert": "experts",
    "ExpertModel": "experts",
    "ThreeLevelMemory": "memory",
    "LoRA": "nn",
    "LoRALinear": "nn",
    "MoELayer": "nn",
    "TokenRouter": "nn",
    "Plan": "planner",
    "PlanRequest": "planner",
    "plan": "planner",
    "evaluate": "training",
    "fit": "training",
    "train_epoch": "training",
}

__all__ = [
    "AsyncThreeLevelMemory",
    "BranchSpec",
    "DenseSystem",
    "Expert",
    "ExpertConfig",
    "ExpertModel",
    "GenerationConfig",
    "InterconnectedAIError",
    "InterconnectedAISystem",
    "LoRA",
    "LoRALinear",
    "MoELayer",
    "Plan",
    "PlanRequest",
    "Prediction",
    "RunConfig",
    "SystemConfig",
    "ThreeLevelMemory",
    "TokenRouter",
    "TrainingConfig",
    "__version__",
    "evaluate",
    "fit",
    "inference",
    "plan",
    "surgery",
    "train_epoch",
]


def __getattr__(name: str) -> Any:
    """Import the room that holds `name` the first time somebody asks for it; `surgery` is a room itself."""
    if name == "surgery":
        return import_module(f"{__name__}.surgery")
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
