"""Reading takes work in proportion to what is read: counted in looks at the data, never in seconds."""

import json
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import make_rows
from interconnected_ai.config import DataConfig
from interconnected_ai.data import BatchPlan, LabelColumn, Rows, load_splits, read_rows, report_on, split_rows
from interconnected_ai.data.corpus import sources
from interconnected_ai.errors import DataError


class Counted:
    """Counts the looks at branches' columns and texts that are taken through `Rows` while it is at work."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.looks = 0
        column, texts = Rows._column, Rows.of

        def counted(rows: Rows, name: str) -> LabelColumn:
            found = column(rows, name)
            self.looks += 1 + len(found.rows)
            return found

        def whole(found: LabelColumn) -> Iterator[str | None]:
            self.looks += len(found)
            return iter(found[:])

        patch.setattr(Rows, "_column", counted)
        patch.setattr(Rows, "of", lambda rows, name: texts(rows, name))
        patch.setattr(LabelColumn, "__iter__", whole)
        patch.setattr(LabelColumn, "__getitem__", lambda *_: pytest.fail("a column was read row by row"))


def written(folder: Path, count: int) -> DataConfig:
    """A config of so many branches with twelve rows each."""
    branches = []
    for number in range(count):
        rows = make_rows(f"b{number}", 12, seed=number, marker=f"m{number}")
        lines = [json.dumps({"text": t, "label": label}) for t, label in zip(*rows.of(f"b{number}"), strict=True)]
        path = folder / f"b{number}.jsonl"
        path.write_text("\n".join(lines))
        branches.append({"name": f"b{number}", "path": str(path)})
    return DataConfig.from_mapping({"branches": branches})


def test_reading_splitting_reporting_and_planning_look_at_a_row_as_often_however_many_branches_there_are(
    tmp_path: Path,
) -> None:
    looks = {}
    for count in (10, 40):
        config = written(tmp_path, count)
        with pytest.MonkeyPatch.context() as patch:
            counted = Counted(patch)
            splits = load_splits(config)
            splits.specs()
            report_on(splits)
            BatchPlan.for_rows(splits.train, 4 * count, 0).epoch(0)
            looks[count] = counted.looks
    assert looks[40] <= 4 * looks[10] * 1.1


def test_an_epoch_is_planned_with_as_many_calls_for_a_branch_however_many_there_are() -> None:
    def num_calls(count: int) -> int:
        plan = BatchPlan(tuple(np.arange(12) + 12 * branch for branch in range(count)), 6 * count, 0)
        calls, watching = 0, sys.getprofile()

        def called(frame: FrameType, event: str, _: object) -> None:
            nonlocal calls
            calls += event == "call"

        sys.setprofile(called)
        try:
            plan.epoch(0)
        finally:
            sys.setprofile(watching)
        return calls

    assert num_calls(160) <= 4 * num_calls(40) * 1.1


def test_texts_of_many_classes_are_split_in_one_pass_over_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is sorted grows faster: each class is looked for once, not in the texts of all classes."""
    compared = 0

    class Label(str):
        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    found = {}
    for classes in (20, 80):
        texts = [f"text {number}" for number in range(4 * classes)]
        rows = Rows.of_branch("a", texts, [Label(f"c{number % classes}") for number in range(4 * classes)])
        compared = 0
        split_rows(rows, [0.25], 0)
        found[classes] = compared
    assert found[80] <= 8 * max(1, found[20])


def dense(rows: Rows) -> tuple[list[str], dict[str, list[str | None]]]:
    return rows.texts, {name: list(column) for name, column in rows.labels.items()}


LABELS = st.sampled_from([None, "x", "y"])
COLUMNS = st.integers(0, 12).flatmap(
    lambda n: st.dictionaries(st.sampled_from("abc"), st.lists(LABELS, min_size=n, max_size=n), min_size=1).map(
        lambda labels: (n, labels)
    )
)


@given(st.lists(COLUMNS, min_size=1, max_size=4), st.data())
def test_rows_are_what_lists_with_a_none_for_each_missing_label_would_be(
    parts: list[tuple[int, dict[str, list[str | None]]]], data: st.DataObject
) -> None:
    rows = [Rows([f"{p}-{i}" for i in range(n)], labels) for p, (n, labels) in enumerate(parts)]
    names = list(dict.fromkeys(name for _, labels in parts for name in labels))
    texts = [text for part in rows for text in part.texts]
    columns = {name: [label for n, labels in parts for label in labels.get(name, [None] * n)] for name in names}
    joined = Rows.joined(rows)
    assert dense(joined) == (texts, columns)
    assert joined.branch_names == names
    for name in names:
        assert joined.labels[name] == columns[name]
        assert [joined.labels[name][row] for row in range(len(joined))] == columns[name]
        assert joined.labels[name][-3:] == columns[name][-3:]
        kept = [row for row, label in enumerate(columns[name]) if label is not None]
        assert joined.rows_of(name) == kept
        assert joined.of(name) == ([texts[row] for row in kept], [columns[name][row] for row in kept])
    assert joined.home() == [next((n for n in names if columns[n][r] is not None), None) for r in range(len(texts))]
    if texts:
        chosen = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=8))  # some twice, in any order
        assert dense(joined.select(chosen)) == (
            [texts[row] for row in chosen],
            {name: [column[row] for row in chosen] for name, column in columns.items()},
        )


def test_rows_say_when_a_column_is_too_short_and_a_row_is_beyond_them() -> None:
    with pytest.raises(DataError, match="2 texts and 1 labels of 'a'"):
        Rows(["x", "y"], {"a": ["1"]})
    column = Rows(["x", "y"], {"a": ["1", None]}).labels["a"]
    assert (column[0], column[1], column[-2]) == ("1", None, "1")
    for beyond in (2, -3):
        with pytest.raises(IndexError):
            column[beyond]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(5, 40), st.integers(0, 3))
def test_a_small_branch_repeats_its_rows_as_if_it_were_shuffled_again_and_again(
    sizes: list[int], batch_size: int, seed: int
) -> None:
    edges = np.cumsum([0, *sizes])
    groups = tuple(np.arange(start, end) for start, end in pairwise(edges))
    plan = BatchPlan(groups, batch_size, seed)
    random = np.random.default_rng((seed, 7))
    parts = []
    for group in groups:
        steps = plan.steps_per_epoch
        shuffled = random.permutation(group)
        while len(shuffled) < steps:
            shuffled = np.concatenate([shuffled, random.permutation(group)])
        pieces = np.array_split(shuffled[:steps] if len(group) < steps else shuffled, steps)
        parts.append([pieces[i] for i in random.permutation(steps)])
    expected = [np.concatenate(pieces) for pieces in zip(*parts, strict=True)]
    assert [batch.tolist() for batch in plan.epoch(7)] == [batch.tolist() for batch in expected]


# Text without an end


class Ends:
    """A pattern that counts the characters it is handed."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern, self.searched = pattern, 0

    def split(self, text: str) -> list[str]:
        self.searched += len(text)
        return self.pattern.split(text)


@pytest.mark.parametrize("pattern", [sources._PARAGRAPH_ENDS, re.compile("\n")])
@pytest.mark.parametrize("block", ["words of a text ", "   ", "\tword \n" * 3])
def test_a_text_without_an_end_is_searched_once(pattern: re.Pattern[str], block: str) -> None:
    ends = Ends(pattern)
    blocks = [block] * 500
    list(sources._between(ends, blocks))  # type: ignore[arg-type]
    assert ends.searched <= 2 * len(block) * len(blocks)


PIECES = st.lists(st.text(alphabet="ab \n\t\u00a0", max_size=6), max_size=12)


@given(blocks=PIECES)
def test_paragraphs_and_lines_do_not_depend_on_where_the_blocks_are_cut(blocks: list[str]) -> None:
    whole = "".join(blocks)
    for pattern in (sources._PARAGRAPH_ENDS, re.compile("\n")):
        expected = [text.strip("\n") for text in pattern.split(whole) if text.strip()]
        assert list(sources._between(pattern, blocks)) == expected


@given(blocks=PIECES)
def test_lines_of_a_table_do_not_depend_on_where_the_blocks_are_cut(blocks: list[str]) -> None:
    assert "".join(sources._lines(blocks)) == "".join(blocks)
    assert list(sources._lines(blocks)) == [line for line in "".join(blocks).split("\n") for line in [line + "\n"]][
        : "".join(blocks).count("\n")
    ] + ([tail] if (tail := "".join(blocks).rpartition("\n")[2]) else [])


class Block(str):
    """A block that must not be copied together with all that came before it."""

    def __radd__(self, before: str) -> str:
        pytest.fail("the line so far was copied for one block more")


def test_a_long_line_of_a_table_is_joined_once() -> None:
    assert list(sources._lines([Block("x" * 10)] * 300)) == ["x" * 3000]


def test_rows_of_a_file_say_which_branch_they_belong_to(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,a,b\none,x,\ntwo,,y\nthree,x,z\n")
    rows = read_rows(path, "text", {"a": "a", "b": "b"})
    assert rows.by_row() == [[("a", "x")], [("b", "y")], [("a", "x"), ("b", "z")]]
