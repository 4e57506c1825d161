"""The texts of the quickstart: real, distinct, labelled without doubt, and the same for everybody."""

import os
import re
import subprocess
import sys
from collections import Counter

import pytest

from interconnected_ai.data import LIBRARIES, DocstringRow, docstring_rows
from interconnected_ai.data.harvest import docstrings
from interconnected_ai.errors import MissingExtraError, UnknownNameError

AT_LEAST = {"stdlib": (1000, 30), "numpy": (600, 8), "torch": (900, 14), "sklearn": (400, 11)}
HASH_OF_ROWS = """
import hashlib, sys
from interconnected_ai.data import docstring_rows
print(hashlib.sha256(repr(docstring_rows(sys.argv[1])).encode()).hexdigest())
"""
FORBIDDEN_IMPORTS = """
import sys
from interconnected_ai.data import docstring_rows
docstring_rows(sys.argv[1])
found = {"antigravity", "this", "tkinter", "idlelib", "turtle", "test", "pytest"} & set(sys.modules)
sys.exit(f"imported {found}" if found else 0)
"""


def run_alone(program: str, library: str, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-W", "error", "-c", program, library]
    return subprocess.run(command, env=environment, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module", params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    if request.param == "sklearn":
        pytest.importorskip("sklearn")
    return str(request.param)


@pytest.fixture(scope="module")
def rows(library: str) -> list[DocstringRow]:
    return docstring_rows(library)


def test_every_library_gives_enough_rows_and_classes_to_learn_from(library: str, rows: list[DocstringRow]) -> None:
    least_rows, least_classes = AT_LEAST[library]
    assert len(rows) >= least_rows
    assert len({row.label for row in rows}) >= least_classes


def test_every_class_has_at_least_twelve_distinct_texts(rows: list[DocstringRow]) -> None:
    distinct = Counter(label for label, _ in {(row.label, row.text) for row in rows})
    assert min(distinct.values()) >= 12


def test_no_text_stands_twice_within_a_class_or_across_classes(rows: list[DocstringRow]) -> None:
    assert len({row.text for row in rows}) == len(rows)


def test_a_second_call_gives_the_same_rows_in_sorted_order(library: str, rows: list[DocstringRow]) -> None:
    assert docstring_rows(library) == rows
    assert rows == sorted(rows, key=lambda row: (row.label, row.source, row.text))


@pytest.mark.parametrize("name", ["numpy", pytest.param("stdlib", marks=pytest.mark.slow)])
def test_another_process_with_another_hash_seed_gives_the_same_rows(name: str) -> None:
    one, other = run_alone(HASH_OF_ROWS, name, "1"), run_alone(HASH_OF_ROWS, name, "2")
    assert one.returncode == 0, one.stderr
    assert one.stdout == other.stdout


def test_every_text_is_a_line_of_prose_of_bounded_length(rows: list[DocstringRow]) -> None:
    for row in rows:
        assert row.text == " ".join(row.text.split())
        assert len(row.text.split()) >= 6
        assert len(row.text) <= 300


def test_no_text_opens_with_a_signature_and_its_result(rows: list[DocstringRow]) -> None:
    assert not [row.source for row in rows if re.match(r"[\w.]+\([^()]*\) ?->", row.text)]


def test_labels_and_sources_are_public_names_of_the_library(library: str, rows: list[DocstringRow]) -> None:
    for row in rows:
        assert not any(part.startswith("_") for part in row.label.split("."))
        assert not row.source.rpartition(".")[2].startswith("_")
        assert row.label in sys.stdlib_module_names if library == "stdlib" else row.label.split(".")[0] == library


def test_a_smaller_least_class_size_keeps_every_row_and_adds_some(rows: list[DocstringRow], library: str) -> None:
    assert set(rows) < set(docstring_rows(library, min_rows_per_class=1))


def test_nothing_is_printed_and_no_window_or_test_package_is_imported(library: str) -> None:
    done = run_alone(FORBIDDEN_IMPORTS, library)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_unknown_library_is_refused_with_the_known_ones_nearest_first() -> None:
    with pytest.raises(UnknownNameError, match="unknown library 'nunpy'; known, nearest first: 'numpy'"):
        docstring_rows("nunpy")


@pytest.mark.usefixtures("no_optional_packages")
def test_a_library_that_is_not_installed_is_named_with_the_command_that_brings_it() -> None:
    with pytest.raises(MissingExtraError, match=r'"interconnected-ai\[bench\]"'):
        docstring_rows("sklearn")


@pytest.mark.parametrize(
    ("docstring", "prose"),
    [
        ("pile(x, *, out=None) -> Tensor\n\nPuts one on another.", "Puts one on another."),
        ("pile(x,\n     y=(1, 2))\n\nPuts one\non another.", "Puts one on another."),
        ("pile(a) -> int\npile(a, b) -> int\n\nPuts one on another.", "Puts one on another."),
        ("pile(a) -> int -- Puts one on another.", "Puts one on another."),
        ("pile(a, b) is one on another.", "pile(a, b) is one on another."),
        ("Puts one on another.\n\nParameters\n----------\nx : int", "Puts one on another."),
        ("Puts one on another.\n\nArgs:\n    x: the one", "Puts one on another."),
        ("Puts one on another.\n\n>>> pile(1)\n2", "Puts one on another."),
        ("Puts one on another.\n\n.. math:: x + y", "Puts one on another."),
        ("pile(x, y=None)", ""),
        ("word " * 100, ("word " * 60).strip()),
    ],
)
def test_a_docstring_becomes_the_prose_before_its_first_section(docstring: str, prose: str) -> None:
    assert docstrings._prose(docstring) == prose
