"""Every number the README quotes, as a command anyone can repeat: ratios, measured side by side in one run.

Public names are found on first use (PEP 562): a measurement does not load what the others compare with.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interconnected_ai.bench.adapter_quickstart import STEPS as ADAPTER_STEPS
    from interconnected_ai.bench.adapter_quickstart import run_adapter_quickstart
    from interconnected_ai.bench.adapter_training import bench_adapter_training
    from interconnected_ai.bench.adapters import bench_adapters
    from interconnected_ai.bench.adapters import goals_of as adapter_goals
    from interconnected_ai.bench.base_mixture import run_base_surgery_quickstart
    from interconnected_ai.bench.batching import bench_batching
    from interconnected_ai.bench.branches import bench_branches
    from interconnected_ai.bench.calibration import calibrate
    from interconnected_ai.bench.classify import SETS as CLASSIFY_SETS
    from interconnected_ai.bench.classify import bench_classify
    from interconnected_ai.bench.council_adapters import bench_council_adapters
    from interconnected_ai.bench.council_quickstart import CouncilQuickstart, run_council_quickstart
    from interconnected_ai.bench.council_seed import CouncilSizes, bench_council_seed, council_goal_rows
    from interconnected_ai.bench.council_seed import short as short_council
    from interconnected_ai.bench.council_turn import bench_council_turn
    from interconnected_ai.bench.expert_quickstart import DOMAINS as EXPERT_DOMAINS
    from interconnected_ai.bench.expert_quickstart import run_expert_quickstart
    from interconnected_ai.bench.facts import bench_facts, fact_goal_rows
    from interconnected_ai.bench.family_suite import STEPS as FAMILY_STEPS
    from interconnected_ai.bench.generate import bench_generate
    from interconnected_ai.bench.gpu import bench_gpu
    from interconnected_ai.bench.grow import bench_grow
    from interconnected_ai.bench.growth import ROOMS as GROWTH_ROOMS
    from interconnected_ai.bench.growth import bench_growth
    from interconnected_ai.bench.headline import bench_headline
    from interconnected_ai.bench.lengths import bench_lengths
    from interconnected_ai.bench.lookup import bench_lookup
    from interconnected_ai.bench.memory import bench_memory, goal_rows, questions_asked, times_and_bytes
    from interconnected_ai.bench.moe import bench_moe
    from interconnected_ai.bench.norm import bench_norm
    from interconnected_ai.bench.plan import bench_plan
    from interconnected_ai.bench.pool import bench_pool, pool_goal_rows
    from interconnected_ai.bench.quickstart import Quickstart, run_quickstart
    from interconnected_ai.bench.quickstart_texts import TEXTS as QUICKSTART_TEXTS
    from interconnected_ai.bench.quickstart_texts import own_texts
    from interconnected_ai.bench.quickstart_words import WORDS as QUICKSTART_WORDS
    from interconnected_ai.bench.quickstart_words import Words
    from interconnected_ai.bench.routing import SETS as ROUTING_SETS
    from interconnected_ai.bench.routing import bench_routing, routing_goal_rows
    from interconnected_ai.bench.seeded_council import SeededCouncil, SeededSizes, run_seeded_council
    from interconnected_ai.bench.serving import ServingSizes, bench_serving, serving_goal_rows
    from interconnected_ai.bench.serving import short_sizes as short_serving
    from interconnected_ai.bench.surgery import bench_surgery
    from interconnected_ai.bench.surgery_pruning import PRUNING_COURSE, SHORT_PRUNING_COURSE
    from interconnected_ai.bench.surgery_quickstart import ROLE as SURGERY_ROLE
    from interconnected_ai.bench.surgery_quickstart import STEPS as SURGERY_STEPS
    from interconnected_ai.bench.surgery_quickstart import UNSEEN as SURGERY_UNSEEN
    from interconnected_ai.bench.surgery_quickstart import SurgeryQuickstart, run_surgery_quickstart
    from interconnected_ai.bench.surgery_suggestion import COURSE as SUGGESTION_COURSE
    from interconnected_ai.bench.surgery_suggestion import SHORT_COURSE as SHORT_SUGGESTION_COURSE
    from interconnected_ai.bench.tokenizer import bench_tokenizer
    from interconnected_ai.bench.train import bench_train

# name → its file, and its name there
_FILES = {
    "adapter_goals": ("adapters", "goals_of"),
    "bench_adapters": ("adapters", "bench_adapters"),
    "run_base_surgery_quickstart": ("base_mixture", "run_base_surgery_quickstart"),
    "ADAPTER_STEPS": ("adapter_quickstart", "STEPS"),
    "bench_adapter_training": ("adapter_training", "bench_adapter_training"),
    "run_adapter_quickstart": ("adapter_quickstart", "run_adapter_quickstart"),
    "bench_batching": ("batching", "bench_batching"),
    "bench_branches": ("branches", "bench_branches"),
    "calibrate": ("calibration", "calibrate"),
    "CLASSIFY_SETS": ("classify", "SETS"),
    "bench_classify": ("classify", "bench_classify"),
    "bench_council_adapters": ("council_adapters", "bench_council_adapters"),
    "bench_council_turn": ("council_turn", "bench_council_turn"),
    "CouncilQuickstart": ("council_quickstart", "CouncilQuickstart"),
    "run_council_quickstart": ("council_quickstart", "run_council_quickstart"),
    "CouncilSizes": ("council_seed", "CouncilSizes"),
    "SeededCouncil": ("seeded_council", "SeededCouncil"),
    "SeededSizes": ("seeded_council", "SeededSizes"),
    "bench_council_seed": ("council_seed", "bench_council_seed"),
    "council_goal_rows": ("council_seed", "council_goal_rows"),
    "run_seeded_council": ("seeded_council", "run_seeded_council"),
    "short_council": ("council_seed", "short"),
    "EXPERT_DOMAINS": ("expert_quickstart", "DOMAINS"),
    "run_expert_quickstart": ("expert_quickstart", "run_expert_quickstart"),
    "bench_generate": ("generate", "bench_generate"),
    "bench_lengths": ("lengths", "bench_lengths"),
    "bench_lookup": ("lookup", "bench_lookup"),
    "bench_gpu": ("gpu", "bench_gpu"),
    "bench_grow": ("grow", "bench_grow"),
    "GROWTH_ROOMS": ("growth", "ROOMS"),
    "bench_growth": ("growth", "bench_growth"),
    "bench_headline": ("headline", "bench_headline"),
    "bench_memory": ("memory", "bench_memory"),
    "goal_rows": ("memory", "goal_rows"),
    "questions_asked": ("memory", "questions_asked"),
    "times_and_bytes": ("memory", "times_and_bytes"),
    "bench_moe": ("moe", "bench_moe"),
    "bench_norm": ("norm", "bench_norm"),
    "bench_plan": ("plan", "bench_plan"),
    "run_quickstart": ("quickstart", "run_quickstart"),
    "Quickstart": ("quickstart", "Quickstart"),
    "QUICKSTART_TEXTS": ("quickstart_texts", "TEXTS"),
    "Words": ("quickstart_words", "Words"),
    "own_texts": ("quickstart_texts", "own_texts"),
    "QUICKSTART_WORDS": ("quickstart_words", "WORDS"),
    "ROUTING_SETS": ("routing", "SETS"),
    "bench_routing": ("routing", "bench_routing"),
    "routing_goal_rows": ("routing", "routing_goal_rows"),
    "FAMILY_STEPS": ("family_suite", "STEPS"),
    "bench_surgery": ("surgery", "bench_surgery"),
    "PRUNING_COURSE": ("surgery_pruning", "PRUNING_COURSE"),
    "SHORT_PRUNING_COURSE": ("surgery_pruning", "SHORT_PRUNING_COURSE"),
    "SHORT_SUGGESTION_COURSE": ("surgery_suggestion", "SHORT_COURSE"),
    "SUGGESTION_COURSE": ("surgery_suggestion", "COURSE"),
    "SURGERY_ROLE": ("surgery_quickstart", "ROLE"),
    "SURGERY_STEPS": ("surgery_quickstart", "STEPS"),
    "SURGERY_UNSEEN": ("surgery_quickstart", "UNSEEN"),
    "SurgeryQuickstart": ("surgery_quickstart", "SurgeryQuickstart"),
    "run_surgery_quickstart": ("surgery_quickstart", "run_surgery_quickstart"),
    "bench_facts": ("facts", "bench_facts"),
    "fact_goal_rows": ("facts", "fact_goal_rows"),
    "bench_pool": ("pool", "bench_pool"),
    "ServingSizes": ("serving", "ServingSizes"),
    "bench_serving": ("serving", "bench_serving"),
    "short_serving": ("serving", "short_sizes"),
    "serving_goal_rows": ("serving", "serving_goal_rows"),
    "pool_goal_rows": ("pool", "pool_goal_rows"),
    "bench_tokenizer": ("tokenizer", "bench_tokenizer"),
    "bench_train": ("train", "bench_train"),
}

__all__ = [
    "ADAPTER_STEPS",
    "CLASSIFY_SETS",
    "EXPERT_DOMAINS",
    "FAMILY_STEPS",
    "GROWTH_ROOMS",
    "PRUNING_COURSE",
    "QUICKSTART_TEXTS",
    "QUICKSTART_WORDS",
    "ROUTING_SETS",
    "SHORT_PRUNING_COURSE",
    "SHORT_SUGGESTION_COURSE",
    "SUGGESTION_COURSE",
    "SURGERY_ROLE",
    "SURGERY_STEPS",
    "SURGERY_UNSEEN",
    "CouncilQuickstart",
    "CouncilSizes",
    "Quickstart",
    "SeededCouncil",
    "SeededSizes",
    "ServingSizes",
    "SurgeryQuickstart",
    "Words",
    "adapter_goals",
    "bench_adapter_training",
    "bench_adapters",
    "bench_batching",
    "bench_branches",
    "bench_classify",
    "bench_council_adapters",
    "bench_council_seed",
    "bench_council_turn",
    "bench_facts",
    "bench_generate",
    "bench_gpu",
    "bench_grow",
    "bench_growth",
    "bench_headline",
    "bench_lengths",
    "bench_lookup",
    "bench_memory",
    "bench_moe",
    "bench_norm",
    "bench_plan",
    "bench_pool",
    "bench_routing",
    "bench_serving",
    "bench_surgery",
    "bench_tokenizer",
    "bench_train",
    "calibrate",
    "council_goal_rows",
    "fact_goal_rows",
    "goal_rows",
    "own_texts",
    "pool_goal_rows",
    "questions_asked",
    "routing_goal_rows",
    "run_adapter_quickstart",
    "run_base_surgery_quickstart",
    "run_council_quickstart",
    "run_expert_quickstart",
    "run_quickstart",
    "run_seeded_council",
    "run_surgery_quickstart",
    "serving_goal_rows",
    "short_council",
    "short_serving",
    "times_and_bytes",
]


def __getattr__(name: str) -> Any:
    """Import the file that holds `name` the first time somebody asks for it."""
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    file, there = _FILES[name]
    return getattr(import_module(f"{__name__}.{file}"), there)


def __dir__() -> list[str]:
    return sorted(__all__)
