"""The page on errors draws the tree of `errors.py`, says of every class what to do, and names every exit code."""

import inspect
import re
from pathlib import Path

import pytest

from interconnected_ai import errors
from interconnected_ai.cli import failures

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
ALL = [
    e
    for _, e in inspect.getmembers(errors, inspect.isclass)
    if e.__module__ == errors.__name__ and issubclass(e, BaseException)
]


def drawn(text: str) -> list[tuple[str, str]]:
    """The branches of a tree of errors in their order: what stands before the name, and the name."""
    return re.findall(r"^([│ ]*[├└]── )(\w+)", text, flags=re.MULTILINE)


def test_the_page_draws_the_tree_of_the_sources() -> None:
    assert errors.__doc__ is not None
    assert {name for _, name in drawn(errors.__doc__)} == {error.__name__ for error in ALL} - {"InterconnectedAIError"}
    assert drawn(PAGE) == drawn(errors.__doc__)


@pytest.mark.parametrize(
    "error", [e for e in ALL if e is not errors.InterconnectedAIError], ids=lambda error: error.__name__
)
def test_the_page_says_what_to_do_about_every_error(error: type[Exception]) -> None:
    below = re.split(rf"^(?:## {error.__name__}$|\*\*{error.__name__}\*\*:)", PAGE, flags=re.MULTILINE)
    assert len(below) == 2, "a heading, or a paragraph that begins with the name in bold"
    said = re.split(r"^(?:## |\*\*)", below[1], flags=re.MULTILINE)[0]
    assert len(said.split()) > 8


def test_the_page_names_every_exit_code() -> None:
    codes = {0, failures.FOUND, failures.BAD_INPUT, failures.INTERNAL_ERROR, failures.INTERRUPTED}
    opening = PAGE.split("\n## ")[0]
    assert {str(code) for code in codes} <= set(re.findall(r"`(\d+)`", opening)) | set(
        re.findall(r"code (\d+)", opening)
    )
