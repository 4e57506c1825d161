"""Folders that are whole or absent: replacing, damage, crashes, a full disk, and pickles."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.errors import (
    FormatVersionError,
    IntegrityError,
    NotAModelError,
    StorageError,
    UnsafeFileError,
)
from interconnected_ai.storage import (
    MANIFEST,
    atomic_file,
    atomic_folder,
    check_folder,
    folders,
    is_complete,
    load_tensors,
    manifests,
    read_folder,
    read_json,
    recover,
    save_tensors,
    version_of,
    write_json,
)
from properties import examples

KIND = "test-model"


class PlugPulledError(RuntimeError):
    """Something that goes wrong while a folder is written."""


def write_folder(target: Path, word: str = "old") -> Path:
    with atomic_folder(target, kind=KIND) as scratch:
        write_json(scratch / "config.json", {"word": word})
        (scratch / "inside").mkdir()
        (scratch / "inside" / "rows.txt").write_text(f"{word} rows\n", encoding="utf-8")
        save_tensors(scratch / "weights.safetensors", {"w": torch.arange(6.0)})
    return target


def half_write(path: Path, error: type[BaseException] = PlugPulledError) -> None:
    path.write_text("ne", encoding="utf-8")
    raise error("pulled")


def word_in(folder: Path) -> str:
    """What a reader finds, after checking the folder."""
    check_folder(folder, kind=KIND)
    word = read_json(folder / "config.json")["word"]
    assert (folder / "inside" / "rows.txt").read_text(encoding="utf-8") == f"{word} rows\n"
    return str(word)


def run_alone(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        check=False,
        capture_output=True,
        text=True,
    )


def test_a_finished_block_puts_the_folder_in_its_place_and_nothing_else(tmp_path: Path) -> None:
    target = write_folder(tmp_path / "deep" / "model", "new")
    assert word_in(target) == "new"
    assert list(target.parent.iterdir()) == [target]
    assert set(read_json(target / MANIFEST)["files"]) == {"config.json", "inside/rows.txt", "weights.safetensors"}


def test_a_folder_of_ours_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = write_folder(tmp_path / "model")
    with atomic_folder(target, kind=KIND) as scratch:
        (scratch / "other.txt").write_text("new")
        assert word_in(target) == "old"  # readers see the old folder until the end
    assert {path.name for path in target.iterdir()} == {"other.txt", MANIFEST}
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [PlugPulledError, KeyboardInterrupt, OSError])
def test_an_error_inside_the_block_leaves_the_old_folder_and_no_trace(
    tmp_path: Path, error: type[BaseException]
) -> None:
    target = write_folder(tmp_path / "model")
    expected = StorageError if error is OSError else error
    with pytest.raises(expected), atomic_folder(target, kind=KIND) as scratch:
        half_write(scratch / "config.json", error)
    assert word_in(target) == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_inside_the_first_block_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(PlugPulledError), atomic_folder(tmp_path / "model", kind=KIND) as scratch:
        half_write(scratch / "a")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    assert word_in(write_folder(tmp_path / "model", "new")) == "new"


def test_a_folder_that_is_not_ours_is_never_replaced(tmp_path: Path) -> None:
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter.txt").write_text("years of work")
    with pytest.raises(StorageError, match="not written by this package"), atomic_folder(thesis, kind=KIND):
        pytest.fail("the block must not be entered")
    assert (thesis / "chapter.txt").read_text() == "years of work"
    assert list(tmp_path.iterdir()) == [thesis]


def test_a_file_is_never_replaced_by_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "model"
    file.write_text("a file")
    with pytest.raises(StorageError, match="is a file"), atomic_folder(file, kind=KIND):
        pytest.fail("the block must not be entered")
    with pytest.raises(StorageError, match="could not write"), atomic_folder(file / "inside", kind=KIND):
        pytest.fail("the block must not be entered")
    assert file.read_text() == "a file"


@pytest.mark.skipif(os.name == "nt", reason="permission bits are POSIX")
@pytest.mark.skipif(os.name == "nt", reason="needs a umask")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o755), (0o077, 0o700), (0o027, 0o750)])
def test_others_may_read_the_folder_as_far_as_the_umask_lets_them(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        written = [write_folder(tmp_path / "model") for _ in range(2)]  # a new one, and one in the place of another
    finally:
        os.umask(before)
    assert [folder.stat().st_mode & 0o777 for folder in written] == [mode, mode]


def _shorten(folder: Path) -> None:
    file = folder / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def _alter_a_byte(folder: Path) -> None:
    file = folder / "weights.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def _in_manifest(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        write_json(folder / MANIFEST, {**read_json(folder / MANIFEST), **changes})

    return change


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (_shorten, IntegrityError, "bytes, saved were"),
        (_alter_a_byte, IntegrityError, "SHA-256 differs"),
        (lambda folder: (folder / "config.json").unlink(), IntegrityError, "config.json is missing"),
        (lambda folder: shutil.rmtree(folder / "inside"), IntegrityError, "rows.txt is missing"),
        (lambda folder: (folder / MANIFEST).write_text("{"), IntegrityError, "not valid JSON"),
        (lambda folder: (folder / MANIFEST).write_bytes(b"\xff\xfe"), IntegrityError, "not valid JSON"),
        (lambda folder: (folder / MANIFEST).write_text("[]"), IntegrityError, "needed is an object"),
        (_in_manifest(files=None), IntegrityError, "lists no files"),
        (_in_manifest(files={"config.json": {}}), IntegrityError, "damaged"),
        (_in_manifest(files={"config.json": None}), IntegrityError, "damaged"),
        (_in_manifest(format_version=2), FormatVersionError, "format version 2.*upgrade"),
        (_in_manifest(format_version="1"), FormatVersionError, "format version '1'"),
        (_in_manifest(kind="other"), NotAModelError, "holds a 'other', needed is a 'test-model'"),
        (lambda folder: (folder / MANIFEST).unlink(), NotAModelError, "it has no manifest.json"),
        (lambda folder: shutil.rmtree(folder), NotAModelError, "no folder at"),
    ],
)
def test_each_kind_of_damage_raises_its_own_error(
    tmp_path: Path, damage: Callable[[Path], None], error: type[Exception], message: str
) -> None:
    folder = write_folder(tmp_path / "model")
    check_folder(folder, kind=KIND)
    damage(folder)
    with pytest.raises(error, match=message) as caught:
        check_folder(folder, kind=KIND)
    assert type(caught.value) is error
    assert str(folder) in str(caught.value)


@examples(30)
@given(st.data())
def test_no_altered_byte_of_any_file_goes_unnoticed(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = write_folder(Path(place) / "model")
        name = data.draw(st.sampled_from(["config.json", "inside/rows.txt", "weights.safetensors"]))
        content = bytearray((folder / name).read_bytes())
        position = data.draw(st.integers(0, len(content) - 1))
        content[position] ^= data.draw(st.integers(1, 255))
        (folder / name).write_bytes(content)
        with pytest.raises(IntegrityError, match="altered after saving"):
            check_folder(folder, kind=KIND)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pkl", "state.ckpt"])
def test_a_folder_of_pickles_is_refused_as_unsafe(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04.")
    with pytest.raises(UnsafeFileError, match=rf"{name}.*safetensors"):
        check_folder(tmp_path, kind=KIND)
    with pytest.raises(UnsafeFileError, match="pickle"):
        load_tensors(tmp_path / name)


DISK_FULL = """
import resource, sys
from pathlib import Path
import torch
from interconnected_ai.errors import StorageError
from interconnected_ai.storage import atomic_file, atomic_folder, save_tensors

resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
place, how = Path(sys.argv[1]), sys.argv[2]
try:
    if how == "file":
        with atomic_file(place / "rows.txt") as scratch:
            scratch.write_bytes(bytes(40_000))
    else:
        with atomic_folder(place / "model", kind="test-model") as scratch:
            if how == "bytes":
                (scratch / "big").write_bytes(bytes(40_000))
            else:
                save_tensors(scratch / "weights.safetensors", {"w": torch.zeros(10_000)})
except StorageError as error:
    print(error)
    sys.exit(7)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs resource.setrlimit")
@pytest.mark.parametrize("how", ["bytes", "tensors", "file"])
def test_a_full_disk_raises_a_storage_error_and_keeps_the_old_contents(tmp_path: Path, how: str) -> None:
    target = write_folder(tmp_path / "model")
    (tmp_path / "rows.txt").write_text("old")
    done = run_alone(DISK_FULL, tmp_path, how)
    assert done.returncode == 7, done.stderr
    assert "could not write" in done.stdout
    assert word_in(target) == "old"
    assert (tmp_path / "rows.txt").read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"model", "rows.txt"}


POWER_CUT = """
import os, sys
from pathlib import Path
from interconnected_ai.storage import atomic_folder, folders, write_json

target, way, moment = sys.argv[1:]
if way == "two renames":
    folders.exchange = lambda first, second: False
exchange, rename, remove = folders.exchange, os.rename, folders.remove

def cut(*names):
    if moment in names:
        os._exit(9)

def cut_exchange(first, second):
    cut("before the swap")
    done = exchange(first, second)
    cut(*["after the swap"] * done)
    return done

def cut_rename(first, second):
    into_place = str(second) == target
    cut("before the swap" if not into_place else "within the swap")
    rename(first, second)
    cut(*["after the swap"] * into_place)

folders.exchange, os.rename = cut_exchange, cut_rename
with atomic_folder(target, kind="test-model") as scratch:
    write_json(scratch / "config.json", {"word": "new"})
    (scratch / "inside").mkdir()
    (scratch / "inside" / "rows.txt").write_text("new rows\\n")
    cut("while writing")
"""

MOMENTS = [
    ("exchange", "while writing", "old"),
    ("exchange", "before the swap", "old"),
    ("exchange", "after the swap", "new"),
    ("two renames", "before the swap", "old"),
    ("two renames", "within the swap", "old"),
    ("two renames", "after the swap", "new"),
]
BY_EXCHANGE = pytest.mark.skipif(sys.platform != "linux", reason="needs renameat2")


@BY_EXCHANGE
@pytest.mark.parametrize(("way", "moment", "word"), MOMENTS)
@pytest.mark.parametrize("who", ["recover", "a reader", "the next writer"])
def test_after_a_crash_at_any_moment_one_whole_folder_is_found(
    tmp_path: Path, way: str, moment: str, word: str, who: str
) -> None:
    target = write_folder(tmp_path / "model")
    done = run_alone(POWER_CUT, target, way, moment)
    assert done.returncode == 9, done.stderr
    assert len(list(tmp_path.iterdir())) > 1  # the crash left something behind
    if who == "a reader":
        assert read_folder(target, word_in, kind=KIND) == word
    elif who == "the next writer":
        word = word_in(write_folder(target, "newer"))
        assert word == "newer"
    else:
        recover(target)
    assert word_in(target) == word
    if who != "a reader":
        assert list(tmp_path.iterdir()) == [target]


@BY_EXCHANGE
@pytest.mark.parametrize("way", ["exchange", "two renames"])
def test_without_a_crash_the_same_program_replaces_the_folder(tmp_path: Path, way: str) -> None:
    target = write_folder(tmp_path / "model")
    done = run_alone(POWER_CUT, target, way, "never")
    assert done.returncode == 0, done.stderr
    assert word_in(target) == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_recover_does_nothing_where_nothing_happened(tmp_path: Path) -> None:
    target = write_folder(tmp_path / "model")
    other = write_folder(tmp_path / "model-2", "other")
    for _ in range(2):
        recover(target)
    recover(tmp_path / "absent" / "model")
    assert (word_in(target), word_in(other)) == ("old", "other")
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("stands", [True, False])
def test_who_may_not_write_beside_a_folder_reads_it_also_after_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stands: bool
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise StorageError(
            "could not lock: Permission denied"
        )  # what `locked` says of a folder without write permission

    target = write_folder(tmp_path / "model")
    if not stands:
        os.rename(target, tmp_path / ".model.replaced")
    monkeypatch.setattr(folders, "locked", refused)
    assert read_folder(target, word_in, kind=KIND) == "old"
    assert target.exists() == stands


def test_what_another_writer_left_while_this_one_wrote_is_put_right_first(tmp_path: Path) -> None:
    target = write_folder(tmp_path / "model")
    with atomic_folder(target, kind=KIND, replaces=version_of(target)) as scratch:
        write_json(scratch / "config.json", {"word": "new"})
        os.rename(target, tmp_path / ".model.replaced")  # a writer that died between its two renames
    assert read_json(target / "config.json") == {"word": "new"}
    assert list(tmp_path.iterdir()) == [target]


def failing_rename(monkeypatch: pytest.MonkeyPatch, target: Path, *, failures: int) -> None:
    """Names cannot be exchanged, and the first renames into the place of `target` fail."""
    rename, left = os.rename, [failures]

    def fails(first: Path, second: Path) -> None:
        if Path(second) == target and left[0]:
            left[0] -= 1
            raise OSError(5, "Input/output error")
        rename(first, second)

    monkeypatch.setattr(folders, "exchange", lambda first, second: False)
    monkeypatch.setattr(os, "rename", fails)


def test_a_second_rename_that_fails_puts_the_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = write_folder(tmp_path / "model")
    failing_rename(monkeypatch, target, failures=1)
    with pytest.raises(StorageError, match="unchanged"):
        write_folder(target, "new")
    assert target.is_dir()
    assert word_in(target) == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_cannot_be_put_back_is_put_back_by_the_next_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = write_folder(tmp_path / "model")
    failing_rename(monkeypatch, target, failures=3)
    with pytest.raises(StorageError):
        write_folder(target, "new")
    assert not target.exists()
    assert read_folder(target, word_in, kind=KIND) == "old"
    assert word_in(target) == "old"


def test_completeness_is_the_manifest(tmp_path: Path) -> None:
    assert not is_complete(tmp_path)
    assert not is_complete(tmp_path / "absent")
    assert is_complete(write_folder(tmp_path / "model"))


@examples(25)
@given(
    st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(lambda n: n != "__metadata__"),
                    st.lists(st.integers(0, 3), max_size=3), max_size=4),
    st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.bool]),
)  # fmt: skip
def test_tensors_come_back_bit_for_bit(shapes: dict[str, list[int]], dtype: torch.dtype) -> None:
    random = torch.Generator().manual_seed(0)
    tensors = {name: (torch.randn(shape, generator=random) * 3).to(dtype) for name, shape in shapes.items()}
    with tempfile.TemporaryDirectory() as place:
        save_tensors(Path(place) / "a.safetensors", tensors, {"note": "да"})
        back = load_tensors(Path(place) / "a.safetensors")
    assert set(back) == set(tensors)
    for name, tensor in tensors.items():
        assert back[name].dtype == dtype
        assert torch.equal(back[name], tensor)


def test_tensors_that_share_memory_or_are_views_are_written_whole(tmp_path: Path) -> None:
    base = torch.arange(12.0, requires_grad=True)
    tensors = {"all": base, "again": base, "columns": base.view(3, 4).t()}
    save_tensors(tmp_path / "a.safetensors", tensors)
    back = load_tensors(tmp_path / "a.safetensors")
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize("keep", [0, 4, 20, -1])
def test_a_truncated_tensor_file_is_an_integrity_error(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"w": torch.ones(3)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(IntegrityError, match="truncated or not a safetensors file"):
        load_tensors(path)


def test_absent_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotAModelError, match=r"a\.safetensors does not exist"):
        load_tensors(tmp_path / "a.safetensors")
    with pytest.raises(NotAModelError, match=r"a\.json does not exist"):
        read_json(tmp_path / "a.json")


def test_json_is_readable_by_people_and_keeps_every_alphabet(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"имя": "погода", "n": [1, 2]})
    assert "имя" in (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == read_json(tmp_path / "a.json")


def test_an_atomic_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "rows.txt"
    with atomic_file(target) as scratch:
        scratch.write_text("old")
    with pytest.raises(PlugPulledError), atomic_file(target) as scratch:
        half_write(scratch)
    assert target.read_text() == "old"
    with atomic_file(target) as scratch:
        scratch.write_text("new")
    assert target.read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


def test_an_atomic_file_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "a-file").write_text("a file")
    with pytest.raises(StorageError, match="could not write"), atomic_file(tmp_path / "a-file" / "rows.txt") as scratch:
        scratch.write_text("x")
    with pytest.raises(StorageError, match="could not write"), atomic_file(tmp_path) as scratch:
        scratch.write_text("x")


@pytest.mark.skipif(os.name == "nt", reason="needs modes and named pipes")
def test_what_is_no_file_is_never_replaced_by_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StorageError, match="device, pipe or socket"), atomic_file(tmp_path / "pipe"):
        pytest.fail("nothing may be written for it")
    assert (tmp_path / "pipe").is_fifo()
    with pytest.raises(StorageError, match="device"), atomic_file(os.devnull):
        pytest.fail("nothing may be written for it")
    assert Path(os.devnull).is_char_device()


@pytest.mark.skipif(os.name == "nt", reason="needs modes and links")
def test_a_replaced_file_keeps_its_readers_and_a_link_stays_a_link(tmp_path: Path) -> None:
    kept, link = tmp_path / "kept.txt", tmp_path / "link.txt"
    kept.write_text("old")
    kept.chmod(0o600)
    link.symlink_to(kept)
    with atomic_file(link) as scratch:
        scratch.write_text("new")
    assert link.is_symlink()
    assert kept.read_text() == "new"
    assert kept.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.name == "nt", reason="needs modes")
def test_a_replaced_folder_keeps_its_readers(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model")
    folder.chmod(0o700)
    write_folder(tmp_path / "model")
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_name_that_is_too_long_is_said_of_the_target_and_not_of_its_scratch(tmp_path: Path) -> None:
    target = tmp_path / ("x" * 250)
    for write in (atomic_file(target), atomic_folder(target, kind=KIND)):
        with pytest.raises(StorageError, match=r"could not write .*/x{250}: File name too long"), write:
            pytest.fail("the block must not be entered")
    assert list(tmp_path.iterdir()) == []


# Checking again


@pytest.fixture
def no_doubt(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Times are past doubt at once; the names of the files that are read for their checksum."""
    read: list[str] = []
    digest = hashlib.file_digest

    def noted(file: Any, name: str) -> Any:
        read.append(Path(file.name).name)
        return digest(file, name)

    monkeypatch.setattr(manifests, "_SETTLED_NS", -1)
    monkeypatch.setattr(hashlib, "file_digest", noted)
    return read


def test_a_folder_that_was_found_whole_is_not_read_again(tmp_path: Path, no_doubt: list[str]) -> None:
    with atomic_folder(tmp_path / "model", kind=KIND) as scratch:
        (scratch / "a.txt").write_text("one")
    no_doubt.clear()
    for _ in range(3):
        check_folder(tmp_path / "model", kind=KIND)
    assert no_doubt == ["a.txt"]
    (tmp_path / "model" / "a.txt").write_text("two")
    with pytest.raises(IntegrityError, match="altered"):
        check_folder(tmp_path / "model", kind=KIND)
    (tmp_path / "model" / "a.txt").write_text("one")
    check_folder(tmp_path / "model", kind=KIND)
    assert no_doubt == ["a.txt"] * 3


def test_a_file_that_was_written_just_now_is_read_every_time(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "model", kind=KIND) as scratch:
        (scratch / "a.txt").write_text("one")
    check_folder(tmp_path / "model", kind=KIND)
    status = (tmp_path / "model" / "a.txt").stat()
    (tmp_path / "model" / "a.txt").write_text("two")
    os.utime(tmp_path / "model" / "a.txt", ns=(status.st_atime_ns, status.st_mtime_ns))  # the same time of writing
    with pytest.raises(IntegrityError, match="altered"):
        check_folder(tmp_path / "model", kind=KIND)


@pytest.mark.parametrize("place", [0, 70, 99, 100, 255])
def test_a_large_file_is_checked_in_parts_and_no_byte_of_it_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    monkeypatch.setattr(manifests, "_PART_BYTES", 100)
    monkeypatch.setattr(manifests, "_READ_BYTES", 50)
    with atomic_folder(tmp_path / "model", kind=KIND) as scratch:
        (scratch / "large").write_bytes(bytes(range(256)))
    manifest = json.loads((tmp_path / "model" / MANIFEST).read_text())
    said = manifest["files"]["large"]
    assert said["sha256"] == hashlib.sha256(bytes(range(256))).hexdigest()
    assert [hashlib.sha256(bytes(range(256))[i : i + 100]).hexdigest() for i in (0, 100, 200)] == said["sha256_parts"]
    check_folder(tmp_path / "model", kind=KIND)
    altered = bytearray(range(256))
    altered[place] ^= 1
    (tmp_path / "model" / "large").write_bytes(altered)
    with pytest.raises(IntegrityError, match="altered"):
        check_folder(tmp_path / "model", kind=KIND)


@pytest.mark.parametrize("name", [".", "", "../here"])
def test_the_current_folder_is_never_replaced_under_somebodys_feet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(StorageError, match="is the current folder"), atomic_folder(name, kind="system") as scratch:
        (scratch / "a.txt").write_text("a", encoding="utf-8")
    assert Path.cwd() == tmp_path / "here"
    assert list(tmp_path.rglob("*")) == [tmp_path / "here"]
