"""Two names swapped in one step, where the system can."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from interconnected_ai.storage import exchange as names
from interconnected_ai.storage.exchange import exchange


@pytest.fixture(autouse=True)
def system_asked_anew() -> Iterator[None]:
    names._system_call.cache_clear()
    yield
    names._system_call.cache_clear()


def two_folders(place: Path) -> tuple[Path, Path]:
    for name in ("first", "second"):
        (place / name).mkdir()
        (place / name / "name.txt").write_text(name)
    return place / "first", place / "second"


@pytest.mark.skipif(sys.platform != "linux", reason="needs renameat2")
def test_two_full_folders_are_exchanged(tmp_path: Path) -> None:
    first, second = two_folders(tmp_path)
    inodes = first.stat().st_ino, second.stat().st_ino
    assert exchange(first, second)
    assert ((first / "name.txt").read_text(), (second / "name.txt").read_text()) == ("second", "first")
    assert (second.stat().st_ino, first.stat().st_ino) == inodes


@pytest.mark.parametrize("missing", ["first", "second"])
def test_what_cannot_be_exchanged_stays_as_it_is(tmp_path: Path, missing: str) -> None:
    first, second = two_folders(tmp_path)
    (tmp_path / missing / "name.txt").unlink()
    (tmp_path / missing).rmdir()
    assert not exchange(first, second)
    assert [path.name for path in tmp_path.iterdir()] == [{"first": "second", "second": "first"}[missing]]


def test_a_system_without_such_a_call_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = two_folders(tmp_path)
    monkeypatch.setattr(sys, "platform", "win32")
    assert not exchange(first, second)
    assert (first / "name.txt").read_text() == "first"


def test_a_c_library_without_such_a_call_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = two_folders(tmp_path)
    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: object())
    assert not exchange(first, second)
    assert (first / "name.txt").read_text() == "first"


def test_on_macos_the_call_gets_the_two_names_and_the_flag_that_swaps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Library:
        """What libSystem offers; it notes how it is called."""

        calls: list[tuple[object, ...]] = []  # noqa: RUF012

        class renamex_np:
            argtypes: list[object] = []  # noqa: RUF012

            def __new__(cls, *arguments: object) -> int:  # type: ignore[misc]
                Library.calls.append(arguments)
                return 0

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: Library)
    assert exchange(tmp_path / "a", tmp_path / "b")
    assert Library.calls == [(str(tmp_path / "a").encode(), str(tmp_path / "b").encode(), 2)]
