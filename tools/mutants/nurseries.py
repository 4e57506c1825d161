"""The driver's side of a nursery: a process on a copy of the checkout that answers one request at a time."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tools.mutants.copies import copy_of


class NurseryError(Exception):
    """A nursery that ended, or whose tests fail without any fault: nothing it says could be trusted."""


class Nursery:
    """A running `tools.mutants.nursery`. One caller at a time."""

    def __init__(self, copy: Path, preload: Sequence[str]) -> None:
        self.copy = copy
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tools.mutants.nursery", str(copy), *preload],
            cwd=Path(__file__).resolve().parents[2],  # where `tools` is found
            env=_environment(copy),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """The answer to a request. Raises: NurseryError when the process is gone."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise NurseryError(f"the nursery ended with code {self._process.wait()}; its last words stand above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process; its children are gone by then, or end with it."""
        self._process.terminate()
        self._process.communicate()


@contextmanager
def nurseries(root: Path, count: int, preload: Sequence[str]) -> Iterator[list[Nursery]]:
    """`count` of them, each with its own copy of the checkout at `root`."""
    with ExitStack() as stack:
        opened = []
        for _ in range(count):
            nursery = Nursery(stack.enter_context(copy_of(root)), preload)
            stack.callback(nursery.close)
            opened.append(nursery)
        yield opened


def _environment(copy: Path) -> dict[str, str]:
    """One thread each, no network, and the copy before any installed package, in grandchildren too."""
    return {
        **os.environ,
        "PYTHONPATH": str(copy / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
    }
