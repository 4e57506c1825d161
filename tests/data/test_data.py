"""Reading and splitting labelled rows: every format, every mistake by name, no text on two sides."""

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from awkward_texts import TEXTS
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.config import BranchSpec, DataConfig
from interconnected_ai.data import Rows, Splits, load_splits, read_rows, report_on, split_rows, write_rows
from interconnected_ai.errors import ConfigError, DataError, UnknownNameError
from interconnected_ai.text import folded
from properties import examples

LABELS = ["да", "no, thanks", "да", "1", "да", "no, thanks", "1", "1"]


def write_separated(path: Path, texts: list[str], labels: list[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerow(["text", "label"])
        writer.writerows(zip(texts, labels, strict=True))


def write_json_lines(path: Path, texts: list[str], labels: list[str]) -> None:
    pairs = zip(texts, labels, strict=True)
    lines = [json.dumps({"text": t, "label": label}, ensure_ascii=False) for t, label in pairs]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_json_list(path: Path, texts: list[str], labels: list[str]) -> None:
    path.write_text(json.dumps([{"label": b, "text": a} for a, b in zip(texts, labels, strict=True)]), encoding="utf-8")


def write_parquet(path: Path, texts: list[str], labels: list[str]) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"text": texts, "label": labels}), path)


def write_dataset(path: Path, texts: list[str], labels: list[str]) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"text": texts, "label": labels}).save_to_disk(str(path))


def write_dataset_of_class_numbers(path: Path, texts: list[str], labels: list[str]) -> None:
    datasets = pytest.importorskip("datasets")
    names = sorted(set(labels))
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)})
    numbers = [names.index(label) for label in labels]
    made = datasets.Dataset.from_dict({"text": texts, "label": numbers}, features=features)
    datasets.DatasetDict({"train": made, "test": made.select([0])}).save_to_disk(str(path))


any_character = st.characters(codec="utf-8") | st.sampled_from('\r\n\t\x0b\x0c\x1c\x85\u2028\u2029",\\')
WRITERS: dict[str, Callable[[Path, list[str], list[str]], None]] = {
    "rows.csv": write_separated,
    "rows.tsv": write_separated,
    "rows.jsonl": write_json_lines,
    "ours.jsonl": write_rows,
    "rows.json": write_json_list,
    "rows.parquet": write_parquet,
    "saved": write_dataset,
    "saved-with-class-names": write_dataset_of_class_numbers,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_back_the_rows_that_were_written(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, TEXTS, LABELS)
    rows = read_rows(tmp_path / name, "text", {"bank": "label"})
    assert rows.texts == TEXTS
    assert rows.labels == {"bank": LABELS}
    assert len(rows) == len(TEXTS)
    assert rows.branch_names == ["bank"]


@examples(50)
@given(texts=st.lists(st.text(any_character, max_size=6).filter(str.strip), min_size=1, max_size=5))
def test_whatever_text_we_write_we_read_back(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    write_rows(path, texts, ["a"] * len(texts))
    assert read_rows(path, "text", {"b": "label"}).texts == texts


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.json"])
def test_a_byte_order_mark_of_windows_is_no_part_of_the_first_column(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](path, ["a", "b"], ["x", "y"])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_rows(path, "text", {"b": "label"}).texts == ["a", "b"]


def test_labels_are_strings_without_the_spaces_around_them(tmp_path: Path) -> None:
    records = [{"text": "a", "label": 1}, {"text": "b", "label": " x "}, {"text": "c", "label": True}]
    (tmp_path / "rows.json").write_text(json.dumps(records))
    assert read_rows(tmp_path / "rows.json", "text", {"b": "label"}).labels["b"] == ["1", "x", "True"]


@pytest.mark.parametrize("name", list(WRITERS))
def test_a_missing_column_is_named_with_the_nearest_first(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, ["a", "b"], ["x", "y"])
    with pytest.raises(DataError, match=rf"{name} has no column 'lable'; its columns, nearest first: 'label', 'text'"):
        read_rows(tmp_path / name, "text", {"b": "lable"})
    with pytest.raises(DataError, match="has no column 'txt'; its columns, nearest first: 'text', 'label'"):
        read_rows(tmp_path / name, "txt", {"b": "label"})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "is empty; it needs a header"),
        ("a.jsonl", b"", "is empty"),
        ("a.jsonl", b"\n\n", "is empty"),
        ("a.json", b"", "is empty"),
        ("a.json", b"[]", "is empty"),
        ("a.csv", b"text,label\n", "has no rows"),
        ("a.csv", "text,label\nпривет,да\n".encode("cp1251"), "is not UTF-8 .*iconv -f CP1251 -t UTF-8 a.csv"),
        ("a.jsonl", '{"text": "привет", "label": "да"}\n'.encode("cp1251"), "is not UTF-8"),
        ("a.json", '[{"text": "hi", "label": "x"}]'.encode("utf-16")[:-1], "begins as UTF-16 and is not UTF-16"),
        ("a.csv", b'text,label\n"open,x\n', "cannot be read as csv"),
        ("a.csv", b'text,label\n"a"b,x\n', "cannot be read as csv"),
        ("a.jsonl", b'{"text": "a", "label": "x"}\n{"text": ', "cannot be read as jsonl"),
        ("a.json", b"{", "cannot be read as json"),
        ("a.json", b'{"text": "a"}', "has no column 'label'"),
        ("a.json", b'"text"', "needs a list of objects"),
        ("a.json", b"[1, 2]", "needs a list of objects"),
        ("a.jsonl", b"[1]\n", "needs a list of objects"),
        ("a.xls", b"PK", "cannot be read; known: .csv, .tsv, .jsonl, .json, .*Save a spreadsheet as CSV UTF-8"),
        ("a.csv", b"text,label\na,x\n ,y\n", "row 2: the text is ' '; every row needs a text in column 'text'"),
        ("a.jsonl", b'{"text": "a", "label": "x"}\n{"label": "y"}\n', "row 2: the text is None"),
        ("a.json", b'[{"text": 5, "label": "x"}]', "row 1: the text is 5"),
        ("a.csv", b"text,label\nhello, world,x\n", "row 1"),  # a comma that should have been quoted
        ("a.parquet", b"PAR1 not really", "is not a Parquet file"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_learnt_from_says_why(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_rows(path, "text", {"b": "label"})
    assert str(path) in str(caught.value)


def test_what_is_not_there_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file at .*absent.csv; check the path"):
        read_rows(tmp_path / "absent.csv", "text", {"b": "label"})


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    with pytest.raises(DataError, match=r"is not a folder written by datasets.save_to_disk"):
        read_rows(tmp_path, "text", {"b": "label"})


def test_a_table_may_lack_labels_here_and_there(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("text,topic,mood\na,money,\nb,,good\nc,weather,bad\nd, ,\n")
    rows = read_rows(tmp_path / "all.csv", "text", {"topics": "topic", "moods": "mood"})
    assert rows.labels == {"topics": ["money", None, "weather", None], "moods": [None, "good", "bad", None]}
    assert rows.home() == ["topics", "moods", "topics", None]
    assert rows.of("topics") == (["a", "c"], ["money", "weather"])
    assert rows.of("moods") == (["b", "c"], ["good", "bad"])
    moods = BranchSpec.from_mapping({"name": "moods", "labels": ["bad", "good"]})
    others = BranchSpec.from_mapping({"name": "others", "num_classes": 2})
    targets = rows.targets([moods, others])
    assert targets["moods"].tolist() == [-1, 1, 0, -1]
    assert targets["others"].tolist() == [-1] * 4


def test_a_label_that_the_branch_does_not_have_is_named() -> None:
    rows = Rows.of_branch("bank", ["a"], ["fees"])
    with pytest.raises(UnknownNameError, match=r"unknown label of branch 'bank' 'fees'; known, nearest first: 'fee'"):
        rows.targets([BranchSpec.from_mapping({"name": "bank", "labels": ["card", "fee"]})])


def test_rows_of_several_sources_are_joined_without_inventing_labels() -> None:
    parts = [Rows.of_branch("a", ["1", "2"], ["x", "y"]), Rows.of_branch("b", ["3"], ["z"])]
    joined = Rows.joined(parts)
    assert joined == Rows(["1", "2", "3"], {"a": ["x", "y", None], "b": [None, None, "z"]})
    assert joined.select([2, 0]) == Rows(["3", "1"], {"a": [None, "x"], "b": ["z", None]})
    assert len(Rows.joined([])) == 0


def test_every_text_needs_one_label() -> None:
    with pytest.raises(DataError, match="2 texts and 1 labels"):
        Rows.of_branch("a", ["1", "2"], ["x"])


# Splitting


@st.composite
def one_branch(draw: st.DrawFn) -> Rows:
    """Two to four classes of two to twelve distinct texts, each text once to three times, shuffled."""
    pairs = []
    for label in "wxyz"[: draw(st.integers(2, 4))]:
        for number in range(draw(st.integers(2, 12))):
            pairs += [(f"{label}{number}", label)] * draw(st.sampled_from([1, 1, 1, 2, 3]))
    pairs = draw(st.permutations(pairs))
    return Rows.of_branch("bank", [text for text, _ in pairs], [label for _, label in pairs])


@st.composite
def one_table(draw: st.DrawFn) -> Rows:
    """Rows of two branches that share texts, some rows unlabelled, some texts repeated with other labels."""
    texts = draw(st.lists(st.sampled_from([f"t{i}" for i in range(12)]), min_size=4, max_size=24))
    labels = st.sampled_from(["x", "y", None])
    return Rows(texts, {name: [draw(labels) for _ in texts] for name in ("a", "b")})


fractions = st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.45]), min_size=1, max_size=2)
few = examples(60)


def pairs_of(rows: Rows) -> Counter[tuple[str, tuple[str | None, ...]]]:
    return Counter(zip(rows.texts, zip(*rows.labels.values(), strict=True), strict=True))


@few
@given(one_branch(), fractions, st.integers(0, 5))
def test_a_split_is_a_partition_that_keeps_texts_together_and_every_class_in_training(
    rows: Rows, shares: list[float], seed: int
) -> None:
    *held, train = sides = split_rows(rows, shares, seed)
    assert sum((pairs_of(side) for side in sides), Counter()) == pairs_of(rows)
    for number, side in enumerate(sides):
        for other in sides[number + 1 :]:
            assert not set(side.texts) & set(other.texts)
    assert set(train.of("bank")[1]) == set(rows.of("bank")[1])
    for share, side in zip(shares, held, strict=True):
        assert len(side) == 0 or share > 0
    assert split_rows(rows, shares, seed) == sides


@few
@given(one_table(), fractions, st.integers(0, 5))
def test_in_a_table_of_several_branches_no_class_is_only_measured(rows: Rows, shares: list[float], seed: int) -> None:
    texts_of: dict[tuple[str, str], set[str]] = {}
    for name in rows.branch_names:
        for text, label in zip(*rows.of(name), strict=True):
            texts_of.setdefault((name, label), set()).add(text)
    if any(len(texts) == 1 for texts in texts_of.values()):
        with pytest.raises(DataError, match="has one distinct text"):
            split_rows(rows, shares, seed)
        return
    *held, train = split_rows(rows, shares, seed)
    assert sum((pairs_of(side) for side in (*held, train)), Counter()) == pairs_of(rows)
    for side in held:
        assert not set(side.texts) & set(train.texts)
        for name in rows.branch_names:
            assert set(side.of(name)[1]) <= set(train.of(name)[1])


def test_every_class_is_held_out_in_about_the_same_share() -> None:
    rows = Rows.of_branch("bank", [f"{i}" for i in range(6000)], (["rare"] + ["common"] * 4) * 1200)
    validation, test, train = split_rows(rows, [0.1, 0.2], seed=0)
    for side, share in ((validation, 0.1), (test, 0.2), (train, 0.7)):
        held = Counter(side.labels["bank"])
        for label, count in (("rare", 1200), ("common", 4800)):
            spread = (share * (1 - share) / count) ** 0.5
            assert held[label] / count == pytest.approx(share, abs=4 * spread)


def sides_of(rows: Rows, shares: list[float], seed: int, recorded: np.ndarray | None = None) -> dict[str, int]:
    return {
        folded(text): side
        for side, part in enumerate(split_rows(rows, shares, seed, recorded=recorded))
        for text in part.texts
    }


@few
@given(st.data(), st.integers(0, 5))
def test_no_text_changes_sides_when_others_come_go_or_are_reordered(data: st.DataObject, seed: int) -> None:
    texts = [f"a text {number}" for number in range(400)]
    rows = Rows.of_branch("bank", texts, ["x", "y"] * 200)
    kept = data.draw(st.permutations(range(400)))[: data.draw(st.integers(200, 400))]
    everything, part = sides_of(rows, [0.1, 0.2], seed), sides_of(rows.select(kept), [0.1, 0.2], seed)
    assert part == {texts[row]: everything[texts[row]] for row in kept}


def test_a_recorded_side_wins_over_the_hash() -> None:
    rows = Rows.of_branch("bank", [f"a text {number}" for number in range(100)], ["x", "y"] * 50)
    by_hash = sides_of(rows, [0.1, 0.2], 0)
    recorded = np.array([2 - by_hash[text] if row < 50 else -1 for row, text in enumerate(rows.texts)])
    found = sides_of(rows, [0.1, 0.2], 0, recorded)
    assert found == {t: 2 - by_hash[t] if row < 50 else by_hash[t] for row, t in enumerate(rows.texts)}


def test_a_text_of_two_branches_is_on_the_same_side_in_both_files(tmp_path: Path) -> None:
    texts = [f"a text {number}" for number in range(200)]
    for name, order in (("a", 1), ("b", -1)):
        write_separated(tmp_path / f"{name}.csv", texts[::order], ["x", "y"] * 100)
    splits = load_splits(
        DataConfig.from_mapping({"branches": [{"name": n, "path": f"{n}.csv"} for n in "ab"]}), relative_to=tmp_path
    )
    for part in (splits.train, splits.validation, splits.test):
        assert set(part.of("a")[0]) == set(part.of("b")[0])


def test_a_branch_of_few_rows_has_some_on_every_side() -> None:
    for seed in range(40):
        rows = Rows.of_branch("bank", [f"a text {number}" for number in range(8)], ["x", "y"] * 4)
        validation, test, train = split_rows(rows, [0.1, 0.1], seed)
        assert len(validation) >= 1
        assert len(test) >= 1
        assert set(train.of("bank")[1]) == {"x", "y"}


def test_the_seed_decides_which_rows_are_held_out_and_the_order_of_reading_stays() -> None:
    rows = Rows.of_branch("bank", [f"{i:03}" for i in range(100)], ["x", "y"] * 50)
    one, same, other = (split_rows(rows, [0.1], seed) for seed in (1, 1, 2))
    assert one == same
    assert one[0] != other[0]
    assert one[1].texts == sorted(one[1].texts)


@pytest.mark.parametrize("texts", [["a", "b", "only"], ["a", "b", "only", "only"]])
def test_a_class_with_one_distinct_text_is_refused_by_name(texts: list[str]) -> None:
    labels = ["x" if text != "only" else "lonely" for text in texts]
    with pytest.raises(DataError, match="class 'lonely' of branch 'bank' has one distinct text; it needs at least two"):
        split_rows(Rows.of_branch("bank", texts, labels), [0.1], seed=0)


def test_all_classes_with_one_distinct_text_are_named_at_once() -> None:
    a = Rows.of_branch("a", ["1", "2", "3", "4"], ["x", "x", "once", "X"])
    b = Rows.of_branch("b", ["5", "5", "6", "7"], ["lonely", "lonely", "y", "y"])
    message = (
        "classes 'once', 'X' of branch 'a'; class 'lonely' of branch 'b': each has one distinct text; .*'X' looks like"
    )
    with pytest.raises(DataError, match=message):
        split_rows(Rows.joined([a, b]), [0.1], seed=0)
    many = Rows.of_branch("a", [str(n) for n in range(60)], [f"c{n}" for n in range(60)])
    with pytest.raises(DataError, match="'c49' of branch 'a' and 10 more: each has one distinct text"):
        split_rows(many, [0.1], seed=0)


def test_specs_take_the_labels_of_the_training_rows_in_alphabetical_order() -> None:
    train = Rows.of_branch("bank", ["1", "2", "3"], ["fee", "card", "fee"])
    none = train.select([])
    assert [(s.name, s.labels) for s in Splits(train, none, none).specs()] == [("bank", ("card", "fee"))]
    with pytest.raises(DataError, match=r"branch 'bank' has the one class \['fee'\]"):
        Splits(train.select([0, 2]), none, none).specs()


# From a config to splits


def rows_in(path: Path, count: int, start: int = 0) -> None:
    texts = [f"text {start + i}" for i in range(count)]
    write_separated(path, texts, [("x", "y")[i % 2] for i in range(count)])


def test_files_of_branches_are_read_relative_to_the_config_and_split(tmp_path: Path) -> None:
    rows_in(tmp_path / "a.csv", 40)
    rows_in(tmp_path / "b.tsv", 20, start=100)
    config = DataConfig.from_mapping(
        {"branches": [{"name": "a", "path": "a.csv"}, {"name": "b", "path": str(tmp_path / "b.tsv")}]}
    )
    splits = load_splits(config, relative_to=tmp_path)
    parts = (splits.train, splits.validation, splits.test)
    assert [sum(len(part.of(name)[0]) for part in parts) for name in "ab"] == [40, 20]
    assert all(len(part.of(name)[0]) for part in parts for name in "ab")
    assert load_splits(config, relative_to=tmp_path) == splits
    assert load_splits(config.with_changes(split_seed=1), relative_to=tmp_path) != splits


def test_given_validation_and_test_files_are_used_as_they_are(tmp_path: Path) -> None:
    for name, start in (("train.csv", 0), ("val.csv", 100), ("test.csv", 200)):
        rows_in(tmp_path / name, 10, start)
    files = {"path": "train.csv", "validation": "val.csv", "test": "test.csv"}
    branch = load_splits(DataConfig.from_mapping({"branches": [{"name": "a", **files}]}), relative_to=tmp_path)
    table = load_splits(DataConfig.from_mapping({"table": {"labels": {"a": "label"}, **files}}), relative_to=tmp_path)
    assert branch == table
    for name, part in (("train", branch.train), ("val", branch.validation), ("test", branch.test)):
        assert part == read_rows(tmp_path / f"{name}.csv", "text", {"a": "label"})


def test_with_a_validation_file_only_test_rows_are_held_out(tmp_path: Path) -> None:
    rows_in(tmp_path / "train.csv", 40)
    rows_in(tmp_path / "val.csv", 6, start=100)
    splits = load_splits(
        DataConfig.from_mapping({"branches": [{"name": "a", "path": "train.csv", "validation": "val.csv"}]}),
        relative_to=tmp_path,
    )
    assert len(splits.validation) == 6
    assert len(splits.train) + len(splits.test) == 40
    both = DataConfig.from_mapping({"branches": [{"name": "a", "path": "train.csv"}]})
    assert splits.test == load_splits(both, relative_to=tmp_path).test  # whoever else is held out


def test_an_unsafe_branch_name_is_refused_before_its_file_is_read(tmp_path: Path) -> None:
    config = DataConfig.from_mapping({"branches": [{"name": "../x", "path": "absent.csv"}]})
    with pytest.raises(ConfigError, match="no safe file name"):
        load_splits(config, relative_to=tmp_path)


# What was read


def test_the_report_counts_rows_classes_duplicates_and_leaks() -> None:
    train = Rows.of_branch(
        "bank", ["Pay now", "pay  NOW", "my card", "a fee", "bb"], ["pay", "pay", "card", "fee", "fee"]
    )
    validation = Rows.of_branch("bank", ["PAY now", "new text"], ["pay", "card"])
    test = Rows.of_branch("bank", ["my card", "other"], ["card", "card"])
    (report,) = report_on(Splits(train, validation, test))
    assert (report.num_train, report.num_validation, report.num_test) == (5, 2, 2)
    assert report.num_classes == 3
    assert report.smallest_class == ("card", 1)
    assert report.largest_class[1] == 2
    assert report.duplicates == 1
    assert report.leaked == 2
    assert report.length_median == 7
    assert report.length_p95 == 7


def test_the_report_tells_alphabets_apart() -> None:
    texts = ["привет", "hello", "привет и hi", "银行", "123 !?", "ёжик", "Ќ"]
    train = Rows.of_branch("bank", texts, ["x", "y"] * 3 + ["x"])
    (report,) = report_on(Splits(train, train.select([]), train.select([])))
    assert report.languages == pytest.approx({"cyrillic": 4 / 7, "latin": 1 / 7, "other": 1 / 7, "none": 1 / 7})
    assert next(iter(report.languages)) == "cyrillic"


def test_the_report_has_an_entry_for_each_branch() -> None:
    a, b = Rows.of_branch("a", ["1", "22"], ["x", "y"]), Rows.of_branch("b", ["3"], ["z"])
    reports = report_on(Splits(Rows.joined([a, b]), a.select([0]), b))
    assert [(r.name, r.num_train, r.num_validation, r.num_test) for r in reports] == [("a", 2, 1, 0), ("b", 1, 0, 1)]
    assert [r.leaked for r in reports] == [1, 1]
