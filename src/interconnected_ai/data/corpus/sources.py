"""Where text comes from, read piece by piece: nothing here holds more than one piece of a file in memory.

A source is a text file, JSONL, CSV, TSV or Parquet, a folder of these, `hf:NAME[:CONFIG][#SPLIT]`, `docs:LIBRARY`, or
documents that are in memory already. Reading is strict: what cannot be read is an error that says where, and what is
passed over is counted."""

import codecs
import csv
import hashlib
import json
import os
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

from interconnected_ai.data.corpus.documents import Document
from interconnected_ai.data.tables import allow_long_cells, open_dataset, separator_of
from interconnected_ai.errors import DataError, nearest_first
from interconnected_ai.extras import require
from interconnected_ai.storage import sha256_of

Unit = Literal["file", "paragraph", "line"]

# Prose and programs; a file without an ending (LICENSE, README) is read as text when it is named itself.
TEXT_SUFFIXES = tuple(
    ".txt .md .markdown .rst .tex .org .adoc .py .pyi .c .h .cc .cpp .hpp .cu .rs .go .java .js .ts .rb .sh .sql .r .jl".split()
)
TABLE_SUFFIXES = (".jsonl", ".csv", ".tsv", ".parquet")

PIECE_CHARACTERS = 4_096  # a long file is cut into pieces of about this size, at the end of a paragraph
_BLOCK_BYTES = 1 << 16
_ROWS_AT_ONCE = 1_024
_LINES_OF_A_HEADER = 20  # looked at for the separator


@dataclass(frozen=True)
class Reading:
    """How sources are read. text: column or key of the text. unit: what is one document of a text file."""

    text: str = "text"
    unit: Unit = "file"


class Source(ABC):
    """A place that documents come from, the same ones in the same order whenever it is asked."""

    name: str

    @abstractmethod
    def documents(self) -> Iterator[Document]:
        """The documents, one after another. Raises `DataError` for what cannot be read."""

    @abstractmethod
    def sha256(self) -> str:
        """Of the content, whatever place it stands at."""

    def left_out(self) -> Mapping[str, int]:
        """What is never opened, and how many of it: {"unknown ending .png": 3}."""
        return {}


class FileSource(Source):
    """One file."""

    def __init__(self, path: Path, reading: Reading) -> None:
        self.path, self.reading, self.name = path, reading, str(path)
        if not path.is_file():
            raise DataError(f"no file or folder at {path}; check the path")
        if path.suffix.lower() not in ("", *TEXT_SUFFIXES, *TABLE_SUFFIXES):
            raise DataError(
                f"{path}: unknown ending {path.suffix!r}; read are tables ({' '.join(TABLE_SUFFIXES)}) and text "
                f"({' '.join(TEXT_SUFFIXES)}), folders of them, hf:NAME[:CONFIG][#SPLIT] and docs:LIBRARY"
            )

    def documents(self) -> Iterator[Document]:
        """Its pieces or rows."""
        read = _TABLES.get(self.path.suffix.lower(), _text_documents)
        return read(self.path, self.reading)

    def sha256(self) -> str:
        """Of its bytes."""
        return sha256_of(self.path)


class FolderSource(Source):
    """All readable files in a folder and the folders within, in the order of their paths; hidden ones are left alone."""

    def __init__(self, folder: Path, reading: Reading) -> None:
        self.folder, self.name = folder, str(folder)
        known, self._unknown = [], Counter[str]()
        for path in _files_within(folder):
            if path.suffix.lower() in (*TEXT_SUFFIXES, *TABLE_SUFFIXES):
                known.append(FileSource(path, reading))
            else:
                self._unknown[f"ending {path.suffix.lower()}" if path.suffix else "no ending"] += 1
        if not known:
            raise DataError(
                f"the folder {folder} holds no file that can be read; known endings: "
                f"{' '.join((*TEXT_SUFFIXES, *TABLE_SUFFIXES))}"
            )
        self.files = known

    def documents(self) -> Iterator[Document]:
        """Those of every file."""
        for file in self.files:
            yield from file.documents()

    def sha256(self) -> str:
        """Of the files' paths within the folder and their bytes."""
        return _sha256_of_parts(f"{one.path.relative_to(self.folder).as_posix()} {one.sha256()}" for one in self.files)

    def left_out(self) -> Mapping[str, int]:
        """Files of unknown endings."""
        return self._unknown


class DatasetSource(Source):
    """A Hugging Face dataset, on the hub (`hf:…`) or written by `save_to_disk`; rows are read from its mapped file."""

    def __init__(self, name: str, reading: Reading) -> None:
        self.name, self.reading = name, reading
        self._dataset = open_dataset(name)
        _require_column(name, reading.text, self._dataset.column_names)

    def documents(self) -> Iterator[Document]:
        """One for each row."""
        rows = self._dataset.select_columns([self.reading.text]).iter(batch_size=_ROWS_AT_ONCE)
        values = (value for batch in rows for value in batch[self.reading.text])
        return (_document_of(self.name, number, value) for number, value in enumerate(values, start=1))

    def sha256(self) -> str:
        """Of its texts."""
        return _sha256_of_parts(document.text for document in self.documents())


class MemorySource(Source):
    """Documents that are in memory already."""

    def __init__(self, name: str, documents: Iterable[Document | str]) -> None:
        self.name = name
        self._documents = [
            one if isinstance(one, Document) else _document_of(name, number, one, "text")
            for number, one in enumerate(documents, start=1)
        ]

    def documents(self) -> Iterator[Document]:
        """As they were given."""
        return iter(self._documents)

    def sha256(self) -> str:
        """Of the texts, and where one goes on in the next."""
        return _sha256_of_parts(f"{one.continues} {one.text}" for one in self._documents)


def open_source(given: str | Path | Source, reading: Reading, *, relative_to: Path | None = None) -> Source:
    """The source that a path, `hf:…` or `docs:…` names. Raises `DataError` where there is none."""
    if isinstance(given, Source):
        return given
    name = str(given)
    if name.startswith("hf:"):
        return DatasetSource(name, reading)
    if name.startswith("docs:"):
        from interconnected_ai.data.harvest.documentation import (
            documentation,  # it imports what it reads: PyTorch, NumPy
        )

        return MemorySource(name, documentation(name.removeprefix("docs:")))
    path = (relative_to or Path()) / Path(name).expanduser()
    if not path.is_dir():
        return FileSource(path, reading)
    if (path / "dataset_dict.json").is_file() or (path / "dataset_info.json").is_file():
        return DatasetSource(str(path), reading)
    return FolderSource(path, reading)


def _files_within(folder: Path) -> list[Path]:
    found = []
    for place, folders, files in os.walk(folder):  # does not follow links to folders, which may lead in circles
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in files if not name.startswith(".")]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _sha256_of_parts(parts: Iterable[str]) -> str:
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        whole.update(len(data).to_bytes(8, "little") + data)
    return whole.hexdigest()


# --- text files -----------------------------------------------------------------------------------------------------

_PARAGRAPH_ENDS = re.compile(r"\n[ \t]*\n\s*")


def _text_documents(file: Path, reading: Reading) -> Iterator[Document]:
    if reading.unit == "file":
        for number, piece in enumerate(_pieces(_decoded(file)), start=1):
            yield Document(piece, f"{file}#{number}" if number > 1 else str(file), continues=number > 1)
    else:
        ends = re.compile("\n") if reading.unit == "line" else _PARAGRAPH_ENDS
        for number, text in enumerate(_between(ends, _decoded(file)), start=1):
            yield Document(text, f"{file}, {reading.unit} {number}")


def _decoded(file: Path) -> Iterator[str]:
    """A file's text in blocks, with \\n as line ends. Raises `DataError` with the place of the first byte that is no UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    place, carried = 0, ""
    with file.open("rb") as blocks:
        while True:
            block = blocks.read(_BLOCK_BYTES)
            try:
                text = carried + decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                raise _not_utf8(file, place + len(block), error) from error
            place += len(block)
            carried = "\r" if text.endswith("\r") and block else ""  # its \n may open the next block
            yield text.removesuffix(carried).replace("\r\n", "\n")
            if not block:
                return


def _not_utf8(file: Path, end: int, error: UnicodeDecodeError) -> DataError:
    """The error that names the byte. end: the place where what was decoded ends; its beginning may have been a BOM."""
    place, byte = end - len(error.object) + error.start, error.object[error.start]
    return DataError(
        f"{file} is not UTF-8: byte {place} is 0x{byte:02x}; convert it, for instance with: "
        f"iconv -f CP1251 -t UTF-8 {file.name} > utf8-{file.name}"
    )


def _pieces(blocks: Iterable[str]) -> Iterator[str]:
    """The text in pieces of about `PIECE_CHARACTERS`, cut behind a paragraph, else a line, else anywhere."""
    waiting = ""
    for block in blocks:
        waiting += block
        while len(waiting) > 2 * PIECE_CHARACTERS:
            ends = [end.end() for end in _PARAGRAPH_ENDS.finditer(waiting, 0, 2 * PIECE_CHARACTERS)]
            ends = ends or [waiting.rfind("\n", 1, 2 * PIECE_CHARACTERS) + 1 or 2 * PIECE_CHARACTERS]
            cut = min(ends, key=lambda end: abs(end - PIECE_CHARACTERS))
            yield waiting[:cut]
            waiting = waiting[cut:]
    yield waiting


def _between(ends: re.Pattern[str], blocks: Iterable[str]) -> Iterator[str]:
    """What stands between the ends, such as lines; blank ones are no documents of their own."""
    # Each block is searched once. An end is white space, so it may go on in the next block only where this one ends in some.
    held: list[str] = []  # of the text that has not ended yet
    spaces: list[str] = []
    for block in blocks:
        body = block.rstrip()
        if not body:
            spaces.append(block)
            continue
        first, *more = ends.split("".join([*spaces, body]))
        spaces = [block[len(body) :]]
        held.append(first)
        if more:
            whole = ["".join(held), *more[:-1]]
            held = [more[-1]]
            yield from (text.strip("\n") for text in whole if text.strip())
    first, *_ = ends.split("".join(spaces))  # nothing but white space stands behind its first end
    last = "".join([*held, first])
    if last.strip():
        yield last.strip("\n")


# --- tables ---------------------------------------------------------------------------------------------------------


def _jsonl_documents(file: Path, reading: Reading) -> Iterator[Document]:
    with file.open("rb") as lines:
        place = 0
        for number, line in enumerate(lines, start=1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                record = json.loads(text) if text.strip() else None
            except UnicodeDecodeError as error:
                raise _not_utf8(file, place + len(line), error) from error
            except (ValueError, RecursionError) as error:  # a JSONDecodeError, or a number of thousands of digits
                told = (
                    f"{error.msg}, at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else error
                )
                raise DataError(
                    f"{file}, line {number} is not JSON: {told}; a JSONL file has one object a line"
                ) from error
            place += len(line)
            if text.strip():
                yield _document_of(file, number, _value_of(file, number, record, reading.text), "line")


def _value_of(file: Path, number: int, record: object, column: str) -> object:
    if not isinstance(record, dict):
        raise DataError(
            f'{file}, line {number} holds a {type(record).__name__}; needs an object such as {{"{column}": …}}'
        )
    if column not in record:
        _require_column(f"{file}, line {number},", column, record)
    return record[column]


def _separated_documents(file: Path, reading: Reading) -> Iterator[Document]:
    allow_long_cells()
    lines = _lines(_decoded(file))
    start = list(islice(lines, _LINES_OF_A_HEADER))
    separator, begin = separator_of("".join(start), file.suffix.lower(), [reading.text])
    reader = csv.DictReader(chain(start[1 if begin else 0 :], lines), delimiter=separator, strict=True)
    try:
        _require_column(file, reading.text, reader.fieldnames or ())
        for number, record in enumerate(reader, start=1):
            yield _document_of(file, number, record[reading.text])
    except csv.Error as error:
        raise DataError(f"{file}, line {reader.line_num} cannot be read as {file.suffix[1:]}: {error}") from error


def _lines(blocks: Iterable[str]) -> Iterator[str]:
    held: list[str] = []  # of the line that has not ended yet
    for block in blocks:
        first, *more = block.split("\n")
        held.append(first)
        if more:
            yield "".join([*held, "\n"])
            yield from (f"{line}\n" for line in more[:-1])
            held = [more[-1]]
    if rest := "".join(held):
        yield rest


def _parquet_documents(file: Path, reading: Reading) -> Iterator[Document]:
    parquet = require("pyarrow.parquet", "training", f"reading {file}")
    pyarrow = require("pyarrow", "training", f"reading {file}")
    try:
        with parquet.ParquetFile(file) as table:
            _require_column(file, reading.text, table.schema_arrow.names)
            batches = table.iter_batches(_ROWS_AT_ONCE, columns=[reading.text])
            values = (value for batch in batches for value in batch.column(0).to_pylist())
            for number, value in enumerate(values, start=1):
                yield _document_of(file, number, value)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{file} cannot be read as Parquet: {error}; write it anew, or restore it from a copy"
        ) from error


_TABLES: Mapping[str, Callable[[Path, Reading], Iterator[Document]]] = {
    ".jsonl": _jsonl_documents,
    ".csv": _separated_documents,
    ".tsv": _separated_documents,
    ".parquet": _parquet_documents,
}


def _document_of(place: Path | str, number: int, value: Any, what: str = "row") -> Document:
    """A cell as a document; nothing is the empty text, which is counted and passed over later."""
    if value is not None and not isinstance(value, str):
        raise DataError(
            f"{place}, {what} {number}: the text is {value!r}, a {type(value).__name__}; needs a string. Name the column of "
            "the text, or write its values as strings"
        )
    return Document(_whole_characters(value or ""), f"{place}, {what} {number}")


def _whole_characters(text: str) -> str:
    """The text with U+FFFD for halves of characters, which JSON can spell (\\ud83d) and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _require_column(place: Path | str, column: str, known: Iterable[str]) -> None:
    known = list(known)
    if not known:
        raise DataError(f"{place} is empty; needs a column {column!r} with texts")
    if column not in known:
        listed = ", ".join(repr(name) for name in nearest_first(column, known)[:10])
        raise DataError(f"{place} has no column {column!r}; its columns, nearest first: {listed}")
