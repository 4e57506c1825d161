"""An output that is an input is refused whatever it is called, and what stands there goes only when that is asked for."""

from pathlib import Path

import pytest

from interconnected_ai.errors import ConfigError, StorageError
from interconnected_ai.storage import atomic_folder, refuse_same, refuse_standing


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "папка с пробелом" / "deep").mkdir(parents=True)
    (tmp_path / "папка с пробелом" / "rows.csv").write_text("text,label\n", encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "папка с пробелом")
    (tmp_path / "other").mkdir()
    (tmp_path / "hard.csv").hardlink_to(tmp_path / "папка с пробелом" / "rows.csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("output", "source", "how"),
    [
        ("папка с пробелом", "папка с пробелом", "is the same as"),
        ("link", "папка с пробелом", "is the same as"),
        ("папка с пробелом", "link", "is the same as"),
        ("other/../link/.", "папка с пробелом", "is the same as"),
        ("absent/../link", "папка с пробелом", "is the same as"),
        ("absent/../link/rows.csv", "link/rows.csv", "is the same as"),
        ("hard.csv", "link/rows.csv", "is the same as"),
        ("link/new", "папка с пробелом", "lies in"),
        ("папка с пробелом/deep/../new/newer", "link", "lies in"),
        ("link/deep", "папка с пробелом", "lies in"),
        ("папка с пробелом", "link/rows.csv", "contains"),
        ("link", "папка с пробелом/deep", "contains"),
        (".", "other", "contains"),
    ],
)
def test_an_output_that_is_in_or_holds_an_input_is_refused(world: Path, output: str, source: str, how: str) -> None:
    with pytest.raises(ConfigError) as refused:
        refuse_same(output, "other/nothing", source, name="--out")
    assert f"--out {output} {how} {source}, which is read" in str(refused.value)
    assert "name another place" in str(refused.value)


@pytest.mark.parametrize(
    ("output", "source"),
    [
        ("new", "папка с пробелом"),
        ("папка с пробелом-small", "папка с пробелом"),
        ("link-small", "link"),
        ("other", "link"),
        ("new.csv", "link/rows.csv"),
        ("link/new.csv", "link/rows.csv"),
        ("owner/name", "owner/name"),  # of a hub: nothing stands there
        ("link/page.html", "link"),
    ],
)
def test_an_output_apart_from_the_inputs_is_let_be(world: Path, output: str, source: str) -> None:
    refuse_same(output, source, may_lie_inside=(".html",))


def test_a_file_that_is_read_is_no_page_that_may_lie_inside(world: Path) -> None:
    Path("link/page.html").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="is the same as"):
        refuse_same("link/page.html", "link", "папка с пробелом/page.html", may_lie_inside=(".html",))
    with pytest.raises(ConfigError, match="lies in"):
        refuse_same("link/rows.csv", "link", may_lie_inside=(".html",))


def test_what_stands_there_is_replaced_only_when_asked(world: Path) -> None:
    refuse_standing("nothing", overwrite=False)
    refuse_standing("other", overwrite=False)  # empty
    with atomic_folder("ours", kind="thing") as scratch:
        (scratch / "a").touch()
    for place in ("ours", "hard.csv"):
        refuse_standing(place, overwrite=True)
        with pytest.raises(StorageError, match=f"--out {place} exists; --overwrite"):
            refuse_standing(place, overwrite=False, name="--out")
    for overwrite in (False, True):
        with pytest.raises(StorageError, match="not written by this package"):
            refuse_standing("link", overwrite=overwrite)


def test_a_folder_of_another_kind_is_never_replaced(world: Path) -> None:
    with atomic_folder("ours", kind="expert") as scratch:
        (scratch / "weights").write_text("expert", encoding="utf-8")
    with pytest.raises(StorageError, match="holds a 'expert', and a 'system' was to be written"):  # noqa: SIM117
        with atomic_folder("ours", kind="system") as scratch:
            (scratch / "weights").write_text("system", encoding="utf-8")
    assert Path("ours/weights").read_text(encoding="utf-8") == "expert"
    with atomic_folder("ours", kind="expert") as scratch:
        (scratch / "weights").write_text("newer", encoding="utf-8")
    assert Path("ours/weights").read_text(encoding="utf-8") == "newer"
