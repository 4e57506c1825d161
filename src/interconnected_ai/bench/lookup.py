"""Prompt look-up beside single steps, on answers that repeat their prompt, in part and not at all."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from interconnected_ai.bench.timing import machine, take_turns
from interconnected_ai.config import GenerationConfig
from interconnected_ai.experts import CausalEngine, CausalLM, find_base
from interconnected_ai.text import PretrainedTokenizer
from interconnected_ai.types import Generate

_TEXT = (
    "The lighthouse on the northern cape was built in 1868, after three ships had been lost there in a single winter. Its lamp "
    "burnt colza oil at first, then paraffin, and since 1931 it has been electric. The keeper and his family lived in the "
    "tower itself: a kitchen on the first floor, two bedrooms above it, and a store for oil and rope below. In 1974 the light "
    "became automatic, and the last keeper moved to the village. Today the rooms are a small museum, which is open from May to "
    "September, and the tower may be climbed on the first Sunday of every month."
)
_CODE = '''"""Areas and perimeters of plane figures."""

import math


def area_of_square(side: float) -> float:
    """The area of a square."""
    if side < 0:
        raise ValueError(f"side={side}: needed is 0 or more")
    return side * side


def area_of_circle(radius: float) -> float:
    """The area of a circle."""
    if radius < 0:
        raise ValueError(f"radius={radius}: needed is 0 or more")
    return math.pi * radius * radius


def perimeter_of_square(side: float) -> float:
    """The perimeter of a square."""
'''
# What is asked → how much of the answer stands in the prompt. Plain continuations, which every language model understands.
TASKS = {
    "quote": f"{_TEXT}\n\nThe same text once more, word for word:\n\nThe lighthouse on the",
    "code": _CODE,
    "open": "A short story about a gardener who found a strange seed.\n\nOn the first morning of spring",
}


def bench_lookup(base: str | Path = "smollm2", *, num_new: int = 96, repeats: int = 5) -> dict[str, Any]:
    """Tokens per second of the engine torch with and without look-up, greedy, one row. Keys are those of `--json`.

    lookup_quote, lookup_code, lookup_open: how many times as fast it is where the answer is the prompt's text, where it is
    alike, and where it is new.
    """
    found = find_base(base)
    read = PretrainedTokenizer.from_gguf if found.form == "gguf" else PretrainedTokenizer.from_folder
    model, tokenizer = CausalLM.from_pretrained(found), read(found.path)
    with CausalEngine(model.network, tokenizer, max_seq_len=model.config.max_seq_len) as engine:
        compared = compare_lookup(engine, tokenizer.encode, num_new=num_new, repeats=repeats)
    return {"base": found.name, "num_params": sum(p.numel() for p in model.parameters()), **compared}


def compare_lookup(
    engine: Generate,
    encode: Callable[[str], Sequence[int]],
    *,
    lookup_tokens: int = 8,
    num_new: int = 96,
    repeats: int = 5,
) -> dict[str, Any]:
    """The same of any engine. encode: a text as the engine's model reads it."""
    plain = GenerationConfig(max_new_tokens=num_new, temperature=0.0)
    ahead = plain.with_changes(lookup_tokens=lookup_tokens)
    found: dict[str, Any] = {"machine": machine(), "lookup_tokens": lookup_tokens, "lookup_rows": []}
    for task, text in TASKS.items():
        prompts = [list(encode(text))]
        runs = {"plain": partial(engine, prompts, plain), "ahead": partial(engine, prompts, ahead)}
        answers = {name: run()[0].token_ids for name, run in runs.items()}
        times = {name: timing.median for name, timing in take_turns(runs, repeats).items()}
        ratio = times["plain"] / times["ahead"]
        same = sum(a == b for a, b in zip(answers["plain"], answers["ahead"], strict=False))
        found[f"lookup_{task}"] = ratio
        found["lookup_rows"].append(
            {
                "task": task,
                "num_prompt": len(prompts[0]),
                "tokens_per_second": len(answers["plain"]) / times["plain"],
                "tokens_per_second_ahead": len(answers["ahead"]) / times["ahead"],
                "ratio": ratio,
                "same_tokens": same / max(map(len, answers.values())),
            }
        )
    return found
