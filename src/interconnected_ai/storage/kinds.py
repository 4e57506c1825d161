"""Kinds of folders that are looked at without the room that writes them, which would import torch."""

SYSTEM = "interconnected_ai system"
EXPERT = "interconnected_ai expert"
CAUSAL = "interconnected_ai causal language model"
ADAPTER = "interconnected_ai adapter"
ROUTER = "interconnected_ai router"
RECOLLECTION = "interconnected_ai recollection"
