"""One pretrained base on our engines beside transformers' `generate` and, for a GGUF file, llama.cpp's own server."""

import http.client
import json
import multiprocessing
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch

from interconnected_ai.bench.timing import machine, take_turns
from interconnected_ai.config import GenerationConfig
from interconnected_ai.experts import (
    CausalEngine,
    CausalLM,
    GgufModel,
    Int4Engine,
    LlamaCppEngine,
    LlamaFile,
    find_base,
    why_not_int4,
)
from interconnected_ai.extras import require
from interconnected_ai.types import Generate

_SERVER, _HF = "llama.cpp's server", "transformers"
_TORCH, _CALLS = "torch float32", "torch float32, calls"  # as it comes, and without the compiled step
_HF_PRECISIONS = (torch.float32, torch.bfloat16)
_MEMORY_NUMBERS = 2**26  # 256 MiB of float32, more than any cache here
_CONTEXT_STEP = 256  # llama.cpp's caches are a multiple of this many tokens

Contestant = Callable[[int], list[int]]


def bench_base_generation(
    base: str | Path = "smollm2",
    *,
    num_prompt: int = 64,
    num_new: int = 128,
    repeats: int = 5,
    precisions: Sequence[torch.dtype] = _HF_PRECISIONS,
) -> dict[str, Any]:
    """Greedy answers of `num_new` tokens to one prompt of `num_prompt`. Keys are those of `--json`.

    over_hf: speed of our best engine over transformers' `generate` on the same weights, in the faster of `precisions`.
    over_llamacpp: over llama.cpp's own server on the same file, as its settings are when nobody changes them; None for a folder
    of safetensors or without the binding. torch_of_roofline: the time in which the torch engine's weights can be read, over
    that of one of its tokens after the first; torch_calls_of_roofline: the same of PyTorch's calls; torch_step: which of both
    the engine takes by itself, or why not the compiled one. All use torch's number of threads.
    """
    found = find_base(base)
    model = CausalLM.from_pretrained(found)
    (prompt,) = torch.randint(
        model.config.vocab_size, (1, num_prompt), generator=torch.Generator().manual_seed(1)
    ).tolist()
    with ExitStack() as opened:
        torch_engine = opened.enter_context(CausalEngine(model.network))
        calls = opened.enter_context(CausalEngine(model.network, step="calls"))
        ours: dict[str, Contestant] = {_TORCH: _engine_contestant(torch_engine, prompt)}
        others = {_CALLS: _engine_contestant(calls, prompt)}
        others |= {f"{_HF} {_name(dtype)}": _transformers_contestant(found, dtype, prompt) for dtype in precisions}
        if found.form == "gguf" and not why_not_int4(file := GgufModel.read(found.path)):
            ours["torch-int4"] = _engine_contestant(opened.enter_context(Int4Engine(file)), prompt)
        if found.form == "gguf" and find_spec("xllamacpp") is not None:
            child = opened.enter_context(_llama_process(found.path, num_prompt + num_new, prompt))
            ours["llamacpp"], others[_SERVER] = (partial(_asked_of, child, name) for name in ("llamacpp", _SERVER))
        return {
            "machine": machine(), "base": found.name, "num_params": sum(p.numel() for p in model.parameters()),
            "num_prompt": num_prompt, "num_new": num_new, "torch_step": torch_engine.why_not_compiled or "compiled",
            **_compared(ours, others, num_new, repeats, _read_bytes(model)),
        }  # fmt: skip


def _compared(
    ours: dict[str, Contestant], others: dict[str, Contestant], num_new: int, repeats: int, token_bytes: int
) -> dict[str, Any]:
    memory, everybody = torch.ones(_MEMORY_NUMBERS), ours | others
    runs: dict[str, Callable[[], object]] = {name: partial(run, num_new) for name, run in everybody.items()}
    runs |= {"memory": memory.sum}
    runs |= {f"{name}, first token": partial(everybody[name], 1) for name in (_TORCH, _CALLS)}
    answers = {name: run(num_new) for name, run in everybody.items()}
    times = take_turns(runs, repeats)
    best = min(ours, key=lambda name: times[name].median)
    hf = min((name for name in others if name.startswith(_HF)), key=lambda name: times[name].median)
    seconds = {name: times[name].median for name in everybody}
    bandwidth = memory.nbytes / times["memory"].median
    step, calls = (
        (seconds[name] - times[f"{name}, first token"].median) / max(1, num_new - 1) for name in (_TORCH, _CALLS)
    )
    return {
        "rows": [
            {
                "engine": name,
                "tokens_per_second": num_new / seconds[name],
                "over_transformers": seconds[hf] / seconds[name],
                "spread": times[name].spread,
                "same_tokens": sum(map(int.__eq__, answers[name], answers[hf])) / num_new,
            }
            for name in everybody
        ],
        "best": best,
        "best_of_transformers": hf,
        "over_hf": seconds[hf] / seconds[best],
        "over_llamacpp": seconds[_SERVER] / seconds[best] if _SERVER in seconds else None,
        "torch_over_hf": seconds[hf] / seconds[_TORCH],
        "read_bandwidth_gb_per_second": bandwidth / 1e9,
        "token_bytes": token_bytes,
        "torch_token_ms": 1000 * step,
        "torch_of_roofline": token_bytes / bandwidth / step,
        "torch_calls_token_ms": 1000 * calls,
        "torch_calls_of_roofline": token_bytes / bandwidth / calls,
    }


def _read_bytes(model: CausalLM) -> int:
    """Bytes of the matrices that every token reads: all but the embedding, of which it reads one row."""
    linear = (part for part in model.modules() if isinstance(part, torch.nn.Linear))
    return sum(part.weight.nbytes for part in linear)


def _engine_contestant(engine: Generate, prompt: list[int]) -> Contestant:
    def run(num_new: int) -> list[int]:
        (answer,) = engine([prompt], GenerationConfig(max_new_tokens=num_new, temperature=0.0))
        return list(answer.token_ids)

    return run


def _transformers_contestant(base: Any, dtype: torch.dtype, prompt: list[int]) -> Contestant:
    network = CausalLM.from_pretrained(base, dtype=dtype).network
    input_ids = torch.tensor([prompt])

    def run(num_new: int) -> list[int]:
        found = network.generate(
            input_ids, attention_mask=torch.ones_like(input_ids), do_sample=False, max_new_tokens=num_new,
            eos_token_id=None, pad_token_id=0,
        )  # fmt: skip
        answer: list[int] = found[0, len(prompt) :].tolist()
        return answer

    return run


@contextmanager
def _llama_process(path: Path, capacity: int, prompt: list[int]) -> Generator[Connection]:
    """A process with llama.cpp's engine and its server; what it is asked for over the connection, see `_answer_by_llama`.

    In one process PyTorch's and llama.cpp's threads are more than there are cores, OpenMP then lets them sleep after every
    product, and small products take twice as long.
    """
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    threads = torch.get_num_threads()
    process = context.Process(target=_answer_by_llama, args=(theirs, path, capacity, prompt, threads), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.join()


def _asked_of(child: Connection, name: str, num_new: int) -> list[int]:
    child.send((name, num_new))
    found: list[int] = child.recv()
    return found


def _answer_by_llama(asked: Connection, path: Path, capacity: int, prompt: list[int], threads: int) -> None:
    """(contestant, number of tokens) → token ids, until the connection is closed."""
    torch.set_num_threads(threads)
    server = _server_contestant(path, capacity, prompt, threads)
    with LlamaCppEngine(LlamaFile.of_model(GgufModel.read(path)), threads=threads) as engine:
        contestants = {"llamacpp": _engine_contestant(engine, prompt), _SERVER: server}
        while True:
            try:
                name, num_new = asked.recv()
            except EOFError:
                return
            asked.send(contestants[name](num_new))


def _server_contestant(path: Path, capacity: int, prompt: list[int], threads: int) -> Contestant:
    """llama.cpp's server over HTTP, asked as its own clients ask it."""
    binding = require("xllamacpp", "llamacpp", "the bench")
    settings = binding.CommonParams()
    settings.model.path = str(path)
    settings.n_ctx, settings.n_parallel, settings.n_gpu_layers = -(-capacity // _CONTEXT_STEP) * _CONTEXT_STEP, 1, 0
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
    settings.verbosity = 0
    server = binding.Server(settings)
    address = urlsplit(server.listening_address)
    asked = {"prompt": prompt, "temperature": 0.0, "ignore_eos": True, "cache_prompt": False, "return_tokens": True}

    def run(num_new: int) -> list[int]:
        connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port)
        try:
            body = json.dumps({**asked, "n_predict": num_new})
            connection.request("POST", "/completion", body, {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        assert server is not None
        return [int(token) for token in answer["tokens"]]

    return run


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
