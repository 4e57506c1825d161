"""Which columns of a table are the texts and the labels: told by name, by contents, or said to be unclear."""

import csv
import json
from pathlib import Path

import pytest

from interconnected_ai.data import TableSet, columns_of, safe_names, table_sets
from interconnected_ai.errors import DataError

ROWS = [
    (f"Заблокируйте мою карту {n}", "карты") if n % 2 else (f"Какая погода сегодня {n}", "погода") for n in range(20)
]


def table(path: Path, header: list[str], rows: list[list[str]]) -> Path:
    """A CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=";").writerows([header, *rows])
    return path


def of(path: Path, header: list[str]) -> Path:
    """The rows under these names, each with its number in front."""
    return table(path, header, [[str(n), text, label] for n, (text, label) in enumerate(ROWS)])


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("text", "label"), ("Текст обращения", "Категория"), ("текст", "метка"), ("userMessage", "intentClass"),
        ("review_body", "sentiment"), ("REVIEW", "Target"),
    ],
)  # fmt: skip
def test_names_that_say_it_are_known_in_english_and_russian(tmp_path: Path, text: str, label: str) -> None:
    found = columns_of(of(tmp_path / "rows.csv", ["номер", text, label]))
    assert (found.text, found.labels) == (text, (label,))
    assert found.text_reason == "its name says so"
    assert found.label_reason == "its name says so; 2 classes"
    assert found.example == ROWS[0]


def test_names_that_say_nothing_leave_it_to_the_contents(tmp_path: Path) -> None:
    found = columns_of(of(tmp_path / "rows.csv", ["x", "y1", "z"]))
    assert (found.text, found.labels) == ("y1", ("z",))
    assert found.text_reason == "the only column that holds texts, 24 characters on average"
    assert found.label_reason == "the only column whose values repeat; 2 classes"


def test_of_several_columns_of_texts_the_longest_by_far_is_taken(tmp_path: Path) -> None:
    rows = [[f"Ann Lee {n}", text * 2, label] for n, (text, label) in enumerate(ROWS)]
    found = columns_of(table(tmp_path / "rows.csv", ["a", "b", "c"], rows))
    assert found.text == "b"
    assert found.text_reason.startswith("the longest texts")


@pytest.mark.parametrize(("first", "other"), [("text", "question"), ("Текст", "вопрос"), ("texts", "message")])
def test_a_column_that_is_called_text_is_the_text_beside_a_longer_one(tmp_path: Path, first: str, other: str) -> None:
    rows = [
        ["" if text.endswith("3") else f"Что бы Вы спросили, если? {text * 3}", text, label] for text, label in ROWS
    ]
    assert columns_of(table(tmp_path / "rows.csv", [other, first, "label"], rows)).text == first


def test_of_a_number_and_its_word_the_word_is_the_label(tmp_path: Path) -> None:
    rows = [[text, str(int(label == "карты")), label] for text, label in ROWS]
    found = columns_of(table(tmp_path / "rows.csv", ["text", "label", "label_text"], rows))
    assert (found.labels, found.label_reason) == (("label_text",), "the classes of 'label' in words")


def test_columns_that_could_both_be_meant_are_shown_with_what_stands_in_them(tmp_path: Path) -> None:
    rows = [[text, label, str(n % 3)] for n, (text, label) in enumerate(ROWS)]
    file = table(tmp_path / "rows.csv", ["t", "a", "b"], rows)
    with pytest.raises(DataError) as error:
        columns_of(file)
    said = str(error.value)
    assert "the labels could stand in 'a' or 'b'. Name them: --text COLUMN --label COLUMN" in said
    assert "'b': 20 cells, 3 of them different, such as '0'" in said
    found = columns_of(file, labels=["b"])
    assert (found.text, found.labels, found.label_reason) == ("t", ("b",), "as asked for")
    assert columns_of(file, labels=["a", "b"]).labels == ("a", "b")


def test_two_texts_of_like_length_are_left_to_the_person(tmp_path: Path) -> None:
    rows = [[text, f"{text}!", label] for text, label in ROWS]
    with pytest.raises(DataError, match="the texts could stand in 'description' or 'title'"):
        columns_of(table(tmp_path / "rows.csv", ["title", "description", "label"], rows))


@pytest.mark.parametrize(
    ("header", "rows", "words"),
    [
        (["a", "b"], [["1", "2"], ["3", "4"]], "no column looks like texts"),
        (["text", "n"], [[text, str(n)] for n, (text, _) in enumerate(ROWS)], "no column looks like labels"),
        (["text", "n"], [[text, str(n % 4 / 7)] for n, (text, _) in enumerate(ROWS)], "no column looks like labels"),
        (["Какая погода", "погода"], [list(row) for row in ROWS], "seems to begin without a header: 'погода'"),
    ],
)
def test_a_table_without_texts_labels_or_header_says_so(
    tmp_path: Path, header: list[str], rows: list[list[str]], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        columns_of(table(tmp_path / "rows.csv", header, rows))


def test_a_column_asked_for_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column 'labl'; its columns, nearest first: 'label'"):
        columns_of(of(tmp_path / "rows.csv", ["n", "text", "label"]), labels=["labl"])
    (tmp_path / "empty.csv").touch()
    with pytest.raises(DataError, match="is empty"):
        columns_of(tmp_path / "empty.csv")


def test_every_kind_of_table_is_looked_into(tmp_path: Path) -> None:
    objects = [{"номер": n, "сообщение": text, "тема": label} for n, (text, label) in enumerate(ROWS)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, objects)), encoding="utf-8")
    (tmp_path / "list.json").write_text(json.dumps(objects), encoding="utf-8")
    columns = {key: [row[key] for row in objects] for key in objects[0]}
    (tmp_path / "columns.json").write_text(json.dumps(columns), encoding="utf-8")
    parquet, pyarrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    parquet.write_table(pyarrow.Table.from_pylist(objects), tmp_path / "rows.parquet")
    book = pytest.importorskip("openpyxl").Workbook()
    for row in [list(objects[0]), *(list(row.values()) for row in objects)]:
        book.active.append(row)
    book.save(tmp_path / "rows.xlsx")
    of(tmp_path / "rows.tsv", ["номер", "сообщение", "тема"])
    for name in ("rows.jsonl", "list.json", "columns.json", "rows.parquet", "rows.xlsx", "rows.tsv"):
        found = columns_of(tmp_path / name)
        assert (found.text, found.labels) == ("сообщение", ("тема",)), name
        assert found.example == ROWS[0], name


def test_rows_that_end_early_do_not_hide_the_columns(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(
        "text,label,note\n" + "".join(f"{text},{label}\n" for text, label in ROWS), encoding="utf-8"
    )
    assert columns_of(tmp_path / "rows.csv").labels == ("label",)


def test_files_of_one_folder_that_name_their_side_are_one_branch(tmp_path: Path) -> None:
    for name in (
        "train.csv",
        "test.csv",
        "a_train.csv",
        "a-valid.csv",
        "b.csv",
        "b_test.csv",
        "c_test.csv",
        "notes.md",
        ".x.csv",
    ):
        (tmp_path / name).touch()
    at = {name.name: str(name) for name in tmp_path.iterdir()}
    assert table_sets([str(tmp_path)]) == [
        TableSet("a", at["a_train.csv"], validation=at["a-valid.csv"]),
        TableSet("b", at["b.csv"], test=at["b_test.csv"]),
        TableSet("c_test", at["c_test.csv"]),
        TableSet(tmp_path.name, at["train.csv"], test=at["test.csv"]),
    ]


def test_names_of_branches_are_safe_and_each_stands_once() -> None:
    assert safe_names(["мои данные", "мои-данные", "con", "a/b:c", "…", "x" * 90]) == [
        "мои-данные", "мои-данные-2", "branch-con", "a-b-c", "branch", "x" * 50,
    ]  # fmt: skip
    assert table_sets(["hf:owner/name:part#test"]) == [TableSet("name", "hf:owner/name:part#test")]


def test_a_folder_without_tables_and_a_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a folder without a table"):
        table_sets([str(tmp_path)])
    (tmp_path / "run.yaml").touch()
    with pytest.raises(DataError, match="is a run, not a folder of tables"):
        table_sets([str(tmp_path)])
