"""Chat beside llama.cpp's own server, same file: ours is `iai serve`, its is a process that does nothing else."""

import json
import statistics
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from interconnected_ai.bench.serving.household import chat
from interconnected_ai.bench.serving.processes import Served, iai_serve, started
from interconnected_ai.bench.serving.wire import Answer, ask_all
from interconnected_ai.experts import find_base
from interconnected_ai.extras import require

_MODULE = "interconnected_ai.bench.serving.llama"
_PLACE_TOKENS = 512  # of a stream, prompt and answer
_SUBJECTS = ("the sea", "a mountain", "the old clock", "a market", "winter", "the railway", "a garden", "the moon")


@dataclass(frozen=True)
class ChatSizes:
    """What is asked of both servers. base: a GGUF file."""

    base: str = "smollm2"
    num_tokens: int = 96
    streams: tuple[int, ...] = (1, 4)
    rounds: int = 3


def measure_chat(home: Path, sizes: ChatSizes, say: Callable[[str], object]) -> dict[str, Any]:
    """over_llamacpp_server: the least ratio of tokens a second over the numbers of streams; None without the binding."""
    if find_spec("xllamacpp") is None:
        say("llama.cpp is not installed, so its server is not compared with")
        return {"over_llamacpp_server": None, "chat_rows": []}
    file = find_base(sizes.base).path
    most = max(sizes.streams)
    words = [_MODULE, str(file), str(most), str(torch.get_num_threads())]
    with iai_serve(home, [sizes.base], {"max_at_once": most}) as ours, started(home, words) as theirs:
        rows = [_row(ours, theirs, sizes, at_once, say) for at_once in sizes.streams]
    return {"over_llamacpp_server": min(row["ratio"] for row in rows), "chat_rows": rows}


def _row(ours: Served, theirs: Served, sizes: ChatSizes, at_once: int, say: Callable[[str], object]) -> dict[str, Any]:
    say(f"{at_once} conversations at once, here and on llama.cpp's server")
    speeds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for number in range(sizes.rounds + 1):
        for name, server in (("ours", ours), ("theirs", theirs)):
            model = sizes.base if server is ours else "any"
            asked = [_asked(model, number * at_once + place, sizes.num_tokens) for place in range(at_once)]
            speed = _speed(ask_all(server.address, asked, at_once))
            if number:
                speeds[name].append(speed)
    ratio = statistics.median(our / their for our, their in zip(speeds["ours"], speeds["theirs"], strict=True))
    return {"at_once": at_once, "ratio": ratio, **{name: statistics.median(each) for name, each in speeds.items()}}


def _asked(model: str, number: int, num_tokens: int) -> bytes:
    text = f"{number}. Write a very long story about {_SUBJECTS[number % len(_SUBJECTS)]}."
    return chat(
        text, model=model, num_tokens=num_tokens, temperature=0, stream=True, stream_options={"include_usage": True}
    )


def _speed(answers: Sequence[Answer]) -> float:
    """Tokens a second of answers that were asked for together."""
    if wrong := [answer for answer in answers if answer.status != 200]:
        raise RuntimeError(f"a server answered {wrong[0].status}: {wrong[0].body[:300]!r}")
    tokens = sum(next(each["usage"] for each in answer.events[::-1] if each.get("usage"))["completion_tokens"]
                 for answer in answers)  # fmt: skip
    return float(tokens) / max(answer.seconds for answer in answers)


def main(file: str, places: int, threads: int) -> None:
    """llama.cpp's server of this file until a signal."""
    binding = require("xllamacpp", "llamacpp", "the bench")
    settings = binding.CommonParams()
    settings.model.path = file
    settings.n_ctx, settings.n_parallel, settings.n_gpu_layers = places * _PLACE_TOKENS, places, 0
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
    settings.verbosity = 0
    server = binding.Server(settings)
    print(json.dumps({"address": server.listening_address.rstrip("/")}), flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
