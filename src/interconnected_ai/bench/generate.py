"""Engines of one expert beside transformers' `generate` on the same weights, and beside what memory allows at most."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from interconnected_ai.bench.timing import Timing, machine, take_turns
from interconnected_ai.config import ExpertConfig, GenerationConfig
from interconnected_ai.errors import EngineError
from interconnected_ai.experts import ExpertModel, TorchEngine, open_engine, runnable_engines, write_gpt2
from interconnected_ai.planner import expert_size, kv_cache_bytes
from interconnected_ai.types import Generate

DOCUMENT = ExpertConfig(vocab_size=10_000, norm="pre")  # 29,155,328 parameters; pre-norm, so that GPT-2 can hold it
PRECISIONS = ("float32", "int8", "int4")
_HF, _ATTENTIONS = "transformers", ("sdpa", "eager")
_TORCH, _CALLS = "torch float32", "torch float32, calls"  # as it comes, and without the compiled step
_READ = "reading memory"
_MEMORY_NUMBERS = 2**26  # 256 MiB of float32, more than any cache here
_LOAD = """
import sys, time
import torch, interconnected_ai.experts
from interconnected_ai import ExpertModel
began = time.perf_counter()
ExpertModel.from_pretrained(sys.argv[1])
print(time.perf_counter() - began)
"""


@dataclass(frozen=True)
class _Work:
    """What every contestant does: greedy answers of `num_new` tokens to `batch` prompts of `num_prompt`."""

    batch: int
    num_prompt: int
    num_new: int
    vocab_size: int

    def prompts(self) -> list[list[int]]:
        """The same ones each time."""
        shape, generator = (self.batch, self.num_prompt), torch.Generator().manual_seed(self.batch)
        rows: list[list[int]] = torch.randint(self.vocab_size, shape, generator=generator).tolist()
        return rows


Contestant = Callable[[_Work], list[list[int]]]


def bench_generate(
    config: ExpertConfig = DOCUMENT,
    *,
    num_prompt: int = 64,
    num_new: int = 128,
    batches: Sequence[int] = (1, 8),
    repeats: int = 5,
    only: Sequence[str] = (),
) -> dict[str, Any]:
    """Tokens per second of every engine that is installed, in every precision it has. Keys are those of `--json`.

    best_over_hf_b1, torch_over_hf_b1: speed over transformers' `generate` on the exported GPT-2, with the faster of its two
    kinds of attention. torch_of_roofline_b1: the time that reading the weights and the cache takes at the memory's measured
    speed, over the time of a token after the first; torch_calls_of_roofline_b1: the same of PyTorch's calls, in turn with it;
    torch_step: which of both the engine takes by itself, or why not the compiled one. load_ms: the first load in a new process
    whose file is in the page cache; load_again_ms: a later one. only: engines to measure, by name; all of them if empty.
    """
    with tempfile.TemporaryDirectory(prefix="interconnected-ai-bench-") as home, ExitStack() as opened:
        folder, gpt2 = Path(home) / "expert", Path(home) / "gpt2"
        model = ExpertModel.from_config(config, generator=torch.Generator().manual_seed(0)).eval()
        model.save_pretrained(folder)
        write_gpt2(model, None, gpt2)
        engines, passed_over = _engines(folder, only, opened)
        contestants: dict[str, Contestant] = {name: _engine_contestant(engine) for name, engine in engines.items()}
        step: dict[str, str] = {}
        if _TORCH in contestants:
            calls = opened.enter_context(TorchEngine(model, step="calls"))
            step = {"torch_step": TorchEngine(model, layout="plain").why_not_compiled or "compiled"}
            contestants |= {_CALLS: _engine_contestant(calls)}
        contestants |= {f"{_HF} {kind}": _transformers_contestant(gpt2, kind) for kind in _ATTENTIONS}
        result: dict[str, Any] = {
            "machine": machine(), "model": config.to_dict(), "num_params": model.get_num_params(),
            "num_prompt": num_prompt, "num_new": num_new, "passed_over": passed_over, **step, "rows": [],
        }  # fmt: skip
        for batch in batches:
            work = _Work(batch, num_prompt, num_new, config.vocab_size)
            result |= _compare(contestants, work, config, repeats, result["rows"])
        return result | _loading(folder, repeats)


def _engines(folder: Path, only: Sequence[str], opened: ExitStack) -> tuple[dict[str, Generate], dict[str, str]]:
    """Every engine in every precision as "name precision", and why others are passed over."""
    found: dict[str, Generate] = {}
    passed_over: dict[str, str] = {}
    for precision in PRECISIONS:
        for name, reason in runnable_engines(folder, precision).items():
            if only and name not in only:
                continue
            if not reason:
                try:
                    engine = open_engine(name, folder, precision=precision)
                    found[f"{name} {precision}"] = opened.enter_context(engine)
                except EngineError as error:
                    reason = str(error)
            if reason:
                passed_over[f"{name} {precision}"] = reason
    return found, passed_over


def _engine_contestant(engine: Generate) -> Contestant:
    def run(work: _Work) -> list[list[int]]:
        config = GenerationConfig(max_new_tokens=work.num_new, temperature=0.0)
        return [list(answer.token_ids) for answer in engine(work.prompts(), config)]

    return run


def _transformers_contestant(folder: Path, attention: str) -> Contestant:
    from transformers import GPT2LMHeadModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    model = GPT2LMHeadModel.from_pretrained(folder, attn_implementation=attention).eval()

    def run(work: _Work) -> list[list[int]]:
        input_ids = torch.tensor(work.prompts())
        found = model.generate(
            input_ids, attention_mask=torch.ones_like(input_ids), do_sample=False, max_new_tokens=work.num_new,
            eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
        answers: list[list[int]] = found[:, work.num_prompt :].tolist()
        return answers

    return run


def _compare(
    contestants: dict[str, Contestant], work: _Work, config: ExpertConfig, repeats: int, rows: list[dict[str, Any]]
) -> dict[str, Any]:
    """One batch size: every contestant in turn; adds its rows and gives its ratios."""
    memory = torch.ones(_MEMORY_NUMBERS)
    runs: dict[str, Callable[[], object]] = {name: partial(run, work) for name, run in contestants.items()}
    runs |= {_READ: memory.sum}
    ours = {"torch": _TORCH, "torch_calls": _CALLS} if _TORCH in contestants else {}
    runs |= {_first(name): partial(contestants[name], replace(work, num_new=1)) for name in ours.values()}
    answers = {name: run(work) for name, run in contestants.items()}
    times = take_turns(runs, repeats)
    hf = min(times[f"{_HF} {kind}"].median for kind in _ATTENTIONS)
    wanted = answers[f"{_HF} {_ATTENTIONS[0]}"]
    rows += [_row(name, work, times[name], hf, answers[name], wanted) for name in contestants]
    engines = [name for name in contestants if not name.startswith(_HF) and name != _CALLS]
    best = min(engines, key=lambda name: times[name].median)
    suffix = f"_b{work.batch}"
    found: dict[str, Any] = {f"best{suffix}": best, f"best_over_hf{suffix}": hf / times[best].median}
    bandwidth = memory.nbytes / times[_READ].median
    for key, name in ours.items():
        found |= {f"{key}_over_hf{suffix}": hf / times[name].median}
        found |= _against_memory(key, config, work, bandwidth, times[name].median - times[_first(name)].median)
    return found


def _first(name: str) -> str:
    return f"{name}, first token"


def _against_memory(key: str, config: ExpertConfig, work: _Work, bandwidth: float, seconds: float) -> dict[str, Any]:
    """The tokens after the first, beside the least time in which their weights and cache can be read."""
    middle = work.num_prompt + work.num_new // 2  # the cache as it is half-way
    token_bytes = 4 * expert_size(config).num_params_read + kv_cache_bytes(config, middle, batch=work.batch)
    limit = token_bytes / bandwidth
    suffix = f"_b{work.batch}"
    return {
        f"read_bandwidth_gb_per_second{suffix}": bandwidth / 1e9,
        f"token_bytes{suffix}": token_bytes,
        f"{key}_token_ms{suffix}": 1000 * seconds / (work.num_new - 1),
        f"{key}_of_roofline{suffix}": limit * (work.num_new - 1) / seconds,
    }


def _row(
    name: str, work: _Work, timing: Timing, hf: float, answers: list[list[int]], wanted: list[list[int]]
) -> dict[str, Any]:
    num_tokens = work.batch * work.num_new
    same = sum(a == b for row, other in zip(answers, wanted, strict=True) for a, b in zip(row, other, strict=True))
    return {
        "engine": name,
        "batch": work.batch,
        "tokens_per_second": num_tokens / timing.median,
        "over_transformers": hf / timing.median,
        "spread": timing.spread,
        "same_tokens": same / num_tokens,
    }


def _loading(folder: Path, repeats: int) -> dict[str, float]:
    """Milliseconds from a folder in the page cache to a model."""
    command = [sys.executable, "-c", _LOAD, str(folder)]
    first = [
        float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for _ in range(min(3, repeats))
    ]
    again = take_turns({"load": lambda: ExpertModel.from_pretrained(folder)}, repeats, warmup=2)["load"].median
    return {"load_ms": 1000 * median(first), "load_again_ms": 1000 * again}
