"""Every exit code and environment variable of docs/command-line.md does what the page says, in a process of its own."""

import http.server
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from command_line import COMMANDS, run_main

from interconnected_ai.cli.failures import BAD_INPUT, FOUND, INTERNAL_ERROR, INTERRUPTED, READER_GONE
from interconnected_ai.experts import Expert, ExpertModel
from interconnected_ai.text import Tokenizer
from pages import ROOT

IAI = [sys.executable, "-m", "interconnected_ai.cli"]
OURS = ("IAI_", "XDG_", "HF_", "OMP_", "ONEDNN_", "NO_COLOR", "COLUMNS", "TERM", "TTY_", "FORCE_COLOR")


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without what the page speaks of, but for these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "HF_HUB_OFFLINE": "1", **variables}


def iai(
    *arguments: str, variables: Mapping[str, str] | None = None, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    """`iai ARGUMENTS` in a process of its own."""
    return subprocess.run(
        [*IAI, *arguments], cwd=cwd, env=environment(**(variables or {})), stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


def done(folder: Path) -> int:
    return iai("plan", "explain", "top_k", cwd=folder).returncode


def found_something(folder: Path) -> int:
    (folder / "config.yaml").write_text("{output: run, data: {branches: [{name: topic, path: gone.csv}]}}")
    return iai("doctor", "config.yaml", cwd=folder).returncode


def wrong_input(folder: Path) -> int:
    return iai("plan", "explain", "nothing-known", cwd=folder).returncode


def fault_of_the_program(folder: Path) -> int:
    """A library that is broken is nothing that a person has done wrong."""
    (folder / "yaml.py").write_text("raise RuntimeError('half installed')")
    path = os.pathsep.join([str(folder), *filter(None, sys.path)])
    return iai("plan", "explain", "top_k", variables={"PYTHONPATH": path}, cwd=folder).returncode


def stopped(folder: Path) -> int:
    """Ctrl-C while the command waits for a file that another program is writing."""
    os.mkfifo(folder / "chat.jsonl")
    with subprocess.Popen(
        [*IAI, "memory", "import", "chat.jsonl", "--store", "new.db"], cwd=folder, env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        writing = None
        while writing is None and process.poll() is None:
            with suppress(OSError):  # nobody reads yet
                writing = os.open(folder / "chat.jsonl", os.O_WRONLY | os.O_NONBLOCK)
        process.send_signal(signal.SIGINT)
        process.communicate()
    if writing is not None:
        os.close(writing)
    return process.returncode


def reader_gone(folder: Path) -> int:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [*IAI, "plan", "document"], env=environment(), stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert ended.stderr == ""
    return ended.returncode


PROVOKED: dict[int, Callable[[Path], int]] = {
    0: done,
    FOUND: found_something,
    BAD_INPUT: wrong_input,
    INTERNAL_ERROR: fault_of_the_program,
    INTERRUPTED: stopped,
    READER_GONE: reader_gone,
}


@pytest.mark.parametrize("code", PROVOKED)
def test_the_exit_code_is_the_one_on_the_page(code: int, tmp_path: Path) -> None:
    assert f"| `{code}` |" in (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    assert PROVOKED[code](tmp_path) == code


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_closed_or_full_stream_changes_no_exit_code(stream: str, tmp_path: Path) -> None:
    redirected = {"stdout": ">&-", "stderr": "2>&-"}[stream]
    command = ["sh", "-c", f'"$0" "$@" {redirected}', *IAI, "plan", "explain"]
    for name, code in (("top_k", 0), ("nothing-known", BAD_INPUT)):
        ended = subprocess.run([*command, name], env=environment(), capture_output=True, text=True, check=False)
        assert ended.returncode == code, ended.stderr
    with open("/dev/full", "w") as full:
        refused = [*IAI, "plan", "explain", "nothing-known"]
        assert subprocess.run(refused, env=environment(), stderr=full, check=False).returncode == BAD_INPUT


def test_iai_debug_shows_the_traceback_before_the_message(tmp_path: Path) -> None:
    assert "Traceback" not in iai("plan", "explain", "nothing-known").stderr
    told = iai("plan", "explain", "nothing-known", variables={"IAI_DEBUG": "1"})
    assert told.returncode == BAD_INPUT
    assert 0 <= told.stderr.index("Traceback") < told.stderr.index("iai: ")


@pytest.mark.parametrize(
    ("variable", "place"),
    [("IAI_HOME", "calibration.yaml"), ("XDG_CONFIG_HOME", "interconnected_ai/calibration.yaml")],
)
def test_plans_find_this_machines_calibration_in_the_folder(variable: str, place: str, tmp_path: Path) -> None:
    file = tmp_path / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("damaged: yes")
    assert str(file) in iai("plan", "system", variables={variable: str(tmp_path)}).stderr
    ours = {"IAI_HOME": str(tmp_path / "empty"), variable: str(tmp_path)}
    assert iai("plan", "system", variables=ours).returncode == (BAD_INPUT if variable == "IAI_HOME" else 0)


# Verb → what it is given besides the store.
MEMORY_CALLS = {
    "import": ["chat.jsonl"],
    "watch": [".", "--once"],
    "context": ["where"],
    "search": ["where"],
    "serve": ["--mcp", "--tools"],
    "why": ["where", "--message", "m1"],
    "stats": [],
    "facts": [],
    "fact set": ["city", "Riga"],
    "fact correct": ["1", "Paris"],
    "fact retract": ["1"],
    "export": ["out.jsonl"],
    "rebuild": [],
    "pin": ["Answer briefly."],
    "zone": ["Europe/Riga"],
    "show": [],
    "users": [],
    "check": [],
    "backup": ["copy.db"],
    "rekey": ["--plain"],
    "restore": ["copy.db", "--overwrite"],
    "forget": ["m2", "--yes"],
}


def test_every_memory_verb_takes_the_store_from_iai_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("Stemmer", reason='needs the extra "memory"')
    assert set(MEMORY_CALLS) == {verb.removeprefix("memory ") for verb in COMMANDS if verb.startswith("memory ")}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IAI_MEMORY", str(tmp_path / "elsewhere.db"))
    rows = [{"role": "user", "content": "I live in Riga", "id": f"m{number}"} for number in (1, 2)]
    (tmp_path / "chat.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "memory.db").mkdir()  # no memory: whoever takes this one fails
    for verb, words in MEMORY_CALLS.items():
        assert run_main("memory", *verb.split(), *words) == 0, verb
    assert (tmp_path / "elsewhere.db").is_file()


def cached_expert(home: Path) -> None:
    """A tiny expert as the hub's client keeps it: `someone/tiny` in the folder HF_HOME."""
    words = Tokenizer.train(["the sun is warm"], 300)
    model = ExpertModel(words.vocab_size, 16, 1, 2, max_seq_len=64, generator=torch.Generator().manual_seed(0))
    kept = home / "hub" / "models--someone--tiny"
    Expert(model, words).save_pretrained(kept / "snapshots" / "abc123")
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("abc123")


def test_a_hub_id_is_found_in_hf_home_without_a_network(tmp_path: Path) -> None:
    cached_expert(tmp_path)
    arguments = ("generate", "someone/tiny", "the sun", "--max-new-tokens", "2")
    assert iai(*arguments, variables={"HF_HOME": str(tmp_path)}, cwd=tmp_path).returncode == 0
    assert iai(*arguments, variables={"HF_HOME": str(tmp_path / "empty")}, cwd=tmp_path).returncode == BAD_INPUT


@pytest.fixture
def hub() -> Iterator[tuple[str, list[str]]]:
    """A hub that holds nothing: its address, and the paths that it was asked for."""
    asked: list[str] = []

    class Nothing(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Nothing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()


def test_hf_hub_offline_asks_no_hub(hub: tuple[str, list[str]], tmp_path: Path) -> None:
    address, asked = hub
    variables = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path)}
    for offline in ("1", "0"):
        ended = iai(
            "generate", "someone/gone", "the sun", variables={**variables, "HF_HUB_OFFLINE": offline}, cwd=tmp_path
        )
        assert ended.returncode == BAD_INPUT
        assert bool(asked) == (offline == "0")


@pytest.mark.parametrize("threads", ["1", "2"])
def test_omp_num_threads_is_what_we_compute_with(threads: str) -> None:
    code = "import interconnected_ai.branches, interconnected_ai.experts, torch; print(torch.get_num_threads())"
    variables = environment(OMP_NUM_THREADS=threads)
    assert subprocess.check_output([sys.executable, "-c", code], env=variables, text=True).strip() == threads


# Forty shapes, each met twice: a program that is not kept is made again. The second line says what stood in the environment.
SHAPES = """
import os, sys
import torch
from interconnected_ai.cli import iai, main

@iai.command("shapes")
def shapes():
    with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON_CREATION):
        for rows in (*range(2, 42), *range(2, 42)):
            torch.nn.functional.gelu(torch.ones(rows, 16))
    print("capacity", os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"])

iai._verbs["shapes"] = "Forty shapes."
iai.get_command = lambda context, name: shapes
main(["shapes"])
"""


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="PyTorch has no oneDNN here")
@pytest.mark.parametrize(
    ("given", "capacity", "misses"), [({}, 128, 40), ({"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "8"}, 8, 80)]
)
def test_onednn_keeps_as_many_programs_as_the_variable_says(given: dict[str, str], capacity: int, misses: int) -> None:
    told = subprocess.check_output([sys.executable, "-c", SHAPES], env=environment(**given), text=True)
    assert f"capacity {capacity}" in told
    assert told.count("create:cache_miss") == misses


# libgomp says on stderr by what it goes, when a library that needs it is loaded.
WAITING = """
from interconnected_ai.cli import iai, main

def waiting():
    import torch

import click
iai._verbs["waiting"] = "Loads PyTorch."
iai.get_command = lambda context, name: click.Command("waiting", callback=waiting)
main(["waiting"])
"""


@pytest.mark.skipif("openmp" not in torch.__config__.parallel_info().lower(), reason="PyTorch has no OpenMP here")
@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "77"}, "77"), ({"OMP_WAIT_POLICY": "PASSIVE"}, "0")],
)
def test_threads_that_wait_for_each_other_soon_sleep(given: dict[str, str], spins: str) -> None:
    variables = environment(OMP_DISPLAY_ENV="verbose", **given)
    told = subprocess.run([sys.executable, "-c", WAITING], env=variables, capture_output=True, text=True, check=True)
    assert f"GOMP_SPINCOUNT = '{spins}'" in told.stderr


@pytest.mark.gpu
def test_an_empty_cuda_visible_devices_hides_every_gpu() -> None:
    code = "import interconnected_ai.nn, torch; print(torch.cuda.is_available())"
    variables = environment(CUDA_VISIBLE_DEVICES="")
    assert subprocess.check_output([sys.executable, "-c", code], env=variables, text=True).strip() == "False"


def in_a_terminal(*arguments: str, **variables: str) -> str:
    """What `iai ARGUMENTS` shows in a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*IAI, *arguments],
        env=environment(**{"TERM": "xterm-256color", **variables}),
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    ):
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # how Linux says that the terminal's other side is closed
            os.close(ours)
    return shown.decode("utf-8").replace("\r\n", "\n")


def test_a_dumb_terminal_gets_no_escapes() -> None:
    assert "\x1b[" in in_a_terminal("plan", "document")
    assert "\x1b" not in in_a_terminal("plan", "document", TERM="dumb")


@pytest.mark.parametrize("columns", [40, 60, 100])
def test_tables_are_as_wide_as_columns_says(columns: int) -> None:
    shown = re.sub("\x1b.*?m", "", in_a_terminal("plan", "document", COLUMNS=str(columns)))
    table = [line for line in shown.splitlines() if line[:1] in "┏┃┡│└"]
    assert table
    assert max(map(len, table)) <= columns
