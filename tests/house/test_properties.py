"""How many examples a property is tried on is the profile's affair, in every test file."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
FILES = sorted(path for path in TESTS.rglob("*.py") if path.name != "properties.py" and path != Path(__file__))


@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_no_test_fixes_its_own_examples(file: Path) -> None:
    found = re.findall(r"\b(?:derandomize|max_examples)\s*=", file.read_text(encoding="utf-8"))
    assert not found, "take `@examples(number)` of properties.py: the profile decides the rest"


PROPERTY = """
from hypothesis import given, strategies as st
from properties import examples

drawn = []

@examples(10)
@given(st.integers())
def property(number):
    drawn.append(number)

property()
print(drawn)
"""


def drawn(profile: str, folder: Path) -> list[int]:
    """The numbers that a property of ten examples sees."""
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "HYPOTHESIS_PROFILE": profile}
    done = subprocess.run(
        [sys.executable, "-c", PROPERTY], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return [int(word) for word in re.findall(r"-?\d+", done.stdout)]


def test_usual_runs_draw_the_same_and_nightly_runs_many_new_examples(tmp_path: Path) -> None:
    usual = drawn("steady", tmp_path)
    assert usual == drawn("steady", tmp_path)
    assert len(usual) == 10
    nightly = drawn("nightly", tmp_path)
    assert len(nightly) == 200
    assert nightly != drawn("nightly", tmp_path)
