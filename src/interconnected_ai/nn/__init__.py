"""Bricks: attention, feed-forward, transformer block, positions, KV cache, token router, MoE layer, LoRA; how weights
are moved, and how confidence is made honest.

Shapes in, shapes out; no text, no files.
"""

from interconnected_ai.nn.adapted import AdaptedLinear, RMSNorm, swiglu
from interconnected_ai.nn.attention import MultiHeadAttention
from interconnected_ai.nn.bags import BagProduct, Bags, products_of, times
from interconnected_ai.nn.calibration import HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE, fit_temperature, fit_threshold
from interconnected_ai.nn.cross_entropy import linear_cross_entropy
from interconnected_ai.nn.devices import device_of
from interconnected_ai.nn.dropout import Dropout, swap_dropouts
from interconnected_ai.nn.evaluation import in_evaluation
from interconnected_ai.nn.feed_forward import GELU, FeedForward, gelu, swap_gelus
from interconnected_ai.nn.forks import require_own_threads
from interconnected_ai.nn.grouped import GroupedBackend, choose_backend
from interconnected_ai.nn.kv_cache import KVCache
from interconnected_ai.nn.linear import MOST_ROWS, few_shapes, linear, multiplies_by_onednn, swap_linears
from interconnected_ai.nn.lora import LoRA, LoRALinear, add_lora, merge_lora, unmerge_lora, without_lora
from interconnected_ai.nn.moe import FFNExperts, MoELayer
from interconnected_ai.nn.nf4 import nf4_levels, pack_nf4, unpack_nf4
from interconnected_ai.nn.optimization import Descent, learning_rate_factor, set_rates
from interconnected_ai.nn.positions import PositionalEncoding, sinusoidal_positions
from interconnected_ai.nn.regression import Problem, descend, root_of, softmax_regression
from interconnected_ai.nn.router import Routing, TokenRouter
from interconnected_ai.nn.scores import macro_f1, surely_more_right, watched_score
from interconnected_ai.nn.standardization import Standardization
from interconnected_ai.nn.threads import compute_with, in_lanes
from interconnected_ai.nn.transformer import TransformerBlock

__all__ = [
    "GELU",
    "HIGHEST_TEMPERATURE",
    "LOWEST_TEMPERATURE",
    "MOST_ROWS",
    "AdaptedLinear",
    "BagProduct",
    "Bags",
    "Descent",
    "Dropout",
    "FFNExperts",
    "FeedForward",
    "GroupedBackend",
    "KVCache",
    "LoRA",
    "LoRALinear",
    "MoELayer",
    "MultiHeadAttention",
    "PositionalEncoding",
    "Problem",
    "RMSNorm",
    "Routing",
    "Standardization",
    "TokenRouter",
    "TransformerBlock",
    "add_lora",
    "choose_backend",
    "compute_with",
    "descend",
    "device_of",
    "few_shapes",
    "fit_temperature",
    "fit_threshold",
    "gelu",
    "in_evaluation",
    "in_lanes",
    "learning_rate_factor",
    "linear",
    "linear_cross_entropy",
    "macro_f1",
    "merge_lora",
    "multiplies_by_onednn",
    "nf4_levels",
    "pack_nf4",
    "products_of",
    "require_own_threads",
    "root_of",
    "set_rates",
    "sinusoidal_positions",
    "softmax_regression",
    "surely_more_right",
    "swap_dropouts",
    "swap_gelus",
    "swap_linears",
    "swiglu",
    "times",
    "unmerge_lora",
    "unpack_nf4",
    "watched_score",
    "without_lora",
]
