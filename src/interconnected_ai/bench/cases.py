"""One configuration, predicted by the planner and measured in a process of its own: step time and peak memory."""

import multiprocessing
import resource
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from interconnected_ai.bench.timing import take_turns
from interconnected_ai.branches import InterconnectedAISystem
from interconnected_ai.config import SystemConfig
from interconnected_ai.errors import TrainingError
from interconnected_ai.planner import (
    Device,
    Speed,
    SystemShape,
    answer,
    inference_memory,
    overhead_of,
    training_memory,
    training_step,
)
from interconnected_ai.training import GlobalBatch, system_loss


@dataclass(frozen=True)
class Case:
    """One configuration that is predicted and measured."""

    name: str
    system: dict[str, Any]
    batch: int = 64
    tokens: int = 32
    cached: bool = True
    trains: bool = True
    precision: str = "float32"

    @property
    def config(self) -> SystemConfig:
        """The system's config, with two branches where it names none."""
        branches = [{"name": "first", "num_classes": 40}, {"name": "second", "num_classes": 15}]
        return SystemConfig.from_mapping({"branches": branches, "max_seq_len": 256, **self.system})


def predicted(case: Case, device: Device) -> dict[str, float]:
    """Seconds (three of them) and bytes that the planner expects of a case."""
    shape = SystemShape.of(case.config)
    speed, overhead = Speed.on(device, case.precision), overhead_of(device)
    if case.trains:
        seconds = speed.seconds(training_step(shape, case.batch, case.tokens, cached=case.cached))
        memory = training_memory(
            shape, batch=case.batch, tokens_per_text=case.tokens, precision=case.precision, overhead_bytes=overhead
        ).peak_bytes
    else:
        seconds = speed.seconds(answer(shape, case.batch, case.tokens))
        memory = inference_memory(
            shape, batch=case.batch, tokens_per_text=case.tokens, overhead_bytes=overhead
        ).peak_bytes
    return {"low": seconds.low, "seconds": seconds.expected, "high": seconds.high, "bytes": float(memory)}


def measured(case: Case, repeats: int) -> dict[str, float]:
    """Median seconds of a step and peak bytes, found out in a fresh process."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(case, repeats, sender))
    process.start()
    sender.close()
    try:
        found: dict[str, float] = receiver.recv()
    except EOFError as error:
        process.join()
        raise TrainingError(
            f"the process that measured {case.name!r} ended with code {process.exitcode} (−9: out of memory); its message "
            "stands above"
        ) from error
    process.join()
    return found


def _measure(case: Case, repeats: int, sender: Any) -> None:
    """In the fresh process: a tiny step that loads what libraries load, then the case."""
    place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    tiny = Case("", {"d_ff": 16, "encoder_lora_rank": 1}, batch=2, tokens=4, cached=False, precision=case.precision)
    _step_of(tiny, place)()
    base = resident_bytes(place)
    forget_peak(place)
    step = _step_of(case, place)
    timing = take_turns({"step": step}, repeats, warmup=2)["step"]
    sender.send({"seconds": timing.median, "bytes": float(peak_bytes(place) - base)})


def _step_of(case: Case, place: torch.device) -> Callable[[], None]:
    """A function that does one step of the case (its learning rate is zero), or answers one batch."""
    system = InterconnectedAISystem.from_config(case.config).to(place)
    generator = torch.Generator().manual_seed(0)
    input_ids = torch.randint(1000, 20_000, (case.batch, case.tokens), generator=generator).to(place)
    mask = torch.ones_like(input_ids, dtype=torch.bool)
    if not case.trains:

        def answers() -> None:
            with torch.inference_mode():
                system(input_ids, mask)

        return answers

    system.train()
    targets = {
        card.name: torch.randint(0, card.spec.num_classes, (case.batch,), generator=generator).to(place)
        for card in system.cards.values()
    }
    given = system.encode_tokens(input_ids, mask) if case.cached else None
    optimizer = torch.optim.AdamW([{**group, "lr": 0.0} for group in system.get_trainable_params()])
    params = [p for group in optimizer.param_groups for p in group["params"]]
    half = case.precision != "float32"

    def step() -> None:
        with torch.autocast(place.type, getattr(torch, case.precision)) if half else nullcontext():
            out = system(input_ids, mask) if given is None else system(None, given[1], tokens=given[0])
            loss = system_loss(out, targets, GlobalBatch(case.batch * len(targets)))
        loss.total.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        optimizer.zero_grad()

    def with_plain_attention() -> None:
        with system.encoder.attention_that_trains_fast():
            step()

    return with_plain_attention


def resident_bytes(place: torch.device) -> int:
    """What the process holds now."""
    if place.type == "cuda":
        return int(torch.cuda.memory_allocated(place))
    return _status("VmRSS") or peak_bytes(place)


def peak_bytes(place: torch.device) -> int:
    """The most it held since `forget_peak`."""
    if place.type == "cuda":
        return int(torch.cuda.max_memory_allocated(place))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return _status("VmHWM") or (peak if sys.platform == "darwin" else peak * 1024)


def forget_peak(place: torch.device) -> None:
    """Begin to look for the most anew."""
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place)
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets VmHWM, see proc(5)


def _status(key: str) -> int:
    """A figure of /proc/self/status in bytes; 0 where there is none (not Linux)."""
    path = Path("/proc/self/status")
    if not path.is_file():
        return 0
    lines = (line for line in path.read_text(encoding="ascii").splitlines() if line.startswith(f"{key}:"))
    return next((int(line.split()[1]) * 1024 for line in lines), 0)
