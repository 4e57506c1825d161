"""Stored words as quotations, and what a quotation adds to the estimate of a context that it stands in."""

import re
from functools import lru_cache

from interconnected_ai.memory.speakers import one_line
from interconnected_ai.text import token_thousandths

# What a screen would act on rather than show. Line breaks and tabs stay, except in a heading.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
_ASCII_CONTROLS = bytes(sign for sign in range(128) if chr(sign) == "\r" or _CONTROL.match(chr(sign)))
_SPACES_AT_END = re.compile(r"[ \t]+\n")
_FEW_SPACES = 3
_MARK_THOUSANDTHS = token_thousandths(">")


def quoted(text: str, first: str = "") -> str:
    """A text as a quotation: every line begins with >, so that no stored line can pass for one of ours.

    first: stands before the text on its first line, whatever line breaks a name in it has.
    """
    return quoted_plainly(text, one_line(first) + " " * first.endswith(" "))


def quoted_plainly(text: str, first: str) -> str:
    """The same, first being one line already."""
    if text.isprintable():  # one line, as most messages are
        return f"> {first}{text}".rstrip()
    if _is_plain(text):
        return _without_spaces_at_ends(f"> {first}{text}".replace("\n", "\n> "))
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    shown = (line if line.isprintable() else _CONTROL.sub(" ", line) for line in text.split("\n"))
    return "\n".join([f"> {first}{next(shown)}".rstrip(), *(f"> {line}".rstrip() for line in shown)])


def _is_plain(text: str) -> bool:
    """Whether a text is of lines that may be shown as they are. Of bytes that is told four times faster than of letters."""
    if text.isascii():
        written = text.encode()
        return len(written.translate(None, _ASCII_CONTROLS)) == len(written)
    return text.replace("\n", "").isprintable()


def _without_spaces_at_ends(lines: str) -> str:
    """Plain lines without the spaces that they end with: mostly those of empty ones, and not many of others."""
    for _ in range(_FEW_SPACES):
        if " \n" not in lines:
            break
        lines = lines.replace(" \n", "\n")
    if " \n" in lines or "\t\n" in lines:
        lines = _SPACES_AT_END.sub("\n", lines)
    return lines.rstrip()


def content_thousandths(content: str) -> int:
    """What the words of a message add to a context that quotes them, in thousandths of a token (see `token_thousandths`).

    A quotation is `> #12 user: ` and the words. Cut between the colon and the space, both parts add up: what stands before is
    known by `head_thousandths`, and what is behind is the same behind every head that ends with a mark.
    """
    return token_thousandths(quoted(content)) - _MARK_THOUSANDTHS


@lru_cache(maxsize=1_024)
def head_thousandths(speaker: str, num_digits: int) -> int:
    """What a line break, and all that stands before the words of a message, add to a context.

    speaker: what stands before the words, but for the number of the message's place; it ends with a colon and a space.
    num_digits: of that number, 0 where there is none. All digits count alike.
    """
    number = f"#{'0' * num_digits} " if num_digits else ""
    return token_thousandths(f"\n> {number}{speaker}".rstrip())
