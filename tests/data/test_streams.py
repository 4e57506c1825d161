"""Tables of any length: read row after row as the whole is read, and written again with nothing lost and more beside it."""

import csv
import datetime
import gc
import gzip
import io
import json
import tracemalloc
import weakref
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from interconnected_ai.data import RowPiece, RowStream, open_rows, read_texts, write_stream
from interconnected_ai.data.streams import rows as pieces_of_rows
from interconnected_ai.errors import DataError, StorageError

TEXTS = ["Where is my card?", "привет, мир; и «все»", 'she said "hi"', "two\nlines", "银行 | 卡", "a\ttab", "=1+1"]
ADDED = {"b_label": "text", "b_confidence": "number", "b_unknown": "flag"}


def answered(path: Path, out: Path, text: str = "text") -> Path:
    """The file with the same answer beside every row."""
    stream = open_rows(str(path), text)
    with write_stream(out, stream, ADDED) as write:
        for piece in stream.pieces():
            write(piece, [["x, y" if each else None, 0.5 if each else None, not each] for each in piece.texts])
    return out


def written(path: Path, encoding: str = "utf-8", **form: Any) -> list[dict[str, str]]:
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.name.endswith(".gz") else content).decode(encoding)
    return list(csv.DictReader(io.StringIO(text, newline=""), **form))


def comma_separated(path: Path, texts: list[str] = TEXTS, **form: Any) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, **form)
        writer.writerow(["id", "text", "note"])
        writer.writerows((f"00{number}", text, "é") for number, text in enumerate(texts))
    return path


def test_every_cell_of_csv_stays_and_the_answers_come_after_it(tmp_path: Path) -> None:
    out = answered(comma_separated(tmp_path / "in.csv"), tmp_path / "out.csv")
    assert written(out) == [
        {"id": f"00{n}", "text": text, "note": "é", "b_label": "x, y", "b_confidence": "0.5", "b_unknown": "false"}
        for n, text in enumerate(TEXTS)
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize(("separator", "end"), [(";", "\r\n"), ("|", "\n"), ("\t", "\r")])
@pytest.mark.parametrize("begin", ["", "sep={}"])
def test_csv_keeps_its_separator_encoding_mark_and_line_ends(
    tmp_path: Path, encoding: str, separator: str, end: str, begin: str
) -> None:
    first = begin.format(separator) + end if begin else ""
    lines = [first, f"id{separator}text{end}", f'1{separator}"a, b"{end}', f"2{separator}ж{end}"]
    (tmp_path / "in.csv").write_bytes("".join(lines).encode(encoding))
    out = answered(tmp_path / "in.csv", tmp_path / "out.csv").read_bytes().decode(encoding)
    label = '"x, y"' if separator == "," else "x, y"
    more = separator.join(["", label, "0.5", "false"])
    expected = [first, f"id{separator}text{separator}{separator.join(ADDED)}{end}", f"1{separator}a, b{more}{end}"]
    assert out == "".join([*expected, f"2{separator}ж{more}{end}"])


def test_gzip_is_read_by_its_bytes_and_written_by_the_suffix(tmp_path: Path) -> None:
    plain = comma_separated(tmp_path / "in.csv")
    (tmp_path / "packed.csv").write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
    assert written(answered(tmp_path / "packed.csv", tmp_path / "out.csv.gz")) == written(
        answered(plain, tmp_path / "out.csv")
    )


def test_objects_keep_their_values_and_lack_the_keys_they_lacked(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"text": "one", "n": 1, "deep": {"a": [1, None]}, "big": 10**30},
        {"id": "x", "text": "zwei ё", "n": 0.1, "ok": True},
        {"text": "half \ud83d", "n": None},
    ]
    (tmp_path / "in.jsonl").write_text("\n\n".join(map(json.dumps, rows)), encoding="utf-8")
    out = answered(tmp_path / "in.jsonl", tmp_path / "out.ndjson").read_text(encoding="utf-8")
    more = {"b_label": "x, y", "b_confidence": 0.5, "b_unknown": False}
    assert [json.loads(line) for line in out.splitlines()] == [{**row, **more} for row in rows]
    again = answered(tmp_path / "in.jsonl", tmp_path / "out.json").read_text(encoding="utf-8")
    assert json.loads(again) == [{**row, **more} for row in rows]


@pytest.mark.parametrize(
    "content",
    ['[{"text": "a", "n": 1}, {"text": "b"}]', '{"text": ["a", "b"], "n": [1, 2]}', '{"text": "a"}\n{"text":\n"b"}'],
    ids=["list", "columns", "one after another"],
)
def test_json_is_read_in_all_its_forms(tmp_path: Path, content: str) -> None:
    (tmp_path / "in.json").write_text(content, encoding="utf-8")
    found = json.loads(answered(tmp_path / "in.json", tmp_path / "out.json").read_text(encoding="utf-8"))
    assert [row["text"] for row in found] == ["a", "b"]


def parquet(path: Path) -> pa.Table:
    day = datetime.datetime(2026, 3, 1, 10, tzinfo=datetime.UTC)
    table = pa.table(
        {
            "text": pa.array(["a", None, "c"]),
            "when": pa.array([day, None, day], pa.timestamp("ns", "UTC")),
            "price": pa.array([Decimal("1.10"), None, Decimal("2.00")]),
            "tags": pa.array([["x"], [], None]),
            "kind": pa.array(["p", "q", "p"]).dictionary_encode(),
            "raw": pa.array([b"\x00\xff", b"ok", None]),
        }
    )
    features = {"info": {"features": {"text": {"dtype": "string", "_type": "Value"}}}}
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(features)}), path)
    return table


def test_parquet_keeps_its_types_to_the_last(tmp_path: Path) -> None:
    before = parquet(tmp_path / "in.parquet")
    after = pq.read_table(answered(tmp_path / "in.parquet", tmp_path / "out.parquet"))
    assert after.select(before.column_names).equals(before)
    assert after.schema.field("b_confidence").type == pa.float64()
    assert after.select(list(ADDED)).to_pylist() == [
        {"b_label": "x, y", "b_confidence": 0.5, "b_unknown": False},
        {"b_label": None, "b_confidence": None, "b_unknown": True},
        {"b_label": "x, y", "b_confidence": 0.5, "b_unknown": False},
    ]
    said = json.loads(after.schema.metadata[b"huggingface"])["info"]["features"]
    assert said.keys() == {"text", *ADDED}, "what `datasets` reads there names the new columns too"


def test_parquet_without_texts_in_the_column_is_refused_before_it_is_read(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": pa.array(["a", "b"]).dictionary_encode(), "n": [1, 2]}), tmp_path / "in.parquet")
    assert [piece.texts for piece in open_rows(str(tmp_path / "in.parquet")).pieces()] == [["a", "b"]]
    with pytest.raises(DataError, match="'n' holds int64"):
        open_rows(str(tmp_path / "in.parquet"), "n")


def test_parquet_becomes_csv_and_json(tmp_path: Path) -> None:
    parquet(tmp_path / "in.parquet")
    first, second, _ = written(answered(tmp_path / "in.parquet", tmp_path / "out.csv"))
    assert first["when"].startswith("2026-03-01 10:00:00")
    assert (first["price"], first["tags"], first["kind"], first["raw"]) == (
        "1.10",
        '["x"]',
        "p",
        "\x00\\xff",
    )
    assert (second["text"], second["b_label"], second["b_unknown"]) == ("", "", "true")
    lines = answered(tmp_path / "in.parquet", tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[1])["text"] is None
    assert json.loads(lines[0])["tags"] == ["x"]


def test_objects_become_parquet_with_one_type_a_column(tmp_path: Path) -> None:
    rows = [{"text": "a", "n": 1, "f": 1, "s": 1, "o": {"k": 1}, "t": True}, {"text": "b", "f": 0.5, "s": "x", "n": 2}]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    table = pq.read_table(answered(tmp_path / "in.jsonl", tmp_path / "out.parquet"))
    types = {name: str(table.schema.field(name).type) for name in "nfsot"}
    assert types == {"n": "int64", "f": "double", "s": "string", "o": "string", "t": "bool"}
    assert table.select(list("nfsot")).to_pylist() == [
        {"n": 1, "f": 1.0, "s": "1", "o": '{"k": 1}', "t": True},
        {"n": 2, "f": 0.5, "s": "x", "o": None, "t": None},
    ]
    csv_table = pq.read_table(answered(comma_separated(tmp_path / "in.csv"), tmp_path / "from_csv.parquet"))
    assert csv_table.column("id").to_pylist()[0] == "000", "separated values know text alone"


def test_a_workbook_is_read_and_becomes_csv_that_excel_reads(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["id", "text"], [None, None], [1, "ж"], [2, None]):
        book.active.append(row)
    book.save(tmp_path / "in.xlsx")
    out = answered(tmp_path / "in.xlsx", tmp_path / "out.csv")
    assert out.read_bytes().startswith(b"\xef\xbb\xbf")
    assert [(row["id"], row["text"], row["b_unknown"]) for row in written(out, "utf-8-sig")] == [
        ("1", "ж", "false"), ("2", "", "true"),
    ]  # fmt: skip
    book.active.append([3, "a", "beside the header"])
    book.save(tmp_path / "in.xlsx")
    with pytest.raises(DataError, match=r"line 5, row 3 has more cells"):
        open_rows(str(tmp_path / "in.xlsx"))


def test_a_file_that_is_no_table_has_a_text_a_line(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(b"one\r\n\r\nzwei\n")
    out = written(answered(tmp_path / "in.txt", tmp_path / "out.csv"))
    assert [row["text"] for row in out] == ["one", "zwei"] == read_texts(tmp_path / "in.txt", "text").texts


def test_a_dataset_folder_is_read_too(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"text": ["a", "b"], "n": [1, 2]}).save_to_disk(tmp_path / "saved")
    assert [row["n"] for row in written(answered(tmp_path / "saved", tmp_path / "out.csv"))] == ["1", "2"]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "txt", "parquet"])
def test_however_long_a_file_is_few_rows_are_held(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"text number {number}" for number in range(10_000)]
    path = tmp_path / f"in.{suffix}"
    if suffix == "csv":
        comma_separated(path, texts)
    elif suffix == "parquet":
        pq.write_table(pa.table({"text": texts}), path)
    else:
        path.write_text("".join(t + "\n" if suffix == "txt" else json.dumps({"text": t}) + "\n" for t in texts))
    stream = open_rows(str(path))
    held: list[weakref.ref[RowPiece]] = []
    gc.collect()
    gc.freeze()  # what other tests have made need not be walked through for every piece
    with write_stream(tmp_path / "out.jsonl", stream, ADDED) as write:
        for piece in stream.pieces():
            held.append(weakref.ref(piece))
            write(piece, [["x", 0.5, False]] * len(piece))
            gc.collect()
            alive = [each() for each in held if each() is not None]
            assert sum(len(each) for each in alive if each is not None) <= 2 * pieces_of_rows.MOST_ROWS
            del alive, piece
    assert len(held) >= 10_000 / pieces_of_rows.MOST_ROWS
    assert stream.num_rows == 10_000
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 10_000


def test_a_file_of_some_megabytes_is_never_in_memory_whole(tmp_path: Path) -> None:
    path = tmp_path / "in.csv.gz"
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        file.write("text,other\n")
        file.writelines(f"{number} {'слово ' * 300},{'x' * 1000}\n" for number in range(6_000))  # 28 MB
    tracemalloc.start()
    try:
        stream = open_rows(str(path))
        with write_stream(tmp_path / "out.csv.gz", stream, ADDED) as write:
            for piece in stream.pieces():
                write(piece, [["x", 0.5, False]] * len(piece))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 14e6


def test_long_texts_make_small_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces_of_rows, "MOST_CHARACTERS", 100)
    stream = open_rows(str(comma_separated(tmp_path / "in.csv", ["x" * 60] * 7)))
    assert [len(piece) for piece in stream.pieces()] == [2, 2, 2, 1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.csv", "text,n\n" + "a,1\n" * 2000 + "b,1,2\n", "line 2002, row 2001 has more cells"),
        ("in.csv", "n,text\n1,a\n2\n", "ends before the column 'text'"),
        ("in.csv", "texts\na\n", "no column 'text'"),
        ("in.csv", "text,a,a\nx,1,2\n", "2 columns named 'a'"),
        ("in.csv", "text\n", "no rows"),
        ("in.csv", 'text\n"a\n', "begins on line 2"),
        ("in.jsonl", '{"text": "a"}\n{"text": 5}\n', "line 2"),
        ("in.jsonl", '{"text": "a"}\n{"text": \n', "line 2"),
        ("in.jsonl", '{"text": "a"}\n[1]\n', "a list"),
        ("in.jsonl", '{"text": "a", "text": "b"}\n', "twice"),
        ("in.parquet", "PAR1 nothing", "not a Parquet file"),
        ("in.xlsx", "nothing", "no Excel workbook"),
    ],
)  # fmt: skip
def test_what_is_wrong_far_down_is_told_before_anything_is_computed(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        open_rows(str(tmp_path / name))


def test_an_encoding_that_is_none_is_named_wherever_it_begins(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(b"text\n" + b"plain\n" * 10_000 + "Привет, где моя карта?\n".encode("cp1251"))
    with pytest.raises(DataError, match="CP1251"):
        open_rows(str(tmp_path / "in.csv"))
    cut = gzip.compress(b"text\n" + b"plain\n" * 99, mtime=0)[:-9]
    (tmp_path / "in.csv").write_bytes(cut)
    with pytest.raises(DataError, match="gzip that cannot be unpacked"):
        open_rows(str(tmp_path / "in.csv"))


def test_a_file_of_another_kind_or_with_such_columns_is_refused_and_nothing_written(tmp_path: Path) -> None:
    stream = open_rows(str(comma_separated(tmp_path / "in.csv")))
    for name in ("out.xlsx", "out.txt", "out", "out.parquet.gz"):
        with pytest.raises(DataError, match="rows are written as"), write_stream(tmp_path / name, stream, ADDED):
            pass
    with (
        pytest.raises(DataError, match=r"column 'note' already.*prefix"),
        write_stream(tmp_path / "out.csv", stream, {"note": "text"}),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_an_error_on_the_way_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("old")
    stream = open_rows(str(comma_separated(tmp_path / "in.csv")))

    def halves() -> Iterator[RowPiece]:
        yield from stream.pieces()
        raise RuntimeError("in the midst")

    broken = RowStream(stream.path, stream.columns, None, halves, stream.form)

    def copy(out: Path) -> None:
        with write_stream(out, broken, ADDED) as write:
            for piece in broken.pieces():
                write(piece, [["x", 0.5, False]] * len(piece))

    with pytest.raises(RuntimeError, match="midst"):
        copy(tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"in.csv", "out.csv"}
    with pytest.raises(StorageError):
        copy(tmp_path / "in.csv" / "out.csv")
