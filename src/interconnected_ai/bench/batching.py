"""Answers made together: many streams of one engine beside one, many callers of a classifier beside one list of texts."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from interconnected_ai.bench.branches import questions
from interconnected_ai.bench.timing import machine, take_turns
from interconnected_ai.branches import BatchedPredictor, InterconnectedAISystem
from interconnected_ai.config import ExpertConfig, GenerationConfig
from interconnected_ai.experts import (
    BatchLimits,
    CausalEngine,
    CausalLM,
    DecoderEngine,
    ExpertModel,
    GgufModel,
    Int4Engine,
    TorchEngine,
    find_base,
)

DOCUMENT = ExpertConfig(vocab_size=10_000, norm="pre")  # 29,155,328 parameters
ENGINES = ("torch", "torch-int4")
NUM_STREAMS, NUM_CALLERS = 16, 32
TEXTS_OF_A_CALLER = 8


def bench_batching(
    base: str | Path | None = None,
    *,
    engine: str = "torch",
    config: ExpertConfig = DOCUMENT,
    num_streams: int = NUM_STREAMS,
    num_prompt: int = 16,
    num_new: int = 128,
    num_callers: int = NUM_CALLERS,
    repeats: int = 3,
    system: InterconnectedAISystem | None = None,
) -> dict[str, Any]:
    """Streams of one engine, and callers of one system. Keys are those of `--json`.

    batching_gain: tokens per second of `num_streams` streams of an engine that batches over those of one stream of it, greedy;
    sampled_gain: the same with temperature, top_k and top_p. over_turns: over as many threads that each generate by themselves;
    over_one_call: over one call with as many prompts, whose rows PyTorch computes as one tensor. same_tokens: share of the
    tokens that each stream also says alone. rows_per_pass: how many streams share a pass. classify_batch_share: texts per
    second of `num_callers` callers of one text each at a time, through `BatchedPredictor`, over `predict` of all their texts.

    base: what generates, "smollm2", a GGUF file or a folder; None is an expert of `config` with random weights. engine: one of
    `ENGINES`. system: what classifies; None is one of three untrained branches.
    """
    with ExitStack() as opened:
        batched, alone = (opened.enter_context(_engine(base, engine, config)) for _ in range(2))
        batched.batch(BatchLimits(num_rows=num_streams))
        work = _Work(batched, alone, num_streams, num_prompt, num_new)
        generated = work.measured(repeats)
    return {
        "machine": machine(), "base": "an expert" if base is None else str(base), "engine": engine,
        "num_streams": num_streams, "num_prompt": num_prompt, "num_new": num_new, **generated,
        **_classify(system or InterconnectedAISystem(), num_callers, repeats),
    }  # fmt: skip


def _engine(base: str | Path | None, name: str, config: ExpertConfig) -> DecoderEngine:
    if base is None:
        return TorchEngine(
            ExpertModel.from_config(config, generator=torch.Generator().manual_seed(0)).eval(), end_ids=()
        )
    found = find_base(base)
    if name == "torch-int4":
        return Int4Engine(GgufModel.read(found.path), end_ids=())
    model = CausalLM.from_pretrained(found)
    return CausalEngine(model.network, end_ids=(), max_seq_len=model.config.max_seq_len)


class _Work:
    """What is asked: as many prompts as there are streams, each continued by `num_new` tokens."""

    def __init__(
        self, batched: DecoderEngine, alone: DecoderEngine, num_streams: int, num_prompt: int, num_new: int
    ) -> None:
        self._batched, self._alone, self._num_new = batched, alone, num_new
        shape, generator = (num_streams, num_prompt), torch.Generator().manual_seed(0)
        self._prompts: list[list[int]] = torch.randint(batched.vocab_size, shape, generator=generator).tolist()
        self._greedy = GenerationConfig(max_new_tokens=num_new, temperature=0.0)
        self._sampled = GenerationConfig(max_new_tokens=num_new, temperature=0.8, top_k=50, top_p=0.95)

    def measured(self, repeats: int) -> dict[str, Any]:
        """The figures of `bench_batching` about generation."""
        prompts, greedy, sampled = self._prompts, self._greedy, self._sampled
        together = self._streams(self._batched, prompts, greedy)
        alone = [self._streams(self._batched, [prompt], greedy)[0] for prompt in prompts]
        batcher = self._batched.batcher
        assert batcher is not None
        before = batcher.stats()
        self._streams(self._batched, prompts, greedy)
        after = batcher.stats()
        runs: dict[str, Callable[[], object]] = {
            "one": lambda: self._streams(self._batched, prompts[:1], greedy),
            "many": lambda: self._streams(self._batched, prompts, greedy),
            "one sampled": lambda: self._streams(self._batched, prompts[:1], sampled),
            "many sampled": lambda: self._streams(self._batched, prompts, sampled),
            "turns": lambda: self._streams(self._alone, prompts, greedy),
            "one call": lambda: self._alone(prompts, greedy),
        }
        timings = take_turns(runs, repeats)
        speed = {name: self._num_new / timing.median for name, timing in timings.items()}
        speed |= {name: speed[name] * len(prompts) for name in ("many", "many sampled", "turns", "one call")}
        return {
            "batching_gain": speed["many"] / speed["one"],
            "sampled_gain": speed["many sampled"] / speed["one sampled"],
            "over_turns": speed["many"] / speed["turns"],
            "over_one_call": speed["many"] / speed["one call"],
            "same_tokens": _same(together, alone),
            "rows_per_pass": (after.num_tokens - before.num_tokens) / (after.num_passes - before.num_passes),
            "tokens_per_second": speed,
            "spread": {name: timing.spread for name, timing in timings.items()},
        }

    def _streams(
        self, engine: DecoderEngine, prompts: Sequence[list[int]], config: GenerationConfig
    ) -> list[list[int]]:
        """A thread for each prompt, which reads its stream."""

        def read(prompt: list[int]) -> list[int]:
            return [step.token_id for step in engine.stream([prompt], config, seed=0)]

        if len(prompts) == 1:
            return [read(prompts[0])]
        with ThreadPoolExecutor(len(prompts)) as pool:
            return list(pool.map(read, prompts))


def _classify(system: InterconnectedAISystem, num_callers: int, repeats: int) -> dict[str, Any]:
    texts = questions(num_callers * TEXTS_OF_A_CALLER)
    with BatchedPredictor(system) as batched, ThreadPoolExecutor(num_callers) as pool:

        def call(own: Sequence[str]) -> None:
            for text in own:
                batched.predict([text])

        def callers() -> None:
            list(pool.map(call, [texts[number::num_callers] for number in range(num_callers)]))

        timings = take_turns({"callers": callers, "predict": lambda: system.predict(texts)}, repeats)
        stats = batched.stats()
    return {
        "num_callers": num_callers,
        "classify_batch_share": timings["predict"].median / timings["callers"].median,
        "texts_per_pass": stats.num_texts / stats.num_passes,
        "texts_per_second": {name: len(texts) / timing.median for name, timing in timings.items()},
    }


def _same(rows: Sequence[Sequence[int]], others: Sequence[Sequence[int]]) -> float:
    pairs = [(a, b) for row, other in zip(rows, others, strict=True) for a, b in zip(row, other, strict=True)]
    return sum(a == b for a, b in pairs) / len(pairs)
