"""Experts for the bench of the pool, made fast, and what a process holds of its own while they are lent."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from interconnected_ai.bench.pool_traces import names_of
from interconnected_ai.experts import ExpertModel, open_expert, save_expert
from interconnected_ai.text import Tokenizer

PROMPT = "The router gives every token to two experts"
_TEXT = f"{PROMPT}, and the experts answer. " * 40
_HEAD_WIDTH = 32
_LOOK_SECONDS = 0.02


def made_experts(home: Path, num_experts: int, d_model: int, n_layers: int, engine: str) -> dict[str, Path]:
    """Folders of experts by name, converted for the engine: one of random weights, and links to its files for the others.

    To a pool they are different experts; on the disk, and in the system's cache of it, they are one.
    """
    first, *others = names_of(num_experts)
    words = Tokenizer.train([_TEXT], 330)
    heads = max(1, d_model // _HEAD_WIDTH)
    model = ExpertModel(
        words.vocab_size, d_model, n_layers, heads, max_seq_len=256, norm="pre",
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    save_expert(model, home / first, words)
    with open_expert(home / first, engine=engine) as expert:
        expert.generate(PROMPT, max_new_tokens=1)
    for name in others:
        for folder in (first, f".{first}.engines"):
            if (home / folder).exists():
                shutil.copytree(home / folder, home / folder.replace(first, name), copy_function=_link)
    return {name: home / name for name in (first, *others)}


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copy2(source, target)


class PrivateBytes:
    """What this process alone holds and cannot be read again from a file, and its peak while somebody looks.

    before: when this was made. Both are 0 on systems without /proc.
    """

    def __init__(self) -> None:
        self.before = self.peak = private_bytes()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look every 20 ms, in a thread."""
        done = threading.Event()

        def watch() -> None:
            while not done.wait(_LOOK_SECONDS):
                self.peak = max(self.peak, private_bytes())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()


def private_bytes() -> int:
    """Dirty private pages of this process."""
    try:
        lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))
