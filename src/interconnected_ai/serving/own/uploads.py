"""What an uploaded file is, told by its content: a table of text, or a refusal that says what it is instead."""

from interconnected_ai.data import decoded
from interconnected_ai.errors import DataError
from interconnected_ai.serving.faults import Refusal

# what files begin with → what they are, and what to do
_KINDS = (
    ((b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"#!"), "a program"),
    ((b"PK\x03\x04", b"PK\x05\x06"), "a zip or Excel file; save it as CSV UTF-8"),
    ((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf", b"Rar!"), "packed; unpack it first"),
    ((b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"{\\rtf", b"\xd0\xcf\x11\xe0"), "a document or a picture"),
    ((b"SQLite format 3",), "a database; export the table as CSV UTF-8"),
    ((b"PAR1",), "a Parquet file; save it as CSV UTF-8"),
)
_LONGEST_NAME = 100


def table_in(data: bytes, name: str) -> bytes:
    """The bytes of a table as UTF-8. name: as the file is called, for errors. Raises `Refusal`, 400 or 415."""
    for beginnings, what in _KINDS:
        if data.startswith(beginnings):
            raise Refusal(
                415, f"{name} is {what}: needed is a table of texts and labels, CSV", code="not_a_table", param="file"
            )
    if not data.strip():
        raise Refusal(400, f"{name} is empty; needed is a header and rows with a text and a label", param="file")
    try:
        text = decoded(data, name)
    except DataError as error:
        raise Refusal(415, str(error), code="not_a_table", param="file") from error
    if "\0" in text:
        raise Refusal(
            415, f"{name} has NUL in it: it is no text; save it as CSV UTF-8", code="not_a_table", param="file"
        )
    return text.encode()


def shown_name(name: str | None) -> str:
    """A file's name as a person may read it: no folders, nothing that does not print, not too long."""
    last = (name or "").replace("\\", "/").rsplit("/", 1)[-1]
    shown = "".join(letter for letter in last if letter.isprintable())[:_LONGEST_NAME]
    return shown.strip() or "the file"
