"""An expert model (a small transformer language model), counted: parameters, bytes, products, tokens per second, pools.

The architecture is that of `experts.ExpertModel`, the document's (`001_…`): token embedding, sinusoidal positions, blocks of
attention and feed-forward with a norm each, a last norm, a language-model head. See `expert_size` for the
biases. Shapes are `config.ExpertConfig`s.
"""

from interconnected_ai.planner.expert.pool import PoolSize, expert_working_bytes, pool_size
from interconnected_ai.planner.expert.presets import PRESETS, expert_preset
from interconnected_ai.planner.expert.size import (
    ExpertSize,
    expert_size,
    expert_training_flops,
    kv_cache_bytes,
    products,
)
from interconnected_ai.planner.expert.speed import TokenRate, decode_rate, prefill_rate
from interconnected_ai.planner.expert.training import expert_training_step

__all__ = [
    "PRESETS",
    "ExpertSize",
    "PoolSize",
    "TokenRate",
    "decode_rate",
    "expert_preset",
    "expert_size",
    "expert_training_flops",
    "expert_training_step",
    "expert_working_bytes",
    "kv_cache_bytes",
    "pool_size",
    "prefill_rate",
    "products",
]
