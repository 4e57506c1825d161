"""A base in memory, for an adapter to be trained on it, and the tokenizer that it reads with."""

from typing import Any

import torch

from interconnected_ai.experts import Base, CausalLM
from interconnected_ai.text import PretrainedTokenizer


def open_network(base: Base, dtype: torch.dtype) -> Any:
    """The transformers model of a base, its weights in this type. It may be changed in place."""
    return CausalLM.from_pretrained(base.path, dtype=dtype).network


def open_tokenizer(base: Base) -> PretrainedTokenizer:
    """The base's own tokenizer, out of its GGUF file or folder."""
    read = PretrainedTokenizer.from_folder if base.path.is_dir() else PretrainedTokenizer.from_gguf
    return read(base.path)
