"""The library of the compiled step: made by the machine's own C compiler when it is first wanted, then kept for this user.

Whatever goes wrong is a reason, not an error: the step of PyTorch calls serves everywhere.
"""

import ctypes
import hashlib
import os
import shlex
import shutil
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from interconnected_ai.errors import StorageError
from interconnected_ai.storage import atomic_file

SOURCE = Path(__file__).with_name("step.c")
_FLAGS = ("-O3", "-march=native", "-std=gnu11", "-fopenmp", "-fno-math-errno", "-fno-trapping-math")
_MOST_SECONDS = 120  # two are usual
_making = threading.Lock()
_made: dict[tuple[str | None, Path], "StepLibrary"] = {}


@dataclass(frozen=True)
class StepLibrary:
    """The library, or why there is none."""

    calls: ctypes.CDLL | None
    why_not: str = ""


def step_library() -> StepLibrary:
    """The library of this machine. The first call of all takes the compiler's two seconds, the first of a process some ms.

    The compiler is $CC, or cc, gcc, clang; with an empty $CC nothing is compiled. Threads: any number at once.
    """
    asked = os.environ.get("CC"), library_folder()
    with _making:
        if asked not in _made:
            _made[asked] = _library(*asked)
        return _made[asked]


def library_folder() -> Path:
    """Where libraries are kept: in $IAI_HOME, or the user's cache folder ($XDG_CACHE_HOME, ~/.cache)."""
    if home := os.environ.get("IAI_HOME"):
        return Path(home) / "compiled"
    folder = os.environ.get("XDG_CACHE_HOME")
    return (Path(folder) if folder else Path.home() / ".cache") / "interconnected_ai" / "compiled"


def _library(asked: str | None, folder: Path) -> StepLibrary:
    try:
        compiler = _compiler(asked)
        path = folder / f"step-{_fingerprint(compiler)}.so"
        _require_own(folder)
        if not path.exists():
            with atomic_file(path) as scratch:
                _run([*compiler, *_FLAGS, "-fPIC", "-shared", str(SOURCE), "-o", str(scratch), "-lm"])
        return StepLibrary(_declared(ctypes.CDLL(str(path))))
    except _NotCompiledError as error:
        return StepLibrary(None, str(error))
    except (
        OSError,
        StorageError,
        AttributeError,
    ) as error:  # a folder that cannot be written, a library that cannot be loaded
        return StepLibrary(None, f"the compiled library cannot be kept or loaded: {error}")


class _NotCompiledError(Exception):
    """Why."""


def _compiler(asked: str | None) -> list[str]:
    if os.name != "posix":
        raise _NotCompiledError("only Linux and macOS are compiled for")
    if asked is not None and not asked.strip():
        raise _NotCompiledError("the environment variable CC is empty")
    if asked is not None:
        return shlex.split(asked)
    found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if found is None:
        raise _NotCompiledError("there is no C compiler (cc, gcc, clang)")
    return [found]


def _fingerprint(compiler: list[str]) -> str:
    """Of the source, and of what this compiler says of itself and of the processor it compiles for."""
    macros = _run([*compiler, *_FLAGS, "-dM", "-E", "-x", "c", os.devnull])
    return hashlib.sha256(b"\0".join([SOURCE.read_bytes(), " ".join(_FLAGS).encode(), macros])).hexdigest()[:20]


def _run(command: list[str]) -> bytes:
    """What a command writes to stdout. It has ended when this is left, by Ctrl-C too."""
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        raise _NotCompiledError(f"{command[0]} cannot be run: {error.strerror}") from error
    with process:
        try:
            written, told = process.communicate(timeout=_MOST_SECONDS)
        except BaseException as error:
            process.kill()
            process.wait()  # `with` does not wait after Ctrl-C
            if isinstance(error, subprocess.TimeoutExpired):
                raise _NotCompiledError(f"{command[0]} takes longer than {_MOST_SECONDS} s") from error
            raise
    if process.returncode:
        said = told.decode(errors="replace").strip().splitlines()
        raise _NotCompiledError(f"{command[0]} fails: {said[0] if said else f'exit code {process.returncode}'}")
    return written


def _require_own(folder: Path) -> None:
    """Nobody else may put a library there that this process would load."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = folder.stat()
    if kept.st_uid != os.getuid() or kept.st_mode & 0o022:
        raise _NotCompiledError(f"others may write in {folder}; make it yours alone: chmod go-w {folder}")


def _declared(calls: ctypes.CDLL) -> ctypes.CDLL:
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    calls.step.argtypes, calls.step.restype = [pointer, pointer, number], number
    calls.record_bytes.argtypes, calls.record_bytes.restype = [], number
    calls.scratch_numbers.argtypes, calls.scratch_numbers.restype = [pointer, number, number], number
    return calls
