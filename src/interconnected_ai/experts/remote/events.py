"""Server-sent events (WHATWG HTML, section 9.2) as far as completions use them: the data of each, in order."""

from collections.abc import Iterator
from typing import Protocol

_MOST_LINE_BYTES = 4 * 1024 * 1024


class Lines(Protocol):
    """What can be read line by line."""

    def readline(self, limit: int = -1, /) -> bytes:
        """The next line with its end, b"" where there is no more."""


class MalformedError(Exception):
    """What came is no stream of events."""


def events(lines: Lines) -> Iterator[str]:
    """The data of each event. Lines are cut as bytes, so a letter may come in several packets. Raises `MalformedError`."""
    data: list[str] = []
    while line := lines.readline(_MOST_LINE_BYTES):
        if not line.endswith(b"\n") and len(line) >= _MOST_LINE_BYTES:
            raise MalformedError(f"an event of more than {_MOST_LINE_BYTES:,} bytes")
        try:
            text = line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise MalformedError("text that is not UTF-8") from error
        if text.startswith("data:"):
            data.append(text.removeprefix("data:").removeprefix(" "))
        elif not text and data:
            yield "\n".join(data)
            data = []
    if data:  # some servers leave out the last empty line
        yield "\n".join(data)
