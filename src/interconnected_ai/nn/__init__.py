"""Bricks: token router, MoE layer, feed-forward, LoRA. Shapes in, shapes out; no text, no files."""

from interconnected_ai.nn.dropout import Dropout, swap_dropouts
from interconnected_ai.nn.feed_forward import FeedForward
from interconnected_ai.nn.grouped import GroupedBackend, choose_backend
from interconnected_ai.nn.lora import LoRA, LoRALinear, add_lora, merge_lora, unmerge_lora
from interconnected_ai.nn.moe import FFNExperts, MoELayer
from interconnected_ai.nn.router import Routing, TokenRouter

__all__ = [
    "Dropout",
    "FFNExperts",
    "FeedForward",
    "GroupedBackend",
    "LoRA",
    "LoRALinear",
    "MoELayer",
    "Routing",
    "TokenRouter",
    "add_lora",
    "choose_backend",
    "merge_lora",
    "swap_dropouts",
    "unmerge_lora",
]
