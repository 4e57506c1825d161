"""See, change, add, train and program the experts and routers of a pretrained Hugging Face mixture of experts."""

from interconnected_ai.surgery.adapters.stand_ins import Adapters, AdapterSpec
from interconnected_ai.surgery.analysis.comparison import Comparison, compare
from interconnected_ai.surgery.analysis.comparison_page import parts_of as comparison_parts
from interconnected_ai.surgery.analysis.comparison_page import write_comparison
from interconnected_ai.surgery.analysis.prompts import rows_for
from interconnected_ai.surgery.analysis.rule import follows_its_family
from interconnected_ai.surgery.analysis.texts import TextModel, perplexity, tune
from interconnected_ai.surgery.analysis.usage import Usage
from interconnected_ai.surgery.anatomy.families import FAMILIES, Family
from interconnected_ai.surgery.anatomy.ffn import FFN, ExpertWeights, average
from interconnected_ai.surgery.anatomy.layer import FFNExpert, Layer
from interconnected_ai.surgery.checkpoints.checkpoint import Checkpoint, StoredExpert
from interconnected_ai.surgery.checkpoints.parallel import (
    deepspeed_config,
    let_autoep_ask_transformers,
    transformers_plan,
)
from interconnected_ai.surgery.checkpoints.saving import Saved
from interconnected_ai.surgery.model import MoE, Warmup
from interconnected_ai.surgery.offloading.offloaded import OffloadedMoE, open_offloaded
from interconnected_ai.surgery.offloading.store import Traffic
from interconnected_ai.surgery.opening import open_moe as load
from interconnected_ai.surgery.opening import open_moe as open
from interconnected_ai.surgery.operations.history import Recipe, Step
from interconnected_ai.surgery.pruning.pruning import METHODS as PRUNING_METHODS
from interconnected_ai.surgery.pruning.pruning import Pruning, Ranking, Repaired, prune, prune_by, repair
from interconnected_ai.surgery.pruning.pruning import rank as rank_experts
from interconnected_ai.surgery.pruning.table import PruningRow, Training, pruning_table
from interconnected_ai.surgery.role import Role, make_role, prepare_role
from interconnected_ai.surgery.routing.context import Forward, RowRequest
from interconnected_ai.surgery.routing.programs import Program
from interconnected_ai.surgery.routing.rules import Rule
from interconnected_ai.surgery.sizes import Sizes
from interconnected_ai.surgery.upcycle import upcycle

__all__ = [
    "FAMILIES",
    "FFN",
    "PRUNING_METHODS",
    "AdapterSpec",
    "Adapters",
    "Checkpoint",
    "Comparison",
    "ExpertWeights",
    "FFNExpert",
    "Family",
    "Forward",
    "Layer",
    "MoE",
    "OffloadedMoE",
    "Program",
    "Pruning",
    "PruningRow",
    "Ranking",
    "Recipe",
    "Repaired",
    "Role",
    "RowRequest",
    "Rule",
    "Saved",
    "Sizes",
    "Step",
    "StoredExpert",
    "TextModel",
    "Traffic",
    "Training",
    "Usage",
    "Warmup",
    "average",
    "compare",
    "comparison_parts",
    "deepspeed_config",
    "follows_its_family",
    "let_autoep_ask_transformers",
    "load",
    "make_role",
    "open",
    "open_offloaded",
    "perplexity",
    "prepare_role",
    "prune",
    "prune_by",
    "pruning_table",
    "rank_experts",
    "repair",
    "rows_for",
    "transformers_plan",
    "tune",
    "upcycle",
    "write_comparison",
]
