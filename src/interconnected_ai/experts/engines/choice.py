"""`engine="auto"`: the engines that can run an expert here are timed on it, the fastest is taken, and the choice is kept."""

import logging
import os
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import torch

from interconnected_ai.config import GenerationConfig
from interconnected_ai.errors import EngineError, MissingExtraError, StorageError
from interconnected_ai.experts.engine import Engine
from interconnected_ai.experts.engines.conversion import cache_folder
from interconnected_ai.experts.engines.kinds import ENGINES, Source, engine_kind, open_source, source_of, why_not
from interconnected_ai.storage import atomic_file, read_json, write_json

_NUM_PROMPT_TOKENS, _NUM_NEW_TOKENS, _NUM_ROUNDS = 16, 24, 3
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineChoice:
    """The engine that was found fastest for one prompt.

    tokens_per_second: of every engine that was timed. passed_over: the others, and why.
    """

    engine: str
    precision: str
    tokens_per_second: dict[str, float]
    passed_over: dict[str, str]

    def __str__(self) -> str:
        speeds = sorted(self.tokens_per_second.items(), key=lambda one: -one[1])
        timed = ", ".join(f"{name} {speed:.0f}" for name, speed in speeds)
        others = "".join(f"; {name}: {reason}" for name, reason in self.passed_over.items())
        return f"engine {self.engine} in {self.precision}: tokens per second at one prompt: {timed}{others}"


def choose_engine(
    expert: str | Path, *, precision: str | None = None, threads: int | None = None, cache: str | Path | None = None
) -> EngineChoice:
    """The fastest engine for an expert's folder on this machine, timed once and then remembered beside it.

    Every engine that can run the expert in this precision continues a prompt of 16 tokens by 24, three times in turn, and
    the medians are compared. The choice is made again when the expert, an engine's version or the machine changes.
    """
    return choose(source_of(expert, None, precision, threads=threads, cache=cache))


def choose(source: Source) -> EngineChoice:
    """The same for a folder that is checked already."""
    note, key = (
        cache_folder(source.files.folder, source.cache) / f"choice-{source.precision}.json",
        _circumstances(source),
    )
    choice = _remembered(note, key) or _timed(source)
    _keep(note, key, choice)
    _log.info("%s", choice)
    return choice


def _timed(source: Source) -> EngineChoice:
    reasons = {name: why_not(name, source) for name in ENGINES}
    engines: dict[str, Engine] = {}
    for name in [name for name, reason in reasons.items() if not reason]:
        try:
            engines[name] = open_source(name, source)
        except (EngineError, MissingExtraError) as error:  # the converter's package may be the one that is missing
            reasons[name] = str(error)
    if not engines:
        listed = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise EngineError(f"no engine can run this expert in {source.precision}: {listed}")
    try:
        speeds = {name: _NUM_NEW_TOKENS / seconds for name, seconds in _seconds(engines, source).items()}
    finally:
        for engine in engines.values():
            engine.close()
    best = max(speeds, key=lambda name: speeds[name])
    return EngineChoice(best, source.precision, speeds, {name: reason for name, reason in reasons.items() if reason})


def _seconds(engines: dict[str, Engine], source: Source) -> dict[str, float]:
    """Median seconds of each engine for the same prompt, all in turn, after a round that is not counted."""
    window = source.files.config.max_seq_len
    num_prompt = max(1, min(_NUM_PROMPT_TOKENS, window - _NUM_NEW_TOKENS))
    generator = torch.Generator().manual_seed(0)
    prompt = torch.randint(source.files.config.vocab_size, (num_prompt,), generator=generator).tolist()
    config = GenerationConfig(max_new_tokens=min(_NUM_NEW_TOKENS, max(1, window - num_prompt)), temperature=0.0)
    found: dict[str, list[float]] = {name: [] for name in engines}
    for number in range(_NUM_ROUNDS + 1):
        for name, engine in engines.items():
            began = time.perf_counter()
            (answer,) = engine([prompt], config)
            seconds = time.perf_counter() - began
            if number:  # an answer may end early, at the same token for all: what counts is the time of a token
                found[name].append(seconds * _NUM_NEW_TOKENS / max(1, len(answer.token_ids)))
    return {name: median(seconds) for name, seconds in found.items()}


def _circumstances(source: Source) -> dict[str, str | int]:
    """What a choice depends on."""
    versions = {name: _version(engine_kind(name).package) for name in ENGINES}
    threads = source.threads or torch.get_num_threads()
    return {"weights": source.files.key, "threads": threads, "cores": os.cpu_count() or 0, **versions}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _remembered(note: Path, key: dict[str, str | int]) -> EngineChoice | None:
    if not note.is_file():
        return None
    try:
        kept = read_json(note)
        if kept["for"] == key:
            return EngineChoice(kept["engine"], kept["precision"], kept["tokens_per_second"], kept["passed_over"])
    except (StorageError, KeyError):  # a note that cannot be read is made again
        return None
    return None


def _keep(note: Path, key: dict[str, str | int], choice: EngineChoice) -> None:
    content = {
        "for": key,
        "engine": choice.engine,
        "precision": choice.precision,
        "tokens_per_second": choice.tokens_per_second,
        "passed_over": choice.passed_over,
    }
    with atomic_file(note) as scratch:
        write_json(scratch, content)
