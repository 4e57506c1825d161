"""A process that has loaded the heavy packages and forks a child for every mutant: importing torch again takes longer than
most tests do. `python -m tools.mutants.nursery COPY` reads a request a line as JSON and answers a line each.

It never imports the package under test; only its children do. Needs `os.fork`.
"""

import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from tools.mutants.watching import Chosen, Survey

PRELOADED = (
    *("pytest", "hypothesis", "numpy", "torch", "transformers", "safetensors.torch", "tokenizers", "pydantic", "yaml"),
    *("click", "rich.table", "accelerate", "torch.utils.flop_counter", "torch.distributed", "sqlite3", "asyncio"),
    *("transformers.models.bert.modeling_bert", "transformers.tokenization_utils_tokenizers"),
)
# Plugins that were loaded before pytest are not rewritten, which it warns of.
PYTEST = (
    *("-x", "-p", "no:cacheprovider", "--no-header", "--color=no"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)
_MORE_BYTES = 6 << 30  # of address space, beyond what the nursery itself takes


def main() -> None:
    """Answer requests until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print goes to stderr
    copy = Path(sys.argv[1])
    _settle(copy, sys.argv[2:])
    for line in sys.stdin:
        request = json.loads(line)
        answers.write(json.dumps(_answer(copy, request)) + "\n")


def _settle(copy: Path, more: list[str]) -> None:
    """Import for all children what none of them changes."""
    os.chdir(copy)
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(copy / "src"))
    for name in (*PRELOADED, *more):
        with suppress(ImportError):  # an extra that is not installed: its tests skip
            import_module(name)
    loaded = sys.modules.keys() & {"interconnected_ai"}
    assert not loaded, "the package under test must be imported by the children alone"


def _answer(copy: Path, request: dict[str, Any]) -> dict[str, Any]:
    if request["do"] == "survey":
        return _in_child(lambda: _survey(copy, request["tests"]), request["seconds"])
    file = copy / request["path"]
    original = file.read_text(encoding="utf-8")
    file.write_text(request["code"], encoding="utf-8")
    try:
        return _in_child(lambda: _try(copy, request["tests"]), request["seconds"])
    finally:
        file.write_text(original, encoding="utf-8")


def _in_child(work: Any, seconds: float) -> dict[str, Any]:
    """What `work` returns in a forked child: with `ended` "well", "time" or "crash", and the seconds it took."""
    with tempfile.NamedTemporaryFile("w+", suffix=".json") as result, tempfile.TemporaryFile("w+") as words:
        started = time.monotonic()
        child = os.fork()
        if not child:
            _be_the_child(work, result.name, words.fileno())
        with suppress(ProcessLookupError, PermissionError):
            os.setpgid(child, child)  # whoever of the two comes first
        ended = "well" if _wait(child, started + seconds) else "time"
        took = time.monotonic() - started
        text = Path(result.name).read_text(encoding="utf-8")
        words.seek(0)
        if ended == "well" and not text:
            ended = "crash"
        return {"ended": ended, "seconds": took, "words": words.read()[-2000:], **(json.loads(text) if text else {})}


def _be_the_child(work: Any, result: str, words: int) -> None:
    """Never returns."""
    try:
        os.setpgid(0, 0)
        for stream in (1, 2):
            os.dup2(words, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        taken = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + _MORE_BYTES, taken + _MORE_BYTES))
        content = json.dumps(work())
        Path(result).write_text(content, encoding="utf-8")
    except BaseException:  # noqa: BLE001 - a forked child must never return into its parent's code
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _wait(child: int, until: float) -> bool:
    """Whether the child ended by itself. What it leaves running ends with it."""
    ended = False
    while not ended and time.monotonic() < until:
        ended = os.waitpid(child, os.WNOHANG)[0] == child
        if not ended:
            time.sleep(0.02)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if not ended:
        os.waitpid(child, 0)
    return ended


def _survey(copy: Path, tests: list[str]) -> dict[str, Any]:
    import pytest

    source = copy / "src" / "interconnected_ai"
    with Survey(source) as survey:
        code = pytest.main([*PYTEST[1:], *tests], plugins=[survey])
    if not code:
        _check_origin(source)
    contexts = {str(Path(file).relative_to(copy)): lines for file, lines in survey.contexts().items()}
    return {"code": int(code), "tests": survey.seconds, "failed": survey.failed, "contexts": contexts}


def _try(copy: Path, tests: list[str]) -> dict[str, Any]:
    import pytest

    chosen = Chosen(tests)
    files = list(dict.fromkeys(test.split("::")[0] for test in tests))
    code = pytest.main([*PYTEST, *files], plugins=[chosen])
    return {"code": int(code), "num_run": chosen.num_run, "failed": chosen.failed, "why": chosen.why}


def _check_origin(source: Path) -> None:
    """An editable install of the same package must not win over the copy."""
    found = Path(str(sys.modules["interconnected_ai"].__file__)).resolve()
    if not found.is_relative_to(source.resolve()):
        raise ImportError(f"the tests import {found}, not the copy in {source}")


if __name__ == "__main__":
    main()
