"""Tiny experts, built in memory or trained on a few sentences' tokens."""

from functools import cache
from typing import Any

import torch
from torch import nn

from interconnected_ai.experts import ExpertModel
from interconnected_ai.text import Tokenizer

VOCABULARY = 97
TEXTS = (
    "The router gives every token to two experts, and the experts answer.",
    "Эксперт отвечает на вопрос, маршрутизатор выбирает эксперта. Ёлка и йод.",
    "naïve café, 12 + 30 = 42; x = [1, 2, 3]",
)


def made(seed: int = 0, **settings: Any) -> ExpertModel:
    """A model whose every tensor, biases and norms too, is away from its initial value."""
    generator = torch.Generator().manual_seed(seed)
    shape = {"vocab_size": VOCABULARY, "d_model": 32, "n_layers": 2, "n_heads": 4, "d_ff": 48, "max_seq_len": 40}
    model = ExpertModel(**{**shape, **settings}, generator=generator).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "norm" in name:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
        nn.init.normal_(model.head.weight, std=0.5, generator=generator)
    return model


@cache
def tokenizer() -> Tokenizer:
    """Byte-level, with a few merges and two roles."""
    return Tokenizer.train(TEXTS, 330, roles=["code", "chat"])


def ids(*shape: int, seed: int = 0, vocab_size: int = VOCABULARY) -> torch.Tensor:
    return torch.randint(vocab_size, shape, generator=torch.Generator().manual_seed(seed))
