"""See, change, add, train and program the experts and routers of a pretrained Hugging Face mixture of experts."""

from interconnected_ai.surgery.adapters.stand_ins import Adapters, AdapterSpec
from interconnected_ai.surgery.analysis.prompts import rows_for
from interconnected_ai.surgery.analysis.texts import TextModel, perplexity, tune
from interconnected_ai.surgery.analysis.usage import Usage
from interconnected_ai.surgery.anatomy.families import FAMILIES, Family
from interconnected_ai.surgery.anatomy.ffn import FFN, ExpertWeights, average
from interconnected_ai.surgery.anatomy.layer import FFNExpert, Layer
from interconnected_ai.surgery.checkpoints.checkpoint import Checkpoint
from interconnected_ai.surgery.checkpoints.parallel import (
    deepspeed_config,
    let_autoep_ask_transformers,
    transformers_plan,
)
from interconnected_ai.surgery.checkpoints.saving import Saved
from interconnected_ai.surgery.model import MoE, Warmup
from interconnected_ai.surgery.opening import open_moe as load
from interconnected_ai.surgery.opening import open_moe as open
from interconnected_ai.surgery.operations.history import Recipe, Step
from interconnected_ai.surgery.role import Role, make_role, prepare_role
from interconnected_ai.surgery.routing.context import Forward, RowRequest
from interconnected_ai.surgery.routing.programs import Program, Rule
from interconnected_ai.surgery.sizes import Sizes
from interconnected_ai.surgery.upcycle import upcycle

__all__ = [
    "FAMILIES",
    "FFN",
    "AdapterSpec",
    "Adapters",
    "Checkpoint",
    "ExpertWeights",
    "FFNExpert",
    "Family",
    "Forward",
    "Layer",
    "MoE",
    "Program",
    "Recipe",
    "Role",
    "RowRequest",
    "Rule",
    "Saved",
    "Sizes",
    "Step",
    "TextModel",
    "Usage",
    "Warmup",
    "average",
    "deepspeed_config",
    "let_autoep_ask_transformers",
    "load",
    "make_role",
    "open",
    "perplexity",
    "prepare_role",
    "rows_for",
    "transformers_plan",
    "tune",
    "upcycle",
]
