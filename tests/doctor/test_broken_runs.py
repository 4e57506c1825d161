"""A run's folder with anything in it: the doctor says what is wrong, or judges what there is; it never fails."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doctor_runs import HEALTHY
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.doctor import Diagnosis, diagnose
from interconnected_ai.errors import InterconnectedAIError
from properties import examples

FILES = ("metrics.jsonl", "results.json", "data_report.json", "ended.json", "run.yaml")


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two branches, without its model."""
    folder = tmp_path_factory.mktemp("healthy") / "run"
    case = HEALTHY["two branches"]
    case.run(case.config(folder))
    for heavy in ("model", "features", "checkpoints", "logs"):
        shutil.rmtree(folder / heavy, ignore_errors=True)
    return folder


@pytest.fixture
def run(healthy: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(healthy, tmp_path / "run"))


def looked_at(run: Path) -> Diagnosis | InterconnectedAIError:
    """What the doctor says of it, or why it does not."""
    try:
        return diagnose(run)
    except InterconnectedAIError as error:
        return error


JUNK = [
    b"", b"\n", b"null", b"[]", b"{}", b"7", b'"text"', b"{half", b"\xff\xfe\x00", bytes(range(256)), b"NaN", b"[" * 100_000,
    b'{"step": "x"}\n', b'{"fit": null, "test": 3}', b'{"a": {"num_train": "many"}}', b"a: [1", b"\xd0", b"{}\n" * 3,
    b'{"step": 1, "kind": [], "message": {}}', "смотри: ☃".encode("cp1251", "replace"),
]  # fmt: skip


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("content", JUNK, ids=range(len(JUNK)))
def test_a_file_of_a_run_may_hold_anything(run: Path, file: str, content: bytes) -> None:
    (run / file).write_bytes(content)
    looked_at(run)


@pytest.mark.parametrize("file", FILES)
def test_a_folder_may_stand_in_the_place_of_a_file(run: Path, file: str) -> None:
    (run / file).unlink(missing_ok=True)
    (run / file).mkdir()
    assert isinstance(looked_at(run), InterconnectedAIError)


@pytest.mark.parametrize("missing", FILES[:-1])
def test_a_file_of_a_run_may_be_missing(run: Path, missing: str) -> None:
    (run / missing).unlink(missing_ok=True)
    looked_at(run)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the values of a JSON document stand."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


WRONG = (None, "x", -1, 0, 1e308, float("nan"), [], {})


@pytest.mark.parametrize("file", ["results.json", "data_report.json"])
def test_every_value_of_a_run_may_be_any_other(run: Path, file: str) -> None:
    content = json.loads((run / file).read_text())
    for path in leaves(content):
        for wrong in WRONG:
            (run / file).write_text(json.dumps(replaced(content, path, wrong)))
            looked_at(run)


VALUES = st.sampled_from([0.0, -1.0, 1.0, 1e-300, 1e300, -1e308, float("nan"), float("inf"), 0.5])


@given(data=st.data())
@examples(40)
def test_any_figures_may_be_missing_or_odd(
    healthy: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    run = tmp_path_factory.mktemp("odd") / "run"
    shutil.copytree(healthy, run)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    names = sorted({name for line in lines for name in line} - {"step"})
    gone = data.draw(st.sets(st.sampled_from(names)))
    odd = data.draw(st.dictionaries(st.sampled_from(names), VALUES, max_size=8))
    since = data.draw(st.integers(0, len(lines)))
    kept = lines[: data.draw(st.integers(1, len(lines)))]
    text = ""
    for number, line in enumerate(kept):
        changed = {**line, **(odd if number >= since else {})}
        text += json.dumps({name: value for name, value in changed.items() if name not in gone}) + "\n"
    (run / "metrics.jsonl").write_text(text)
    if data.draw(st.booleans()):
        (run / "results.json").unlink()
    if data.draw(st.booleans()):
        (run / "data_report.json").unlink()
    looked_at(run)
