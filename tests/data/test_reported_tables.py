"""Tables that were reported to other tools: each is read, or refused with its place and a remedy."""

import gzip
import json
import sys
from pathlib import Path

import pytest

from interconnected_ai.data import Rows, read_rows, remarks_on
from interconnected_ai.errors import DataError, MissingExtraError

GITHUB = "https://github.com/"


def read(folder: Path, name: str, content: bytes, text: str = "text", label: str = "label") -> Rows:
    (folder / name).write_bytes(content)
    return read_rows(folder / name, text, {"b": label})


@pytest.mark.parametrize(
    ("report", "name", "content", "labels"),
    [
        ("UKGovernmentBEIS/inspect_ai/issues/5353", "a.csv", b"\xef\xbb\xbftext,label\r\na,x\r\n", ["x"]),
        ("Unstructured-IO/unstructured/issues/4443", "a.csv", "text,label\na,x\nb,y\n".encode("utf-16"), ["x", "y"]),
        ("holoviz/lumen/issues/1355", "a.csv", b"note;text;label\n;a, b;x\n;c;y\n", ["x", "y"]),
        ("tidyverse/readr/issues/80", "a.txt", b'"text";"label"\n"a";"x"\n', ["x"]),
        ("huggingface/datasets/issues/6851", "a.jsonl", gzip.compress(b'{"text": "a", "label": "x"}\n', mtime=0), ["x"]),
        ("biolab/orange3/issues/2404", "a.csv", b"text,label\n" + b"word " * 40_000 + b",x\n", ["x"]),
        ("huggingface/setfit/issues/296", "a.csv", b"text,label\na,close\nb,\nc,open\n", ["close", None, "open"]),
        ("pandas-dev/pandas/issues/55032", "a.csv", b"text,label\na,NA\nb,EU\n", ["NA", "EU"]),
        ("pandas-dev/pandas/issues/32084", "a.csv", b"text,label\na,null\nb,set\n", ["null", "set"]),
        ("ludwig-ai/ludwig/issues/323", "a.csv", b"text,label\na,FALSE\nb,TRUE\n", ["FALSE", "TRUE"]),
        ("ludwig-ai/ludwig/pull/1517", "a.csv", b"text,label\na,1.0\nb,0.0\n", ["1", "0"]),
        ("ThilinaRajapakse/simpletransformers/issues/127", "a.csv", b"text,label\n1234,x\n5.0,y\n", ["x", "y"]),
        ("facebookresearch/fastText/issues/1118", "a.csv", b"text,label\na,no card\nb,fee\n", ["no card", "fee"]),
    ],
)  # fmt: skip
def test_a_reported_table_is_read(
    tmp_path: Path, report: str, name: str, content: bytes, labels: list[str | None]
) -> None:
    assert read(tmp_path, name, content).labels["b"] == labels, GITHUB + report


@pytest.mark.parametrize(
    ("report", "name", "content", "message"),
    [
        (
            "huggingface/autotrain-advanced/issues/121", "a.csv",
            b"text,label\n--\n2 | I fix it told you that,fixed\n", "line 2, row 1 ends before the column 'label'",
        ),
        (
            "ThilinaRajapakse/simpletransformers/issues/127", "a.csv", b"text,label\na,x\n,y\n",
            "line 3, row 2: the text is ''",
        ),
        (
            "huggingface/setfit/issues/191", "a.jsonl", b'{"text": "a", "label": [1, 0, 0]}\n',
            r"line 1, row 1: the label is \[1, 0, 0\], a list; .*a column and a branch of its own",
        ),
        (
            "explosion/spaCy/issues/11757", "a.jsonl", b'{"text": "a", "label": {"neg": 0, "pos": 1}}\n',
            "the label is .*, an object",
        ),
        (
            "huggingface/setfit/issues/226", "a.csv", b"sentence,label\na,x\n",
            "no column 'text'; its columns, nearest first: 'sentence', 'label'|'label', 'sentence'",
        ),
        (
            "Meaningful-Data/vtlengine/issues/1070", "a.csv", "text,label\ndéjà vu,x\n".encode("latin-1"),
            "line 2.*it may be CP1252",
        ),
    ],
)  # fmt: skip
def test_a_reported_table_is_refused_with_its_place_and_a_remedy(
    tmp_path: Path, report: str, name: str, content: bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        pytest.fail(f"{GITHUB}{report}: {read(tmp_path, name, content)}")


def test_classes_that_look_like_nothing_are_kept_and_told(tmp_path: Path) -> None:
    """https://github.com/pandas-dev/pandas/issues/61788: a class None is not nothing, and may be."""
    rows = read(tmp_path, "a.csv", b"text,label\na,None\nb,Cone\n")
    (remark,) = remarks_on(rows)
    assert rows.labels["b"] == ["None", "Cone"]
    assert "'b' has the class 'None' (1 rows)" in remark.evidence


def test_without_openpyxl_a_workbook_is_refused_with_two_remedies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(MissingExtraError, match=r"save it as CSV UTF-8.*interconnected-ai\[excel\]"):
        read(tmp_path, "a.xlsx", json.dumps({}).encode())
