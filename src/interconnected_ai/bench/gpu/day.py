"""All parts one after the other, each in a process of its own with a limit; what is known is on disk after each of them."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from interconnected_ai.bench.gpu.parts import PARTS, Part
from interconnected_ai.bench.timing import machine
from interconnected_ai.errors import ConfigError, UnknownNameError
from interconnected_ai.storage import atomic_file, refuse_standing

RESULTS, PAGE = "gpu.json", "gpu.md"
_WORDS = 2000  # characters of a failed part's last words that are kept
_PATIENCE_OF_A_CHECK = 10  # a check must not fail because the machine is busy
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What became of a part. state: "done", "failed", "stopped" (at its limit), "not reached"."""

    part: str
    state: str
    seconds: float
    result: Mapping[str, Any]
    error: str


def bench_gpu(
    output: str | Path,
    *,
    device: str = "auto",
    tiny: bool | None = None,
    minutes: float = 8.0,
    only: Sequence[str] = (),
    overwrite: bool = False,
) -> dict[str, Any]:
    """Everything that needs a GPU, within `minutes`; gpu.json and gpu.md in `output` are written anew after every part.

    device: "cuda", "cpu", or "auto" for a GPU where there is one. tiny: small shapes, to check that all parts run; None is so
    on a CPU alone. only: parts by name. A part that fails or takes too long is recorded, and the next one begins. overwrite:
    replace the figures of an earlier day.
    Raises: ConfigError for a GPU that is not there, UnknownNameError for a part, StorageError where figures stand and
    `overwrite` is not asked for. Not for two at once into one folder.
    """
    for name in (RESULTS, PAGE):
        refuse_standing(Path(output) / name, overwrite=overwrite)
    place = _device(device)
    small = place == "cpu" if tiny is None else tiny
    if place == "cpu" and not small:
        raise ConfigError("full shapes take hours on a CPU; there --tiny checks that every part runs")
    for name in only:
        if name not in (part.name for part in PARTS):
            raise UnknownNameError("part", name, [part.name for part in PARTS])
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    parts = [part for part in PARTS if part.name in only or not only]
    end = time.monotonic() + 60 * minutes
    outcomes: list[Outcome] = []
    found = _told(outcomes, parts, place, small)
    for part in parts:
        limit = part.seconds * (_PATIENCE_OF_A_CHECK if small else 1)
        outcomes.append(run_part(part, place, small, folder, min(limit, end - time.monotonic())))
        _log.info("%s: %s, %.0f s", part.name, outcomes[-1].state, outcomes[-1].seconds)
        found = _told(outcomes, parts[len(outcomes) :], place, small)
        _write(folder, found)
    return found


def run_part(part: Part, device: str, tiny: bool, folder: Path, seconds: float) -> Outcome:
    """One part in a process of its own; whatever it started ends with it."""
    if seconds <= 0:
        return Outcome(part.name, "not reached", 0.0, {}, "the time was up")
    result, log = folder / f".{part.name}.json", folder / f"{part.name}.log"
    result.unlink(missing_ok=True)
    began = time.monotonic()
    command = [sys.executable, "-m", "interconnected_ai.bench.gpu.worker", part.name, device]
    with log.open("w", encoding="utf-8") as words:
        process = subprocess.Popen(
            [*command, "tiny" if tiny else "full", str(result)], stdout=words, stderr=words, start_new_session=True
        )
        try:
            process.wait(seconds)
            stopped = False
        except subprocess.TimeoutExpired:
            stopped = True
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    took = time.monotonic() - began
    content = json.loads(result.read_text(encoding="utf-8")) if result.exists() else {}
    result.unlink(missing_ok=True)
    if "result" in content:
        return Outcome(part.name, "done", took, content["result"], "")
    last = log.read_text(encoding="utf-8", errors="replace")[-_WORDS:]
    if stopped:
        return Outcome(part.name, "stopped", took, {}, f"stopped after {seconds:.0f} s; its last words:\n{last}")
    ended = f"ended with code {process.returncode} (−9: out of memory); its last words:\n{last}"
    return Outcome(part.name, "failed", took, {}, content.get("error", ended))


def page(found: Mapping[str, Any]) -> str:
    """The results in the form of `docs/results`."""
    here = found["machine"]
    lines = [
        "# iai bench gpu",
        f"- date: {here['date']}\n- machine: {here['processor']}, {here['cores']} cores, GPU: {here['gpu']}; "
        f"torch {here['torch']}, Python {here['python']}\n- command: `iai bench gpu --output DIR`",
    ]
    if found["tiny"]:
        lines.append("Tiny shapes: this checks that the parts run. No figure here says anything of a GPU.")
    states = [(each["part"], each["state"], f"{each['seconds']:.1f}") for each in found["parts"]]
    lines.append(
        _table(("part", "state", "seconds"), [*states, *((name, "not begun", "") for name in found["not_begun"])])
    )
    for each in found["parts"]:
        lines.append(f"## {each['part']}")
        if each["error"]:
            lines.append(f"```\n{each['error']}\n```")
        if each["result"]:
            lines.append(_table(("key", "value"), [(key, _shown(value)) for key, value in _flat(each["result"])]))
    return "\n\n".join(lines) + "\n"


def _told(outcomes: Sequence[Outcome], rest: Sequence[Part], device: str, tiny: bool) -> dict[str, Any]:
    return {
        "machine": machine(),
        "device": device,
        "tiny": tiny,
        "parts": [asdict(outcome) for outcome in outcomes],
        "not_begun": [part.name for part in rest],
        "num_done": sum(outcome.state == "done" for outcome in outcomes),
        "all_done": not rest and all(outcome.state == "done" for outcome in outcomes),
    }


def _write(folder: Path, found: Mapping[str, Any]) -> None:
    texts = {RESULTS: json.dumps(found, ensure_ascii=False, indent=2), PAGE: page(found)}
    for name, text in texts.items():
        with atomic_file(folder / name) as file:
            file.write_text(text, encoding="utf-8")


def _device(name: str) -> str:
    if name not in ("auto", "cpu", "cuda"):
        raise UnknownNameError("device", name, ("auto", "cpu", "cuda"))
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise ConfigError("device 'cuda' is not on this machine; --device cpu checks every part with tiny shapes")
    return ("cuda" if there else "cpu") if name == "auto" else name


def _flat(content: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Keys of keys with dots between them."""
    out: list[tuple[str, Any]] = []
    for key, value in content.items():
        out += _flat(value, f"{before}{key}.") if isinstance(value, Mapping) else [(f"{before}{key}", value)]
    return out


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(_shown(each) for each in value)
    return str(value).replace("|", "\\|").replace("\n", " ")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *rows))
