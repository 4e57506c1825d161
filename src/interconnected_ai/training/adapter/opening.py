"""A base in memory, for an adapter to be trained on it, the tokenizer that it reads with, and its chat template."""

from typing import Any

import torch

from interconnected_ai.experts import Base, CausalLM, ChatTemplate, find_base
from interconnected_ai.storage import read_gguf, read_json
from interconnected_ai.text import PretrainedTokenizer

_USUAL_WINDOW = 2_048


def open_network(base: Base, dtype: torch.dtype) -> Any:
    """The transformers model of a base, its weights in this type. It may be changed in place."""
    return CausalLM.from_pretrained(base, dtype=dtype).network


def open_tokenizer(base: Base) -> PretrainedTokenizer:
    """The base's own tokenizer, out of its GGUF file or folder."""
    return PretrainedTokenizer.from_place(base.path)


def base_tokenizer(name: str) -> PretrainedTokenizer:
    """That of a base by its name; raises as `find_base` does."""
    return open_tokenizer(find_base(name))


def open_template(base: Base, words: PretrainedTokenizer) -> ChatTemplate:
    """The base's own chat template, ChatML where it has none."""
    if base.path.is_dir():
        return ChatTemplate.from_folder(base.path, words.fast, end_ids=words.end_ids)
    return ChatTemplate.from_gguf(read_gguf(base.path).metadata, words.fast, end_ids=words.end_ids)


def window_of(base: Base) -> int:
    """Tokens that the base reads at once, as its files say."""
    if base.path.is_dir():
        config = read_json(base.path / "config.json")
        config = config.get("text_config") or config
        return int(config.get("max_position_embeddings") or _USUAL_WINDOW)
    metadata = read_gguf(base.path).metadata
    return int(metadata.get(f"{metadata.get('general.architecture')}.context_length") or _USUAL_WINDOW)
