"""Patterns that do not regard case, most of which are nowhere in a sentence: small letters tell that several times faster."""

import re
from collections.abc import Callable, Iterator

# Letters that must be capitals, which a text of small letters has none of: there any letter may be one.
_CAPITAL = re.compile(r"\(\?-i:\[[^\]]*\]\)")
_NO_CAPITAL = re.compile(r"\(\?! \(\?-i:\[[^\]]*\]\)\)")
_OTHER = re.compile(r"\\.|\(\?P|([A-ZА-ЯЁ])")


class Caseless:
    """`re.compile(text, re.IGNORECASE | flags)`, looked for in small letters first.

    Where case is not regarded, `re` does not see by its first letter that an alternative is not there, and goes into each of
    hundreds at every word; in small letters it sees that. text: written small. Letters that must be capitals are `(?-i:[A-Z])`
    and the like, and must not be of what is not to be there, but for a whole `(?! (?-i:[A-Z]))`. What only `re` takes for one
    of our letters, such as the dotless i, is another letter here.
    Pure; may be used from many threads at once.
    """

    __slots__ = ("_exact", "_is_told", "_small")

    def __init__(self, text: str, flags: int = 0) -> None:
        small = _CAPITAL.sub(r"\\w", _NO_CAPITAL.sub("", text))
        assert not any(found[1] for found in _OTHER.finditer(small)), f"capitals in {text!r}"
        self._exact, self._small = re.compile(text, re.IGNORECASE | flags), re.compile(small, flags)
        self._is_told = small == text  # a match in small letters is a match

    def is_in(self, text: str) -> bool:
        """Whether it is somewhere in a text."""
        found = self._small.search(text.lower())
        return found is not None and (self._is_told or self._exact.search(text) is not None)

    def search(self, text: str) -> re.Match[str] | None:
        """As of a pattern."""
        return None if self._small.search(text.lower()) is None else self._exact.search(text)

    def match(self, text: str) -> re.Match[str] | None:
        """As of a pattern."""
        return None if self._small.match(text.lower()) is None else self._exact.match(text)

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """As of a pattern."""
        return iter(()) if self._small.search(text.lower()) is None else self._exact.finditer(text)

    def sub(self, by: str | Callable[[re.Match[str]], str], text: str) -> str:
        """As of a pattern."""
        small = text.lower()
        first = self._small.search(small)
        if first is None:
            return text
        if not self._is_told or not isinstance(by, str) or "\\" in by or len(small) != len(text):
            return self._exact.sub(by, text)
        parts: list[str] = []
        end = 0
        for found in self._small.finditer(small, first.start()):
            parts += (text[end : found.start()], by)
            end = found.end()
        return "".join([*parts, text[end:]])
