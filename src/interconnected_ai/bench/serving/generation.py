"""Streams through the API beside the engine's own, both made together; health while they run; a request's own time."""

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from interconnected_ai.bench.serving.processes import iai_serve, started
from interconnected_ai.bench.serving.wire import Answer, ask_all, ask_for, connected, request
from interconnected_ai.experts import BatchLimits, ExpertModel, TextExpert, open_expert, save_expert
from interconnected_ai.text import Tokenizer

_TEXT = "The router gives every token to two experts, and the experts answer with what they know. "
_NUM_STREAMING, _HEALTH_PAUSE_SECONDS = 8, 0.01
_BARE = "interconnected_ai.bench.serving.bare"

Say = Callable[[str], object]


@dataclass(frozen=True)
class ExpertSizes:
    """The expert that is served, and what it is asked."""

    d_model: int = 512
    n_layers: int = 8
    num_tokens: int = 128
    concurrencies: tuple[int, ...] = (1, 4, 16)
    rounds: int = 3
    num_health: int = 300
    num_single: int = 200


def saved_expert(folder: Path, sizes: ExpertSizes) -> Path:
    """An expert of random weights that never ends by itself."""
    words = Tokenizer.train([_TEXT], 330)
    model = ExpertModel(
        words.vocab_size, sizes.d_model, sizes.n_layers, max(1, sizes.d_model // 64), max_seq_len=sizes.num_tokens + 128,
        norm="pre", generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    with torch.no_grad():
        model.head.weight[words.end_id] = 0.0  # an answer is as long as it may be
    save_expert(model, folder, words)
    return folder


def prompt_of(number: int) -> str:
    """A beginning of its own for every request, all of one length."""
    return f"{number % 10} {_TEXT}"


def asked_of(number: int, num_tokens: int, **more: Any) -> bytes:
    """A request for what follows `prompt_of(number)`."""
    body = {"model": "expert", "prompt": prompt_of(number), "max_tokens": num_tokens, "temperature": 0, **more}
    return request("/v1/completions", body)


def streamed(number: int, num_tokens: int) -> bytes:
    """The same as a stream that says at its end what it took."""
    return asked_of(number, num_tokens, stream=True, stream_options={"include_usage": True})


def measure_generation(home: Path, sizes: ExpertSizes, say: Say) -> dict[str, Any]:
    """engine_share, batching_gain, health_p99_ms; see `bench_serving`."""
    folder = saved_expert(home / "expert", sizes)
    most = max(sizes.concurrencies)
    with (
        open_expert(folder, batching=BatchLimits(num_rows=most)) as expert,
        iai_serve(home, [folder], {"max_at_once": most, "max_new_tokens": sizes.num_tokens}) as server,
    ):

        def directly(at_once: int) -> int:
            return _read_together(expert, at_once, sizes.num_tokens)

        def over_http(at_once: int) -> int:
            found = ask_all(server.address, [streamed(number, sizes.num_tokens) for number in range(at_once)], at_once)
            return sum(map(_tokens_of, found))

        rows = [_row(at_once, directly, over_http, sizes.rounds, say) for at_once in sizes.concurrencies]
        say("health while answers stream")
        health = _health_ms(server.address, sizes)
    return {
        "num_tokens": sizes.num_tokens, "rows": rows, "health_p99_ms": health,
        "engine_share": min(row["share"] for row in rows),
        "batching_gain": rows[-1]["served"] / rows[0]["served"],
    }  # fmt: skip


def measure_overhead(home: Path, sizes: ExpertSizes, say: Say) -> dict[str, Any]:
    """overhead_ms: of a request of one token, over a bare route of FastAPI in front of the same expert, in turn."""
    folder = saved_expert(home / "expert", sizes)
    say("requests of one token, of this server and of a bare route")
    with (
        iai_serve(home, [folder], {}) as server,
        started(home, [_BARE, str(folder)]) as bare,
        connected(server.address) as ours,
        connected(bare.address) as theirs,
    ):
        asked = asked_of(0, 1)
        seconds: dict[str, list[float]] = {"ours": [], "bare": []}
        for number in range(sizes.num_single + 10):
            for name, line in (("ours", ours), ("bare", theirs)):
                took = _sound(line.ask(asked)).seconds
                if number >= 10:
                    seconds[name].append(took)
    medians = {name: 1000 * statistics.median(found) for name, found in seconds.items()}
    return {"overhead_ms": medians["ours"] - medians["bare"], "one_token_ms": medians}


def _read_together(expert: TextExpert, at_once: int, num_tokens: int) -> int:
    """A thread for each answer, which reads its stream; how many tokens there were."""

    def read(number: int) -> int:
        with expert.stream(prompt_of(number), max_new_tokens=num_tokens, temperature=0.0) as answering:
            for _ in answering:
                continue
            return len(answering.result().token_ids)

    with ThreadPoolExecutor(at_once) as threads:
        return sum(threads.map(read, range(at_once)))


def _row(
    at_once: int, directly: Callable[[int], int], over_http: Callable[[int], int], rounds: int, say: Say
) -> dict[str, Any]:
    """Tokens a second of so many at once: of the engine and through the API, which take turns; medians."""
    say(f"{at_once} at once")
    own, served = [], []
    for number in range(rounds + 1):
        ours, theirs = _tokens_per_second(directly, at_once), _tokens_per_second(over_http, at_once)
        if number:  # the first loads and compiles
            own.append(ours)
            served.append(theirs)
    share = statistics.median(theirs / ours for ours, theirs in zip(own, served, strict=True))
    return {"at_once": at_once, "engine": statistics.median(own), "served": statistics.median(served), "share": share}


def _tokens_per_second(work: Callable[[int], int], at_once: int) -> float:
    began = time.perf_counter()
    return work(at_once) / (time.perf_counter() - began)


def _tokens_of(answer: Answer) -> int:
    """Tokens of an answer that came as a stream, as its last chunk counts them."""
    return int(_sound(answer).events[-1]["usage"]["completion_tokens"])


def _health_ms(address: str, sizes: ExpertSizes) -> float:
    """The 99th percentile of /healthz while answers stream without a pause."""
    is_over = threading.Event()

    def stream() -> None:
        while not is_over.is_set():
            ask_for(address, (streamed(number, sizes.num_tokens) for number in range(10**9)), _NUM_STREAMING, 1.0)

    streaming = threading.Thread(target=stream)
    streaming.start()
    try:
        with connected(address) as line:
            seconds = []
            for _ in range(sizes.num_health):
                seconds.append(_sound(line.ask(request("/healthz"))).seconds)
                time.sleep(_HEALTH_PAUSE_SECONDS)
    finally:
        is_over.set()
        streaming.join()
    return 1000 * percentile(seconds, 99)


def percentile(values: Sequence[float], percent: int) -> float:
    """So many of a hundred values are at most this."""
    return statistics.quantiles(values, n=100)[percent - 1] if len(values) > 1 else values[0]


def _sound(answer: Answer) -> Answer:
    if answer.status != 200:
        raise RuntimeError(f"the server answered {answer.status}: {answer.body[:300]!r}")
    return answer
