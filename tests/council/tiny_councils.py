"""Councils of tiny experts that stand in folders."""

from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from interconnected_ai.config import CouncilConfig
from interconnected_ai.council import Council
from interconnected_ai.text import Tokenizer

TEXTS = ("The router gives every token to two experts.", "user assistant system <|im_start|> <|im_end|>", "суд и иск")
WORDS = Tokenizer.train(TEXTS, 330)
RULES = """
default: general
rules:
- name: programs
  to: code
  words: [python, traceback]
- name: courts
  to: law
  words: [court, суд]
"""


def saved_expert(folder: Path, seed: int, words: Tokenizer = WORDS) -> Path:
    """A causal model of transformers with a window of 1,024 tokens."""
    torch.manual_seed(seed)
    shape = {
        "vocab_size": words.vocab_size, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 1024, "tie_word_embeddings": True,
        "initializer_range": 0.2, "bos_token_id": None, "eos_token_id": words.end_id, "pad_token_id": None,
    }  # fmt: skip
    LlamaForCausalLM(LlamaConfig(**shape)).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=words.fast, eos_token=words.token(words.end_id)).save_pretrained(folder)
    return folder


def config_of(home: Path, **more: Any) -> CouncilConfig:
    """Three experts, routed by rules."""
    for seed, name in enumerate(["general", "code", "law"]):
        if not (home / name).exists():
            saved_expert(home / name, seed)
    (home / "rules.yaml").write_text(RULES, encoding="utf-8")
    experts = {name: {"place": str(home / name)} for name in ("general", "code", "law")}
    settings = {
        "experts": experts, "fallback": "general", "rules": str(home / "rules.yaml"), "semantic": False,
        "max_new_tokens": 6, "budget_mb": 100,
    }  # fmt: skip
    return CouncilConfig.from_mapping(settings | more)


def council_of(home: Path, **more: Any) -> Council:
    return Council(config_of(home, **more))
