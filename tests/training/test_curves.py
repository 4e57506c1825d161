"""metrics.jsonl as curves: what a run writes, what it is about to write, and everything else that may stand there."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.errors import IntegrityError
from interconnected_ai.training import Curve, read_curves

GOOD = '{"step": 0, "a": 1.0}'


def test_a_torn_line_is_left_out_and_of_a_step_logged_twice_the_later_one_counts(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert read_curves(path) == {}
    path.write_text(
        '{"step": 10, "a": 2.0}\n{"step": 0, "a": 1.0}\n{"step": 10, "a": 3.0, "b": 1}\n{"step": 20, "a": 9'
    )
    assert read_curves(path) == {"a": Curve((0, 10), (1.0, 3.0)), "b": Curve((10,), (1.0,))}


@pytest.mark.parametrize(
    "line",
    [
        "{nonsense", "[1, 2]", "7", "null", '"step"', '{"loss/task": 1.0}', '{"step": null, "a": 1}', '{"step": "5"}',
        '{"step": 1.5, "a": 1}', '{"step": true, "a": 1}', '{"step": -1, "a": 1}', '{"step": NaN}', '{"step": 5, "a": "x"}',
        '{"step": 5, "a": null}', '{"step": 5, "a": [1]}', '{"step": 5, "a": true}', "[" * 100_000,
        '{"step": 5, "a": ' + "9" * 400 + "}", '{"step": 5, "a": ' + "9" * 5000 + "}", '{"step": 5, "a": 1.0} {}',
    ],
)  # fmt: skip
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{GOOD}\n{line}\n{{"step": 10, "a": 1.0}}\n')
    with pytest.raises(
        IntegrityError, match=r"metrics\.jsonl, line 2 is not an object of figures with a step"
    ) as caught:
        read_curves(path)
    assert len(str(caught.value)) < 400  # however long the line is


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00\x01\n", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), GOOD.encode("utf-16")]
)
def test_bytes_that_are_no_text_are_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(content)
    with pytest.raises(IntegrityError, match=r"metrics\.jsonl is not UTF-8"):
        read_curves(tmp_path / "metrics.jsonl")


def test_a_folder_in_the_logs_place_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(IntegrityError, match=r"metrics\.jsonl cannot be read"):
        read_curves(tmp_path / "metrics.jsonl")


def test_blank_lines_say_nothing_and_count_as_lines(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f"\n{GOOD}\n  \n")
    assert read_curves(path) == {"a": Curve((0,), (1.0,))}
    path.write_text(f"\n{GOOD}\n\nbad\n")
    with pytest.raises(IntegrityError, match="line 4"):
        read_curves(path)


def test_what_is_no_number_stays_in_the_curve_and_out_of_its_finite_part(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 0, "a": NaN}\n{"step": 1, "a": 2}\n{"step": 2, "a": -Infinity}\n{"step": 3, "a": 4}\n')
    curve = read_curves(path)["a"]
    assert curve.steps == (0, 1, 2, 3)
    assert math.isnan(curve.values[0])
    assert curve.finite == Curve((1, 3), (2.0, 4.0))
    assert curve.finite.mean == curve.finite.median == 3.0
    assert curve.finite.since(2) == Curve((3,), (4.0,))
    assert (curve.span, curve.since(3).span) == ("steps 0–3", "step 3")


LINES = st.lists(
    st.tuples(st.integers(0, 50), st.dictionaries(st.sampled_from("abc"), st.floats(allow_nan=False), max_size=3))
)


@given(lines=LINES, cut=st.integers(0, 400))
def test_a_log_that_is_cut_anywhere_reads_as_its_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[int, dict[str, float]]], cut: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "metrics.jsonl"
    written = ["{}\n".format(json.dumps({"step": step, **figures})) for step, figures in lines]
    path.write_text("".join(written)[:cut])
    found, last = read_curves(path), dict[str, dict[int, float]]()
    length = 0
    for (step, figures), text in zip(lines, written, strict=True):
        length += len(text)
        if length > cut:
            break
        for name, value in figures.items():
            last.setdefault(name, {})[step] = value
    assert {name: dict(zip(curve.steps, curve.values, strict=True)) for name, curve in found.items()} == last
    assert all(curve.steps == tuple(sorted(curve.steps)) for curve in found.values())
