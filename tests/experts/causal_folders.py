"""Folders of tiny causal language models as Hugging Face writes them, with a byte-level tokenizer."""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from interconnected_ai.text import PretrainedTokenizer

TEXTS = ["the expert reads the text, then the next one", "return the sum of the list", "слово за словом"] * 20


@cache
def small_tokenizer() -> PretrainedTokenizer:
    """Of 320 tokens, with <|endoftext|> between documents and <|im_end|> behind answers."""
    fast = FastTokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    fast.train_from_iterator(TEXTS, trainer)
    return PretrainedTokenizer(fast, names={"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"})


def small_llama(seed: int = 0, **more: Any) -> LlamaForCausalLM:
    """Two layers of 32, grouped heads, a window of 128."""
    torch.manual_seed(seed)
    shape = {
        "vocab_size": 320, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 128, "initializer_range": 0.2, "tie_word_embeddings": True,
        "bos_token_id": None, "eos_token_id": 2, "pad_token_id": 0,
    }  # fmt: skip
    return LlamaForCausalLM(LlamaConfig(**{**shape, **more})).eval()


def causal_folder(folder: Path, network: Any = None, *, card: str = "") -> Path:
    """The folder of a model with its tokenizer; card: of README.md."""
    (small_llama() if network is None else network).save_pretrained(folder)
    small_tokenizer().save(folder)
    if card:
        (folder / "README.md").write_text(card, encoding="utf-8")
    return folder
