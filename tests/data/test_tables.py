"""Tables as people have them: whatever program wrote a file, its rows are read, or the error names file, row and remedy."""

import csv
import gzip
import io
import json
import math
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interconnected_ai.data import Rows, read_rows, read_texts, texts_by_line, write_rows
from interconnected_ai.errors import DataError
from properties import examples

TEXTS = ["Where is my card?", "привет, мир; и «все»", 'she said "hi"', "two\nlines", "银行 | 卡", "a\ttab", "plain"]
LABELS = ["card", "да", "no; thanks", "да", "1.5", "card", "7"]
CUT_GZIP = gzip.compress(b"text,label\na,x\n" * 99, mtime=0)[
    :-9
]  # without the time, the test has the same name in every process

# What no reader could get back: blanks alone, halves of characters, and in CSV a carriage return that ends no line.
any_text = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from('\n\t,;|"\u2028\ufeff\u0085'), max_size=12
).filter(lambda text: bool(text.strip()) and not text.startswith("\ufeff"))
words = st.text(st.characters(categories=["L", "Nd"], max_codepoint=0x2FFF), min_size=1, max_size=6)


def is_a_class(label: str) -> bool:
    return label not in ("nan", "NaN")


def read(path: Path) -> tuple[list[str], list[str | None]]:
    rows = read_rows(path, "text", {"b": "label"})
    return rows.texts, list(rows.labels["b"])


def separated(
    texts: Sequence[str], labels: Sequence[str], separator: str = ",", quoting: Any = csv.QUOTE_MINIMAL, end: str = "\n"
) -> str:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=separator, quoting=quoting, lineterminator=end)
    writer.writerow(["text", "label", "note"])
    writer.writerows((text, label, "") for text, label in zip(texts, labels, strict=True))
    return file.getvalue()


def packed(data: bytes, path: Path, *, zipped: bool) -> Path:
    """The bytes in a file, gzip and so named where asked."""
    place = path.with_name(path.name + ".gz") if zipped else path
    place.write_bytes(gzip.compress(data, mtime=0) if zipped else data)
    return place


encodings = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])


def encoded(text: str, encoding: str) -> bytes:
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    return (mark + text).encode(encoding)


@examples(150)
@given(
    rows=st.lists(st.tuples(any_text, words.filter(is_a_class)), min_size=1, max_size=5),
    separator=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=encodings,
    suffix=st.sampled_from([".csv", ".CSV", ".tsv", ".Tsv"]),
    zipped=st.booleans(),
    declared=st.booleans(),
)
def test_a_table_in_any_dialect_reads_back_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str]],
    separator: str,
    quoting: Any,
    end: str,
    encoding: str,
    suffix: str,
    zipped: bool,
    declared: bool,
) -> None:
    texts, labels = (list(column) for column in zip(*rows, strict=True))
    body = (f"sep={separator}{end}" if declared else "") + separated(texts, labels, separator, quoting, end)
    place = packed(encoded(body, encoding), tmp_path_factory.mktemp("t") / f"rows{suffix}", zipped=zipped)
    assert read(place) == (texts, [label.strip() for label in labels])


@examples(100)
@given(
    rows=st.lists(st.tuples(any_text, words.filter(is_a_class)), min_size=1, max_size=5),
    form=st.sampled_from(["lines", "list", "indented list", "one after another", "columns", "columns of pandas"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    ascii_only=st.booleans(),
    encoding=encodings,
    zipped=st.booleans(),
)
def test_json_in_any_form_reads_back_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str]],
    form: str,
    end: str,
    ascii_only: bool,
    encoding: str,
    zipped: bool,
) -> None:
    texts, labels = (list(column) for column in zip(*rows, strict=True))
    records = [{"text": text, "label": label, "more": [1, {"a": None}]} for text, label in rows]

    def dumped(content: Any, indent: int | None = None) -> str:
        return json.dumps(content, ensure_ascii=ascii_only, indent=indent).replace("\n", end)

    body = {
        "lines": lambda: end.join(map(dumped, records)),
        "list": lambda: dumped(records),
        "indented list": lambda: dumped(records, 2),
        "one after another": lambda: end.join(dumped(record, 2) for record in records),
        "columns": lambda: dumped({"text": texts, "label": labels}),
        "columns of pandas": lambda: dumped(
            {"text": dict(enumerate(texts)), "label": {str(row): label for row, label in enumerate(labels)}}
        ),
    }[form]()
    suffixes = [".json", ".JSON"] if form == "one after another" else [".json", ".jsonl", ".JSONL", ".ndjson"]
    for suffix in suffixes:
        place = packed(encoded(body, encoding), tmp_path_factory.mktemp("t") / f"rows{suffix}", zipped=zipped)
        assert read(place) == (texts, [label.strip() for label in labels])


@examples(100)
@given(texts=st.lists(st.text(st.characters(), min_size=1, max_size=6).filter(str.strip), min_size=1, max_size=4))
def test_what_we_write_we_read_whatever_the_texts_hold(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    place = tmp_path_factory.mktemp("t") / "rows.jsonl"
    write_rows(place, texts, ["a"] * len(texts))
    rows = read_rows(place, "text", {"b": "label"})
    assert len(rows) == len(texts)
    for text, found in zip(texts, rows.texts, strict=True):
        assert found == text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        found.encode("utf-8")


def test_half_a_character_is_replaced_and_told(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(
        '{"text": "whole \\ud83d\\ude00", "label": "a"}\n{"text": "cut \\ud83d", "label": "b"}\n'
    )
    rows = read_rows(tmp_path / "rows.jsonl", "text", {"b": "label"})
    assert rows.texts == ["whole \U0001f600", "cut \ufffd"]
    (remark,) = rows.remarks
    assert "1 texts have half of a character" in remark.evidence
    assert "line 2, row 2" in remark.evidence
    (tmp_path / "labels.json").write_text('[{"text": "a", "label": "x\\ud800"}]')
    with pytest.raises(DataError, match=r"labels.json, row 1: the label is .* half of a character"):
        read_rows(tmp_path / "labels.json", "text", {"b": "label"})


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_a_long_text_is_one_text(tmp_path: Path, suffix: str) -> None:
    text = 'слово, "word"\n' * 20_000
    path = tmp_path / f"rows{suffix}"
    content = json.dumps({"text": text, "label": "a"}) if suffix == ".jsonl" else separated([text], ["a"])
    path.write_text(content, encoding="utf-8", newline="")
    assert read(path) == ([text], ["a"])


def test_excels_own_kinds_of_text_are_read(tmp_path: Path) -> None:
    (tmp_path / "semicolons.csv").write_bytes(b"\xef\xbb\xbf" + separated(TEXTS, LABELS, ";", end="\r\n").encode())
    (tmp_path / "declared.csv").write_bytes(b'"sep=;"\r\n' + separated(TEXTS, LABELS, ";", end="\r\n").encode())
    (tmp_path / "unicode.csv").write_bytes(separated(TEXTS, LABELS, "\t", end="\r\n").encode("utf-16"))
    (tmp_path / "unicode.txt").write_bytes(separated(TEXTS, LABELS, "\t", end="\r\n").encode("utf-16"))
    (tmp_path / "kept.csv").write_bytes(b"sep=,\r\n" + separated(TEXTS, LABELS, ";", end="\r\n").encode() + b"\x1a")
    for name in ("semicolons.csv", "declared.csv", "unicode.csv", "unicode.txt", "kept.csv"):
        assert read(tmp_path / name) == (TEXTS, LABELS)


def test_names_of_columns_choose_the_separator_and_not_what_is_frequent(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text;label\none, two, three;a\nfour, five, six, seven;b\n")
    assert read(tmp_path / "rows.csv") == (["one, two, three", "four, five, six, seven"], ["a", "b"])
    (tmp_path / "rows.tsv").write_text("text,label\none;two;three,a\n")
    assert read(tmp_path / "rows.tsv") == (["one;two;three"], ["a"])


def test_blank_rows_and_blank_cells_of_spreadsheets_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(
        "\n text , label ,,\n\na,x,,\n , ,,\n;;\n".replace(";;", ",,,,,,") + "b,y,,,,\n   \n"
    )
    assert read(tmp_path / "rows.csv") == (["a", "b"], ["x", "y"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"text,label\na,x\n\n\"two\nlines\",y\nshort\n", r"line 6, row 3 ends before the column 'label'.*'short'"),
        ("a.csv", b"text;label\n\na;x;y\n", r"line 3, row 1 has more cells .*text with semicolons in quotes: \"a; b\""),
        ("a.csv", b'text,label\nfine,x\n"open,x\nb,y\n', r"begins on line 3 of the file"),
        ("a.csv", b"sep=;\ntext;label\nok;x\n ;y\n", r"line 4, row 2: the text is ' '"),
        ("a.csv", b"text,label,label\na,x,y\n", "has 2 columns named 'label'; which one is meant"),
        ("a.csv", b"text,text,label\na,b,y\n", "has 2 columns named 'text'"),
        ("a.jsonl", b'{"text": "a", "label": "x", "label": "y"}\n', "line 1 .*has the key 'label' twice"),
        ("a.jsonl", b'{"text": "a", "label": "x"}\r\n\r\n{"text": "b",\r\n', "line 3 of the file is not JSON"),
        ("a.json", b'{"text": "a", "label": "x"}\n{"text": "b" "label"}', "line 2 column 14"),
        ("a.json", b'{"text": ["a"], "label": ["x", "y"]}', "columns of different rows"),
        ("a.json", b"[" * 100_000, "cannot be read as json"),
        ("a.json", b'[{"text": "a", "label": ' + b"9" * 5_000 + b"}]", "cannot be read as json"),
        ("a.csv.gz", CUT_GZIP, "gzip that cannot be unpacked .*fetch or write it again"),
        ("a.csv", "text,label\nпривет как дела,да\n".encode("utf-16-le"), "UTF-16 without a byte order mark"),
        ("a.csv", "text,label\nпривет как дела,да\n".encode("cp1251"), r"byte 11 is 0xef, in line 2\); it may be CP1251"),
        ("a.csv", "text,label\nпривет как дела,да\n".encode("koi8-r"), "it may be KOI8-R"),
        ("a.csv", "text,label\nпривет как дела,да\n".encode("cp866"), "it may be CP866"),
        ("a.csv", "text,label\ncafé au lait,x\n".encode("cp1252"), "it may be CP1252"),
        ("a.csv", b"PK\x03\x04rest", "an Excel or zip file by its content; name it .xlsx"),
        ("a.csv", b"\x89PNG\r\n\x1a\n\x00\x00", "is not UTF-8"),
        ("a.csv", b"\x00\x01\x02\x03\x04", "is no text"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_says_where_and_what_to_do(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_rows(tmp_path / name, "text", {"b": "label"})
    assert str(tmp_path / name) in str(caught.value)
    assert len(str(caught.value)) < 700


def test_text_and_label_are_two_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,x\n")
    with pytest.raises(DataError, match=r"labels of 'b' would both be read from the column 'text'"):
        read_rows(tmp_path / "a.csv", "text", {"b": "text"})


def test_a_nul_is_a_character_of_a_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"text,label\na\x00 long enough text to be one,x\n")
    assert read(tmp_path / "a.csv")[0] == ["a\x00 long enough text to be one"]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_gzip_is_known_by_its_bytes(tmp_path: Path, name: str) -> None:
    """Browsers and servers pack and unpack without renaming."""
    for data in (b"text,label\na,x\n", gzip.compress(b"text,label\na,x\n", mtime=0)):
        (tmp_path / name).write_bytes(data)
        assert read(tmp_path / name) == (["a"], ["x"])


# Typed tables


def workbook(path: Path, rows: Sequence[Sequence[Any]], *more_sheets: str) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(list(row))
    for title in more_sheets:
        book.create_sheet(title)
    book.save(path)


def test_a_workbooks_first_sheet_is_read(tmp_path: Path) -> None:
    workbook(
        tmp_path / "rows.XLSX", [["label", "text"], ["x", "a\nb"], [], [3, "c"], [2.5, "d"], [None, "e"], [True, "f"]]
    )
    assert read(tmp_path / "rows.XLSX") == (["a\nb", "c", "d", "e", "f"], ["x", "3", "2.5", None, "True"])
    workbook(tmp_path / "bad.xlsx", [["label", "text"], ["x", "a"], [], ["y", 5]], "Other")
    with pytest.raises(DataError, match=r"bad.xlsx, line 4, row 2: the text is 5"):
        read_rows(tmp_path / "bad.xlsx", "text", {"b": "label"})
    (tmp_path / "none.xlsx").write_bytes(b"text,label\n")
    with pytest.raises(DataError, match=r"none.xlsx is no Excel workbook"):
        read_rows(tmp_path / "none.xlsx", "text", {"b": "label"})
    workbook(tmp_path / "two.xlsx", [["label", "text"], ["x", "a"]], "Other")
    (remark,) = read_rows(tmp_path / "two.xlsx", "text", {"b": "label"}).remarks
    assert "has 2 sheets; the first, 'Sheet', was read" in remark.evidence


def parquet(path: Path, labels: list[Any], **more: Any) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    module = pytest.importorskip("pyarrow.parquet")
    module.write_table(pyarrow.table({"text": [f"t{n}" for n in range(len(labels))], "label": labels}, **more), path)


def test_parquet_has_the_class_names_that_datasets_wrote_into_it(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["ham", "spam", "-1"])}
    )
    content = {"text": ["a", "b", "c", "d", "e"], "label": [1, 0, -1, None, 2]}
    made = datasets.Dataset.from_dict(content, features=features)
    made.to_parquet(str(tmp_path / "rows.parquet"))
    made.save_to_disk(str(tmp_path / "saved"))
    for place in (tmp_path / "rows.parquet", tmp_path / "saved"):
        assert read(place) == (content["text"], ["spam", "ham", None, None, "-1"])


def test_a_class_number_without_a_name_is_an_error(tmp_path: Path) -> None:
    metadata = {"huggingface": json.dumps({"info": {"features": {"label": {"names": ["a"], "_type": "ClassLabel"}}}})}
    parquet(tmp_path / "rows.parquet", [0, 7], metadata=metadata)
    with pytest.raises(DataError, match=r"row 2: the label is the class number 7 and the column has 1 classes"):
        read_rows(tmp_path / "rows.parquet", "text", {"b": "label"})


@pytest.mark.parametrize(
    "metadata", ["no json", "[]", '{"info": {"features": [1]}}', '{"info": {"features": {"label": 1}}}']
)
def test_metadata_of_somebody_else_is_passed_over(tmp_path: Path, metadata: str) -> None:
    parquet(tmp_path / "rows.parquet", [0, 1], metadata={"huggingface": metadata})
    assert read(tmp_path / "rows.parquet")[1] == ["0", "1"]


# Labels


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        ([0, 1, -1], ["0", "1", None]),
        ([3.0, 1.0, math.nan, -1.0], ["3", "1", None, None]),
        ([0.5, 1.0], ["0.5", "1"]),
        ([True, False, None], ["True", "False", None]),
        (["-1", " a ", "", "  "], ["-1", "a", None, None]),
        ([10**30, 1], [str(10**30), "1"]),
    ],
)
def test_what_a_json_cell_means_as_a_label(tmp_path: Path, cells: list[Any], labels: list[str | None]) -> None:
    records = [{"text": "a", "label": cell} for cell in cells]
    (tmp_path / "rows.json").write_text(json.dumps(records))
    rows = read_rows(tmp_path / "rows.json", "text", {"b": "label"})
    assert rows.labels["b"] == labels
    assert any("-1" in remark.evidence for remark in rows.remarks) == any(cell == -1 for cell in cells)


def test_parquets_decimals_and_floats_are_numbers(tmp_path: Path) -> None:
    parquet(tmp_path / "decimals.parquet", [Decimal("3.00"), Decimal("-1.00"), None, Decimal("2.50")])
    assert read(tmp_path / "decimals.parquet")[1] == ["3", None, None, "2.50"]
    parquet(tmp_path / "floats.parquet", [1.0, float("nan"), None, 2.0])
    assert read(tmp_path / "floats.parquet")[1] == ["1", None, None, "2"]


@pytest.mark.parametrize(
    ("cell", "kind"),
    [(["x", "y"], "a list"), ({"a": 1}, "an object"), (math.inf, "no finite number"), ([], "a list")],
)
def test_what_is_no_label_is_refused_with_its_row(tmp_path: Path, cell: Any, kind: str) -> None:
    lines = [json.dumps({"text": "a", "label": value}) for value in ("x", cell)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    with pytest.raises(DataError, match=rf"rows.jsonl, line 2, row 2: the label is .*{kind}"):
        read_rows(tmp_path / "rows.jsonl", "text", {"b": "label"})


@pytest.mark.parametrize(
    ("cells", "labels", "told"),
    [
        (["0", "-1", "1"], ["0", None, "1"], ["the number -1"]),
        (["good", "-1", "bad"], ["good", "-1", "bad"], []),
        (["nan", "x", "NaN"], [None, "x", None], ['"nan"']),
        (["3.0", "1.10"], ["3.0", "1.10"], []),  # versions, perhaps: text is not rewritten
        (["3.0", "", "1", "-1.0"], ["3", None, "1", None], ["-1.0 is read as -1", "the number -1"]),
        (["007", "7"], ["007", "7"], []),
        (["None", "NA"], ["None", "NA"], []),
    ],
)
def test_what_a_csv_cell_means_as_a_label(
    tmp_path: Path, cells: list[str], labels: list[str | None], told: list[str]
) -> None:
    (tmp_path / "rows.csv").write_text(separated(["a"] * len(cells), cells))
    rows = read_rows(tmp_path / "rows.csv", "text", {"b": "label"})
    assert rows.labels["b"] == labels
    assert len(rows.remarks) == len(told)
    for words_told, remark in zip(told, rows.remarks, strict=True):
        assert words_told in remark.evidence


# Texts to answer


def test_texts_come_from_lines_or_from_a_tables_column(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_bytes("\ufeffодин\r\n\r\n  \rдва\u2028три\n".encode("utf-16-le"))
    assert read_texts(tmp_path / "lines.txt", "text").texts == ["один", "два\u2028три"]
    (tmp_path / "rows.csv").write_text("label;body\nx;a\n")
    assert read_texts(tmp_path / "rows.csv", "body").texts == ["a"]
    with pytest.raises(DataError, match="no column 'text'"):
        read_texts(tmp_path / "rows.csv", "text")
    with pytest.raises(DataError, match="no file at"):
        read_texts(tmp_path / "absent.txt", "text")
    with pytest.raises(DataError, match="standard input holds no text"):
        texts_by_line(" \n\r\n", "standard input")
    assert texts_by_line("a\n", "standard input") == Rows(["a"], {})
