"""Servers as processes of their own: `iai serve`, a bare FastAPI route, and what they take of the machine."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MEGABYTE = 1_000_000
LOG = "serving.log"


@dataclass
class Served:
    """A server that runs. address: without a slash at its end."""

    address: str
    process: "subprocess.Popen[str]"

    @property
    def resident_mb(self) -> float:
        """Resident memory that is the process's own and no file's."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024 / _MEGABYTE
        raise RuntimeError("the system does not tell what a process takes")

    def limit_files(self, num_bytes: int | None) -> None:
        """No file may grow beyond this from here on, as on a disk that is full; None takes the limit back."""
        hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (hard if num_bytes is None else num_bytes, hard))

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def iai_serve(home: Path, places: Sequence[str | Path], settings: Mapping[str, Any]) -> Iterator[Served]:
    """`iai serve` on a free port, in the folder `home`, where its log stands."""
    file = write_settings(home, settings)
    with started(
        home, ["interconnected_ai.cli", "serve", *map(str, places), "--config", str(file), "--json", "-q"]
    ) as one:
        yield one


def write_settings(home: Path, settings: Mapping[str, Any]) -> Path:
    """The file of a server's settings: a free port, and `home` for what is to outlive it."""
    file = home / "serving.json"
    file.write_text(json.dumps({"port": 0, "state": str(home / "state"), **settings}), encoding="utf-8")
    return file


@contextmanager
def started(home: Path, module: Sequence[str], *, environment: Mapping[str, str] | None = None) -> Iterator[Served]:
    """A module of this package that serves and says first, as JSON, where."""
    known = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **(environment or {})}
    with (
        (home / LOG).open("ab") as log,
        subprocess.Popen(
            [sys.executable, "-m", *module], env=known, cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=log, text=True,
        ) as process,
    ):  # fmt: skip
        try:
            assert process.stdout is not None
            told = process.stdout.readline()
            if not told:
                raise RuntimeError(f"the server did not start: {_last_words(home)}")
            yield Served(json.loads(told)["address"], process)
        finally:
            _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    until = time.monotonic() + 30.0
    while process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    process.kill()


def _last_words(home: Path) -> str:
    lines = (home / LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
