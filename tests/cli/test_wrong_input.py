"""Every option of every command with what no one should give it: one clear message, never a traceback, nothing half-written.

The tree of commands is walked, so a new verb and a new option are driven without a line here. Long measurements
(`bench`, the quickstarts, `plan calibrate`) are driven up to the call of the command: their arguments are parsed and
checked.
"""

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from artefacts import calls, make_artefacts, snapshot
from command_line import COMMANDS, run_main

from interconnected_ai.cli import iai
from interconnected_ai.cli.values import refuse_unusable
from properties import NIGHTLY, PROFILE

pytest.importorskip("Stemmer", reason='needs the extra "memory"')
pytest.importorskip("pymorphy3", reason='needs the extra "memory"')

# Ctrl-C between the opening of a file or folder and the block that closes it, in Python's own library too (`os.walk`), leaves
# that to the collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

LONG = {"quickstart", "expert quickstart", "surgery quickstart", "council quickstart", "plan calibrate"}
GUARD_SECONDS = 8  # a call that a wrong value makes long is stopped as by Ctrl-C, and must end as after it

# What is no UTF-8 comes from a terminal as surrogates; NUL cannot come from one.
NUMBERS = [
    "",
    "abc",
    "0",
    "-1",
    "1.5",
    "9" * 30,
    "9223372036854775807",
    "nan",
    "inf",
    "-inf",
    "-1e300",
    "1e300",
    "0x10",
]
TEXTS = [
    "",
    " ",
    "nonsense",
    "\udcff",
    "../../etc/passwd",
    "%s{0}",
    "-1",
    "cuda:99",
    "🙂" * 300,
    "[",
    "a=b=c",
    "x" * 5000,
]
PATHS = [
    "", "missing", ".", "/", "/dev/null", "/dev/null/below", "/proc/nothing/below", "WORLD/corpus.txt/below", "WORLD/empty.txt",
    "WORLD/cp1251.txt", "WORLD/binary.bin", "WORLD/broken.json", "WORLD/deep.yaml", "WORLD/list.yaml", "WORLD/encoder",
    "с пробелом и кириллицей", "picture.docx", "\udcff", "x" * 300, "d/" * 3000,
]  # fmt: skip


@dataclass(frozen=True)
class Call:
    """What came of a call."""

    arguments: list[str]
    code: int
    out: str
    err: str

    def fault(self) -> str | None:
        """What is wrong with how the call ended, whatever it was asked for."""
        if "Traceback (most recent call last)" in self.out + self.err:
            return f"a traceback: {self.err.strip().splitlines()[-1]}"
        if self.code not in (0, 1, 2, 130):
            return f"exit code {self.code}: {self.err.strip()[-300:]!r}"
        lines = self.out.splitlines()
        if len(lines) != 1:
            return f"{len(lines)} lines on stdout under --json: {self.out[:200]!r}"
        try:
            found = json.loads(lines[0], parse_constant=_no_constant)
        except ValueError as error:
            return f"stdout is no JSON ({error}): {self.out[:200]!r}"
        if not isinstance(found, dict):
            return f"stdout is no JSON object: {self.out[:200]!r}"
        if self.code >= 2 and set(found) != {"error"}:
            return f"exit code {self.code} without an error: {self.out[:200]!r}"
        if self.code >= 2 and found["error"]["kind"] == "OSError" and "too long" not in self.err:
            return f"the system's words instead of ours: {found['error']['message']!r}"
        if self.code >= 2 and not found["error"]["message"].strip():
            return "an error without words"
        return None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


class Terminal(io.TextIOWrapper):
    """A stream of bytes as the real ones are; `text` is what came."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    @property
    def text(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode("utf-8")  # type: ignore[attr-defined, no-any-return]


def called(arguments: list[str], *, most_seconds: float | None = None) -> Call:
    """`iai ARGUMENTS` in this process, standard input empty; stopped as by Ctrl-C after `most_seconds`."""
    out, err, before = Terminal(), Terminal(), sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(b""))
    main_thread = threading.main_thread().ident
    guard = threading.Timer(most_seconds or 0.0, lambda: signal.pthread_kill(main_thread, signal.SIGINT))
    if most_seconds is not None:
        guard.start()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = run_main(*arguments)
    finally:
        guard.cancel()
        sys.stdin = before
    return Call(arguments, code, out.text, err.text)


DRIVEN = [verb for verb in COMMANDS if verb not in LONG and not verb.startswith("bench ")]
PARSED = [verb for verb in COMMANDS if verb not in DRIVEN]


def wrong_values(parameter: click.Parameter, world: Path) -> list[str]:
    """What to give a parameter of this type."""
    if isinstance(parameter.type, click.Path):
        return [path.replace("WORLD", str(world)) for path in PATHS]
    if isinstance(parameter.type, click.types.IntParamType | click.types.FloatParamType):
        return NUMBERS
    if isinstance(parameter.type, click.types.BoolParamType):
        return []
    return [*TEXTS, *(path.replace("WORLD", str(world)) for path in PATHS[:14])]


def argument_lists(verb: str, right: list[str], world: Path) -> Iterator[list[str]]:
    """The correct call with one parameter wrong at a time."""
    command, words_of_verb = COMMANDS[verb], [*verb.split(), "--json"]
    positional = [p for p in command.params if isinstance(p, click.Argument)]
    for parameter in command.params:
        for value in wrong_values(parameter, world):
            if isinstance(parameter, click.Option):
                # `--option=value`, since a value may begin with a dash; it comes last and wins.
                yield [*words_of_verb, *right, f"{max(parameter.opts, key=len)}={value}"]
            else:
                place = positional.index(parameter)
                options = [i for i, word in enumerate(right) if word.startswith("--")]
                before, after = right[: min(options, default=len(right))], right[min(options, default=len(right)) :]
                words = [*before[:place], value, *before[place + 1 :]]
                yield [*words_of_verb, *after, *(["--"] if value.startswith("-") else []), *words]


def chosen(cases: list[list[str]], verb: str) -> list[list[str]]:
    """All of them in a nightly run, else a sample that is the same each time and holds every parameter's own share."""
    return cases if PROFILE == NIGHTLY else random.Random(verb).sample(cases, k=-(-len(cases) // 10))


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artefacts in `world`, and a copy of them in `copy`."""
    folder = tmp_path_factory.mktemp("artefacts")
    (folder / "world").mkdir()
    make_artefacts(folder / "world")
    shutil.copytree(folder / "world", folder / "copy")
    return folder


@pytest.fixture
def world(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The artefacts as they were made. The current folder is another one, and empty."""
    restore(shelf / "world")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IAI_HOME", str(shelf / "home"))
    for name in ("IAI_DEBUG", "IAI_MEMORY"):
        monkeypatch.delenv(name, raising=False)
    return shelf / "world"


def restore(world: Path) -> None:
    """Make the artefacts what they were."""
    copy = world.parent / "copy"
    if snapshot(world) != snapshot(copy):
        shutil.rmtree(world)
        shutil.copytree(copy, world)


def left_behind(here: Path) -> list[str]:
    """Scratch that a call should have removed: hidden files and folders."""
    return [str(path.relative_to(here)) for path in here.rglob(".*")]


def guarded(arguments: list[str]) -> Call:
    """The call, for as long as a wrong value may keep it at work."""
    return called(arguments, most_seconds=GUARD_SECONDS)


def complaints(argument_lists: list[list[str]], world: Path, call: Callable[[list[str]], Call] = guarded) -> list[str]:
    """Every call that ended badly, in a line each."""
    found, here = [], Path.cwd()
    kept = snapshot(world)
    for arguments in argument_lists:
        done = call(arguments)
        faults = [done.fault()]
        if hidden := [*left_behind(here), *left_behind(world)]:
            faults.append(f"left behind: {hidden}")
        if done.code == 2 and (new := sorted(path.name for path in here.iterdir())):
            faults.append(f"refused, and wrote {new}")
        if done.code == 2 and snapshot(world) != kept:
            faults.append(f"refused, and changed {sorted(set(snapshot(world).items()) ^ set(kept.items()))[:3]}")
        short = (word.replace(str(world), "WORLD")[:60] for word in arguments if word != "--json")
        shown = " ".join(short)
        found += [f"iai {shown!r}: {fault}" for fault in faults if fault]
        clear(here)
        restore(world)
    return found


def assert_none(found: list[str]) -> None:
    """Fails with all complaints, a line each."""
    if found:
        pytest.fail(f"{len(found)} calls ended badly:\n" + "\n".join(found), pytrace=False)


def clear(folder: Path) -> None:
    """Empty the folder."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def right_call(verb: str, world: Path) -> list[str]:
    """Arguments with which the verb works; of a verb that `artefacts` does not know, something for all it requires."""
    if (known := calls(world).get(verb)) is not None:
        return known
    words: list[str] = []
    for parameter in COMMANDS[verb].params:
        if parameter.required:
            value = "1" if isinstance(parameter.type, click.types.IntParamType) else str(world / "corpus.txt")
            words += [value] if isinstance(parameter, click.Argument) else [max(parameter.opts, key=len), value]
    return words


def test_there_is_a_right_call_of_every_verb_and_of_no_other(world: Path) -> None:
    assert set(calls(world)) == set(DRIVEN)


@pytest.mark.parametrize("verb", DRIVEN)
def test_a_wrong_value_ends_in_one_clear_message(verb: str, world: Path) -> None:
    cases = list(argument_lists(verb, right_call(verb, world), world))
    assert_none(complaints(chosen(cases, verb), world))


@pytest.mark.parametrize("verb", PARSED)
def test_a_wrong_value_of_a_long_measurement_is_refused_or_parsed(verb: str, world: Path) -> None:
    def parsed(arguments: list[str]) -> Call:
        words = arguments[len(verb.split()) :]
        try:
            with COMMANDS[verb].make_context(verb, words, parent=click.Context(iai)) as context:
                refuse_unusable(context)
        except click.UsageError as error:
            return Call(arguments, 2, json.dumps({"error": {"kind": "UsageError", "message": str(error)}}), "")
        return Call(arguments, 0, "{}", "")

    cases = list(argument_lists(verb, right_call(verb, world), world))
    assert_none(complaints(cases, world, parsed))


# Told apart from the interpreter's own start, in which Ctrl-C is not ours to answer.
BEGIN = """
import sys
from interconnected_ai.cli import main
print("begun", file=sys.stderr, flush=True)
main(sys.argv[1:])
"""


def stopped_after(seconds: float, arguments: list[str]) -> Call:
    """`iai ARGUMENTS` in a process of its own, to which Ctrl-C comes after this time, unless it has ended by then."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", BEGIN, *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        assert process.stderr.readline() == "begun\n"
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            out, err = process.communicate()
    # Python gives Ctrl-C back to the system at its very end: a shell says 130 of that too.
    ended = process.returncode == -signal.SIGINT and bool(out)
    return Call(arguments, 0 if ended else process.returncode, out, err)


WRITERS = ["train", "branch add", "expert train", "expert quantize", "surgery remove", "memory import", "report"]


@pytest.mark.slow  # what a moment hits depends on how busy the machine is
@pytest.mark.parametrize("verb", WRITERS)
def test_ctrl_c_at_any_moment_leaves_everything_whole(verb: str, world: Path) -> None:
    """The moments are drawn: while PyTorch is imported, while data are read, in the work itself, after its end."""
    arguments = [*verb.split(), "--json", *right_call(verb, world)]
    moments = random.Random(verb if PROFILE != NIGHTLY else None)
    for _ in range(20 if PROFILE == NIGHTLY else 1):
        done = stopped_after(moments.uniform(0.02, 6.0), arguments)
        assert done.code in (0, 130), done.err
        assert done.fault() is None
        assert [*left_behind(Path.cwd()), *left_behind(world)] == []
        assert run_main("branch", "verify", str(world / "run")) == 0
        assert run_main("expert", "list", str(world / "experts")) == 0
        again = called(arguments)  # nothing that was left stands in the way, or a message says what to do with it
        assert again.fault() is None
        clear(Path.cwd())
        restore(world)
