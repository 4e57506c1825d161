"""From a file's bytes to its text: gzip, byte order marks, and errors that say which encoding it may have instead."""

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TextIO, cast

from interconnected_ai.arguments import checked
from interconnected_ai.errors import DataError

LINE_END = re.compile(r"\r\n|\r|\n")  # and no other: U+2028 and the like stand in texts
_MARKS = {  # the longer first: UTF-16's mark opens UTF-32's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_ZIP_REMEDY = "name it .xlsx, or unpack it or save it as CSV"
_LOOKED_AT = 1_000  # characters
_SAMPLE_BYTES = 100_000
_MOST_CONTROLS = 1 / 10  # of the first characters; text has line ends and tabs alone
_CYRILLIC = ("CP1251", "KOI8-R", "CP866")
_LETTERS_TOGETHER = 2  # letters beyond ASCII stand together in Cyrillic words, alone in French or German ones
_COMMON = dict(zip("оеаинтсрвлкмдпу", range(15, 0, -1), strict=True))


def bytes_of(file: Path) -> bytes:
    """The file's content, unpacked where it is gzip, whatever its name says. Raises `DataError` for a damaged one."""
    data = file.read_bytes()
    if not data.startswith(_GZIP):
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{file} is gzip that cannot be unpacked ({error}); fetch or write it again") from error


def text_of(file: Path) -> str:
    """The file's text: UTF-8, or UTF-16 or UTF-32 that begin with their byte order mark. Line ends stay as they are.

    Raises `DataError` for other encodings, with a guess at which, and for what is no text. No byte is replaced: a wrong
    encoding read "somehow" changes words.
    """
    return decoded(bytes_of(file), str(file))


@checked
def decoded(data: bytes, file: str) -> str:
    """As `text_of`, of bytes that were read already. file: their name, for errors."""
    if data.startswith(_ZIP):
        raise DataError(f"{file} is an Excel or zip file by its content; {_ZIP_REMEDY}")
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding).removesuffix("\x1a")  # the end of a file as DOS marks it
    except UnicodeDecodeError as error:
        raise DataError(_not_readable(file, data, encoding, error)) from error
    _refuse_other_than_text(file, text[:_LOOKED_AT])
    return text


@contextmanager
def open_text(file: Path) -> Iterator[TextIO]:
    """The file's text, to be read piece by piece; its `encoding` is what was found, line ends stay as they are.

    What cannot be read raises `DataError` as in `text_of`, when it is reached.
    """
    with file.open("rb") as packed:
        is_packed = packed.read(len(_GZIP)) == _GZIP
        packed.seek(0)
        data = cast("IO[bytes]", gzip.GzipFile(fileobj=packed)) if is_packed else packed
        try:
            start = data.read(len(_ZIP))
            data.seek(0)
            if start == _ZIP:
                raise DataError(f"{file} is an Excel or zip file by its content; {_ZIP_REMEDY}")
            encoding = next((name for mark, name in _MARKS.items() if start.startswith(mark)), "utf-8")
            with io.TextIOWrapper(data, encoding=encoding, newline="") as text:
                _refuse_other_than_text(str(file), text.read(_LOOKED_AT))
                text.seek(0)
                yield text
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{file} is gzip that cannot be unpacked ({error}); fetch or write it again") from error
        except UnicodeDecodeError as error:
            raise DataError(_not_decoded(file, encoding, error)) from error


def _refuse_other_than_text(file: str, sample: str) -> None:
    if sum(letter < " " and letter not in "\t\n\r\f\v" for letter in sample) > _MOST_CONTROLS * len(sample):
        raise DataError(
            f"{file} is no text, or UTF-16 without a byte order mark; save it as UTF-8, for instance with: "
            f"iconv -f UTF-16LE -t UTF-8 {Path(file).name}"
        )


def _not_decoded(file: Path, encoding: str, error: UnicodeDecodeError) -> str:
    """The words for bytes in the midst of a file that is read piece by piece."""
    name = {"utf-8-sig": "UTF-8"}.get(encoding, encoding.upper())
    if name != "UTF-8":
        return f"{file} begins as {name} and is not {name} further on; save it again, as UTF-8"
    likely = _likely_encoding(error.object[max(0, error.start - _SAMPLE_BYTES // 2) :][:_SAMPLE_BYTES])
    return (
        f"{file} is not UTF-8 (a byte is 0x{error.object[error.start]:02x}); it may be {likely}. "
        f"Convert it, for instance with: iconv -f {likely} -t UTF-8 {file.name}"
    )


def _not_readable(file: str, data: bytes, encoding: str, error: UnicodeDecodeError) -> str:
    name = {"utf-8-sig": "UTF-8"}.get(encoding, encoding.upper())
    shown = f"byte {error.start} is 0x{data[error.start]:02x}" if error.start < len(data) else "its end is missing"
    if encoding not in ("utf-8", "utf-8-sig"):
        return f"{file} begins as {name} and is not {name} ({shown}); save it again, as UTF-8"
    line = data.count(b"\n", 0, error.start) + 1
    likely = _likely_encoding(data[max(0, error.start - _SAMPLE_BYTES // 2) :][:_SAMPLE_BYTES])
    return (
        f"{file} is not UTF-8 ({shown}, in line {line}); it may be {likely}. "
        f"Convert it, for instance with: iconv -f {likely} -t UTF-8 {Path(file).name}"
    )


def _likely_encoding(data: bytes) -> str:
    """A guess for the message: of the Cyrillic encodings the one that makes common letters, CP1252 for lone accents."""
    runs = re.findall(rb"[\x80-\xff]+", data)
    if sum(map(len, runs)) < _LETTERS_TOGETHER * len(runs):
        return "CP1252"

    def likeness(encoding: str) -> float:
        letters = [letter for letter in data.decode(encoding, "replace") if letter > "\x7f"]
        return sum(_COMMON.get(letter, _COMMON.get(letter.lower(), 0) / 2) for letter in letters)

    return max(_CYRILLIC, key=likeness)
