"""What is kept of a run's rows: enough to tell whether they are the same and on which side each was, and no text."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.config import DataConfig
from interconnected_ai.data import SIDES, RowChanges, RowRecord, Rows, Splits, load_splits, split_rows, write_rows
from interconnected_ai.errors import DataError, IntegrityError, NotAModelError
from interconnected_ai.text import KnownTexts
from properties import examples

few = examples(30)


def rows(count: int = 120, start: int = 0) -> Rows:
    return Rows.of_branch("bank", [f"a text {start + i}" for i in range(count)], ["card", "fee", "loan"] * (count // 3))


def split(given_rows: Rows) -> Splits:
    validation, test, train = split_rows(given_rows, [0.1, 0.2], seed=0)
    return Splits(train, validation, test)


def record_of(splits: Splits) -> RowRecord:
    return RowRecord.of(splits, splits.specs(), {"split_seed": 0})


def relabelled(given_rows: Rows, old: str, new: str) -> Rows:
    labels = [new if label == old else label for label in given_rows.of("bank")[1]]
    return Rows.of_branch("bank", given_rows.texts, labels)


def test_a_record_comes_back_from_its_folder_and_holds_no_text(tmp_path: Path) -> None:
    record = record_of(split(rows()))
    record.save(tmp_path / "rows")
    assert RowRecord.load(tmp_path / "rows") == record
    assert RowRecord.load(tmp_path / "rows").split == {"split_seed": 0}
    written = b"".join(path.read_bytes() for path in (tmp_path / "rows").iterdir())
    assert b"a text" not in written
    assert sum(array.nbytes for array in record.arrays.values()) == 19 * 120


def test_an_altered_or_absent_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotAModelError):
        RowRecord.load(tmp_path / "rows")
    record = record_of(split(rows()))
    record.save(tmp_path / "rows")
    facts = tmp_path / "rows" / "rows.json"
    facts.write_text(facts.read_text().replace("card", "cord"))
    with pytest.raises(IntegrityError):
        RowRecord.load(tmp_path / "rows")
    for arrays in (
        {},
        {**record.arrays, "sides": record.sides[:-1]},
        {**record.arrays, "rows": record.rows.astype(float)},
    ):
        with pytest.raises(IntegrityError, match=r"progress\.json holds no record of rows"):
            RowRecord.from_parts(arrays, record.facts, source="progress.json")


def test_the_same_rows_show_no_change() -> None:
    changes = RowChanges.between(record_of(split(rows())), record_of(split(rows())))
    assert changes.none
    assert not changes.only_new
    assert str(changes) == ""


def test_a_renamed_class_is_named_and_its_rows_are_counted() -> None:
    changes = RowChanges.between(record_of(split(rows())), record_of(split(relabelled(rows(), "card", "zcard"))))
    assert (changes.gone, changes.new, changes.changed, changes.moved) == (0, 0, 40, 0)
    assert not changes.only_new
    told = "branch 'bank' lost the class 'card'; branch 'bank' got the class 'zcard'"
    assert str(changes) == f"40 rows are with another label or spelling; {told}"


def test_classes_in_another_order_are_told_though_every_row_is_the_same() -> None:
    splits = split(rows())
    (spec,) = splits.specs()
    other = type(spec).from_mapping({"name": "bank", "labels": list(reversed(spec.labels))})
    changes = RowChanges.between(RowRecord.of(splits, [spec]), RowRecord.of(splits, [other]))
    assert str(changes) == "the classes of branch 'bank' are in another order"
    assert not changes.none


def test_rows_that_came_went_moved_or_changed_places_are_counted() -> None:
    before = split(rows())
    grown = split(Rows.joined([rows(), rows(15, start=900)]))
    assert RowChanges.between(record_of(before), record_of(grown)).only_new
    assert str(RowChanges.between(record_of(before), record_of(grown))) == "15 rows are new"
    assert str(RowChanges.between(record_of(grown), record_of(before))) == "15 rows are gone"
    moved = Splits(before.train.select(range(1, len(before.train))), before.validation,
                   Rows.joined([before.test, before.train.select([0])]))  # fmt: skip
    told = f"1 row is on another side ({', '.join(SIDES)}) than before"
    assert str(RowChanges.between(record_of(before), record_of(moved))) == told
    turned = split(rows().select(reversed(range(120))))
    changes = RowChanges.between(record_of(before), record_of(turned))
    assert changes.reordered
    assert not changes.none
    assert str(changes) == "the rows are in another order"


@few
@given(st.permutations(range(60)), st.integers(0, 20))
def test_rows_in_another_order_are_put_back_and_new_ones_come_last(order: list[int], new: int) -> None:
    given_rows = Rows.joined([rows(60), rows(60).select([3, 3])])  # a row that stands there three times
    before = split(given_rows)
    shuffled = Rows.joined([rows(new * 3, start=900), given_rows.select([*order, 60, 61])])
    record = record_of(before)
    sides = record.sides_of(shuffled.texts, ["bank"], [0, 1, 2])
    now = Splits(*(shuffled.select(np.flatnonzero(sides == side)) for side in range(3)))
    assert record.in_this_order(now) == before
    added = Splits(shuffled.select(np.flatnonzero((sides == 0) | (sides == -1))), now.validation, now.test)
    assert record.in_this_order(added).train.texts[: len(before.train)] == before.train.texts


# With a record at hand


def data_config(folder: Path, **changes: object) -> DataConfig:
    return DataConfig.from_mapping(
        {"branches": [{"name": "bank", "path": str(folder / "bank.jsonl")}], "test_fraction": 0.2, **changes}
    )


def write(folder: Path, given_rows: Rows) -> None:
    write_rows(folder / "bank.jsonl", *given_rows.of("bank"))


def test_recorded_rows_keep_their_sides_where_the_hash_says_otherwise(tmp_path: Path) -> None:
    """Few rows: some stand on a side only because a class or the side would have been empty."""
    write(tmp_path, rows(9))
    before = load_splits(data_config(tmp_path))
    record = record_of(before)
    write(tmp_path, Rows.joined([rows(300, start=500), rows(9)]))
    by_hash, kept = load_splits(data_config(tmp_path)), load_splits(data_config(tmp_path), record=record)
    for old, now in ((before.train, kept.train), (before.validation, kept.validation), (before.test, kept.test)):
        assert set(old.texts) <= set(now.texts)
    other_seed = load_splits(data_config(tmp_path, split_seed=9), record=record)
    assert set(before.test.texts) <= set(other_seed.test.texts)
    assert other_seed.test != kept.test
    assert len(by_hash.train) + len(by_hash.validation) + len(by_hash.test) == 309


def test_a_text_of_a_held_out_file_of_its_own_does_not_draw_rows_to_its_side(tmp_path: Path) -> None:
    write(tmp_path, rows(60))
    first = load_splits(data_config(tmp_path)).train.texts[0]
    write_rows(tmp_path / "own.jsonl", [first, "another"], ["card", "fee"])
    content = data_config(tmp_path).to_dict()
    content["branches"][0]["test"] = str(tmp_path / "own.jsonl")
    config = DataConfig.from_mapping(content)
    before = load_splits(config)
    assert first in before.train.texts
    assert load_splits(config, record=record_of(before)) == before


def test_a_class_of_one_text_is_no_error_where_the_record_says_where_it_goes(tmp_path: Path) -> None:
    write(tmp_path, rows(60))
    record = record_of(load_splits(data_config(tmp_path)))
    write(tmp_path, Rows.joined([rows(60), Rows.of_branch("bank", ["alone"], ["lonely"])]))
    with pytest.raises(DataError, match="lonely"):
        load_splits(data_config(tmp_path))
    splits = load_splits(data_config(tmp_path), record=record)
    assert sum(map(len, (splits.train, splits.validation, splits.test))) == 61


def test_runs_without_a_record_are_dealt_out_as_they_were(tmp_path: Path) -> None:
    write(tmp_path, rows(30))
    splits = load_splits(data_config(tmp_path), unrecorded=True)
    known = json.loads((Path(__file__).parent / "unrecorded_split.json").read_text())
    assert {"validation": splits.validation.texts, "test": splits.test.texts} == known


# Texts that are known


@few
@given(st.lists(st.text(max_size=4)), st.lists(st.text(max_size=4)))
def test_known_texts_are_told_apart_by_more_than_case_and_spacing(some: list[str], others: list[str]) -> None:
    known = KnownTexts.of(some)
    assert known.holds([f" {text.upper()} " for text in some]).tolist() == [True] * len(some) or any(
        text.upper().casefold() != text.casefold() for text in some
    )
    assert (known | KnownTexts.of(others)) == KnownTexts.of([*others, *some])
    assert len(known) == len({" ".join(text.casefold().split()) for text in some})
    assert known.digests.nbytes == 8 * len(known)
