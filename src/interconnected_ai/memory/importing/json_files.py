"""JSON files a piece at a time: lines of JSONL, elements of one long array, neither ever whole in memory."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from interconnected_ai.errors import DataError
from interconnected_ai.memory.importing.records import BadRow

_CHARS_AT_ONCE = 1 << 18
_SPACE = re.compile(r"[ \t\r\n]*")
_decode = json.JSONDecoder().raw_decode


def lines_of(path: Path) -> Iterator[tuple[str, Any] | BadRow]:
    """(where, value) of every line that is not blank, or what is wrong with it."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _line(f"{path}, line {number}", line, first=number == 1)


def _line(where: str, line: bytes, *, first: bool) -> tuple[str, Any] | BadRow:
    try:
        return where, json.loads(line.rstrip(b"\r\n").decode("utf-8-sig" if first else "utf-8"))
    except UnicodeDecodeError as error:
        return BadRow(where, f"not UTF-8 (its byte {error.start + 1}); convert the file first")
    except json.JSONDecodeError as error:
        return BadRow(where, f"not JSON: {error.msg}, at character {error.pos + 1} of it")
    except (RecursionError, ValueError) as error:  # brackets a thousand deep, numbers of thousands of digits
        return BadRow(where, f"cannot be read as JSON: {str(error)[:200]}")


def document_of(path: Path) -> Any:
    """A JSON file, whole. Raises `DataError` naming the line."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (its byte {error.start + 1}); convert the file first") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {error.lineno} is not JSON: {error.msg}, at character {error.colno}") from error
    except (RecursionError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON: {str(error)[:200]}") from error


def elements_of(path: Path) -> Iterator[tuple[str, Any]]:
    """(where, value) of every element of a file that is one JSON array; of anything else, the one value.

    Raises `DataError` naming the line: behind a fault no element can be found any more.
    """
    with path.open(encoding="utf-8-sig") as file:
        try:
            window = _Window(path, file)
            if window.character() != "[":
                yield f"{path}, line {window.line}", document_of(path)
                return
            window.step()
            while (character := window.character()) != "]":
                if character == ",":
                    window.step()
                    continue
                where = f"{path}, line {window.line}"
                yield where, window.value()
            window.step()
            if not window.is_at_end():
                raise DataError(f"{path}, line {window.line} is not JSON: something stands behind the array's end")
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not UTF-8 ({error.reason}); convert the file first") from error


class _Window:
    """The part of a file that is being decoded."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self._path, self._file = path, file
        self._text, self._at, self.line = "", 0, 1

    def character(self) -> str:
        """The next character that is no space; the text's end is an error."""
        if self.is_at_end():
            raise DataError(f"{self._path}, line {self.line} is not JSON: the file ends inside of it; was it cut?")
        return self._text[self._at]

    def is_at_end(self) -> bool:
        """Whether nothing but space is left; passes over it."""
        while True:
            space = _SPACE.match(self._text, self._at)
            assert space is not None, "no space at all fits, too"
            self._move(space.end())
            if self._at < len(self._text):
                return False
            if not self._more(_CHARS_AT_ONCE):
                return True

    def step(self) -> None:
        """Pass over one character."""
        self._move(self._at + 1)

    def value(self) -> Any:
        """Decode the value that begins here."""
        wanted = _CHARS_AT_ONCE
        while True:
            begin = self._at
            try:
                value, end = _decode(self._text, begin)
            except json.JSONDecodeError as error:
                if not self._more(wanted):
                    line = self.line + self._text.count("\n", 0, error.pos - begin)
                    raise DataError(f"{self._path}, line {line} is not JSON: {error.msg}") from error
            except (RecursionError, ValueError) as error:
                raise DataError(f"{self._path}, line {self.line} cannot be read as JSON: {str(error)[:200]}") from error
            else:
                if end < len(self._text):
                    self._move(end)
                    return value
                if not self._more(wanted):  # a number at the end might have had more digits
                    self._move(end - begin)
                    return value
            wanted *= 2  # a value of any length is decoded in time that grows with its length

    def _more(self, num_chars: int) -> bool:
        """Read on, with what is being decoded at the window's beginning; whether there was more."""
        part = self._file.read(num_chars)
        self._text, self._at = self._text[self._at :] + part, 0
        return bool(part)

    def _move(self, to: int) -> None:
        self.line += self._text.count("\n", self._at, to)
        self._at = to
