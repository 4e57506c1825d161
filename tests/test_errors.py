"""Errors: one tree, messages that help, names nearest first; and optional packages that are missing."""

import inspect
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai import errors
from interconnected_ai.errors import (
    InterconnectedAIError,
    MissingExtraError,
    NonFiniteLossError,
    StorageError,
    UnknownNameError,
    nearest_first,
)
from interconnected_ai.extras import require
from properties import examples

ALL = [
    e
    for _, e in inspect.getmembers(errors, inspect.isclass)
    if e.__module__ == errors.__name__ and e is not errors.Blame
]


@pytest.mark.parametrize("error", ALL)
def test_every_error_is_in_the_tree_that_the_file_draws(error: type[Exception]) -> None:
    assert issubclass(error, InterconnectedAIError)
    assert errors.__doc__ is not None
    assert error.__name__ in errors.__doc__
    assert error.__doc__


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.ConfigError, ValueError),
        (errors.DataError, ValueError),
        (errors.UnknownNameError, LookupError),
        (errors.NonFiniteLossError, ArithmeticError),
        (errors.MissingExtraError, ImportError),
    ],
)
def test_who_catches_the_builtin_error_catches_ours(error: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(error, builtin)


def test_everything_about_folders_is_a_storage_error() -> None:
    for name in ("NotAModelError", "IntegrityError", "FormatVersionError", "UnsafeFileError"):
        assert issubclass(getattr(errors, name), StorageError)


def test_an_unknown_name_lists_the_known_ones_nearest_first() -> None:
    error = UnknownNameError("branch", "bnak", ["weather", "bank", "Banking"])
    assert (error.kind, error.name) == ("branch", "bnak")
    assert error.known == ("bank", "Banking", "weather")
    assert str(error) == "unknown branch 'bnak'; known, nearest first: 'bank', 'Banking', 'weather'"


def test_a_long_list_of_known_names_is_cut_and_counted() -> None:
    message = str(UnknownNameError("label", "x", range(30)))
    assert message.endswith("… and 20 more")


def test_when_nothing_is_known_the_message_says_so() -> None:
    assert "(there are none)" in str(UnknownNameError("branch", "a", []))


@examples(30)
@given(st.lists(st.text(max_size=8), unique=True, max_size=8), st.data())
def test_nearest_first_keeps_every_name_and_puts_an_exact_one_in_front(known: list[str], data: st.DataObject) -> None:
    for name in [data.draw(st.text(max_size=8)), *known[:1]]:
        ordered = nearest_first(name, known)
        assert sorted(ordered) == sorted(known)
        if name in known:
            assert ordered[0].casefold() == name.casefold()


def test_a_non_finite_loss_knows_its_step() -> None:
    assert NonFiniteLossError("the loss is nan", step=7).step == 7


def test_a_missing_package_is_one_line_with_the_pip_command() -> None:
    with pytest.raises(MissingExtraError) as caught:
        require("no_such_package_anywhere.inside", "bench", "comparing with others")
    message = str(caught.value)
    assert "comparing with others needs the package 'no_such_package_anywhere'" in message
    assert 'pip install "interconnected-ai[bench]"' in message
    assert "\n" not in message


def test_a_package_that_is_there_is_returned() -> None:
    assert require("json.decoder", "bench", "reading").JSONDecoder is not None


def test_a_package_that_lacks_something_of_its_own_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_inside.py").write_text("import no_such_package_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError) as caught:
        require("broken_inside", "bench", "comparing")
    assert not isinstance(caught.value, MissingExtraError)
