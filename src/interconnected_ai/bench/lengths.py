"""Memory of the torch engine over prompts of many lengths. Each model has a process of its own."""

import multiprocessing
import os
import random
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch

from interconnected_ai.bench.cases import resident_bytes
from interconnected_ai.bench.timing import machine
from interconnected_ai.config import ExpertConfig, GenerationConfig
from interconnected_ai.experts import CausalEngine, CausalLM, ExpertModel, TorchEngine

NUM_LENGTHS = 2000
_VOCABULARY, _WIDTH, _INNER, _LAYERS, _HEADS = 2000, 128, 512, 2, 4  # about a million parameters
_CAPACITY = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"


def bench_lengths(num_lengths: int = NUM_LENGTHS) -> dict[str, Any]:
    """Two greedy tokens to prompts of 1 to `num_lengths` tokens, each length once, in random order. Keys are those of `--json`.

    rss_growth_lengths: the worst growth of resident memory, as a share of what a process held after four lengths: the longest,
    the shortest, and two others. It is the engine's own: oneDNN's cache has its usual capacity, which commands lower.
    """
    rows = []
    for name in _MADE:
        # A process that has measured nothing else; a fork would share the caches of this one.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as alone:
            rows.append(alone.submit(_measured, name, num_lengths).result())
    return {
        "machine": machine(),
        "num_lengths": num_lengths,
        "length_rows": rows,
        "rss_growth_lengths": max(row["growth"] for row in rows),
    }


def _measured(name: str, num_lengths: int) -> dict[str, Any]:
    """One model, in this process."""
    os.environ.pop(_CAPACITY, None)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    place = torch.device("cpu")
    with _MADE[name](num_lengths + 2) as engine:

        def answer(length: int) -> None:
            engine([[length % _VOCABULARY] * length], GenerationConfig(max_new_tokens=2, temperature=0.0))

        for length in (num_lengths, 1, min(17, num_lengths), (num_lengths + 1) // 2):
            answer(length)
        before = resident_bytes(place)
        lengths = list(range(1, num_lengths + 1))
        random.Random(0).shuffle(lengths)
        for length in lengths:
            answer(length)
        after = resident_bytes(place)
    return {"model": name, "before_mb": before / 2**20, "after_mb": after / 2**20, "growth": after / before - 1}


def _expert(window: int, layout: str) -> Any:
    config = ExpertConfig(
        vocab_size=_VOCABULARY, d_model=_WIDTH, n_layers=_LAYERS, n_heads=_HEADS, d_ff=_INNER, max_seq_len=window,
        norm="pre",
    )  # fmt: skip
    return TorchEngine(ExpertModel.from_config(config).eval(), end_ids=(), layout=layout)  # type: ignore[arg-type]


def _causal(window: int, architecture: str) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        architecture, vocab_size=_VOCABULARY, hidden_size=_WIDTH, intermediate_size=_INNER, num_hidden_layers=_LAYERS,
        num_attention_heads=_HEADS, max_position_embeddings=window,
    )  # fmt: skip
    return CausalEngine(CausalLM(AutoModelForCausalLM.from_config(config).eval()).network, end_ids=())


_MADE: dict[str, Callable[[int], Any]] = {
    "expert, as it comes": lambda window: _expert(window, "auto"),
    "expert, its own weights": lambda window: _expert(window, "plain"),
    "Llama, the lean way": lambda window: _causal(window, "llama"),
    "GPT-NeoX, its own forward": lambda window: _causal(window, "gpt_neox"),
}
