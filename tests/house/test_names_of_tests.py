"""Test files have names of their own: pytest imports them by name, and two of one name fail only where both are run."""

from collections import Counter
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


def test_no_two_test_files_share_a_name() -> None:
    named = Counter(path.name for path in TESTS.rglob("*.py"))
    assert [name for name, count in named.items() if count > 1] == []
