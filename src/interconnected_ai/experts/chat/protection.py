"""What a person writes stays text: control tokens that stand in a message are told from those that the template writes.

A message that spells a control token has a mark put behind that token's first character before the template sees it. What is
spelled without a mark in the rendered text was written by the template. The mark is a code point that no text has
(Unicode's noncharacters), and one that is in none of the messages.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from interconnected_ai.errors import PromptError

_NONCHARACTERS = [chr(point) for point in range(0xFDD0, 0xFDF0)]


@dataclass(frozen=True)
class Marked:
    """A rendered chat. text: without marks. controls: (begin, end) of the control tokens that the template wrote, in order.

    is_plain: whether no control token stands in it as text.
    """

    text: str
    controls: tuple[tuple[int, int], ...]
    is_plain: bool


@dataclass(frozen=True)
class ControlTokens:
    """The control tokens of one template and vocabulary. spellings: of all of them, at least one character each."""

    spellings: frozenset[str]

    @cached_property
    def _whole(self) -> re.Pattern[str]:
        """Any of them, the longest first."""
        return re.compile("|".join(map(re.escape, sorted(self.spellings, key=len, reverse=True))) or "(?!)")

    @cached_property
    def _inside(self) -> re.Pattern[str]:
        """The place behind the first character of each, also of one that begins within another."""
        rests: dict[str, list[str]] = {}
        for spelling in sorted(self.spellings):
            rests.setdefault(spelling[0], []).append(re.escape(spelling[1:]))
        options = (f"(?<={re.escape(first)})(?:(?={')|(?='.join(rest)}))" for first, rest in rests.items())
        return re.compile("|".join(options) or "(?!)")

    @cached_property
    def _beginnings(self) -> frozenset[str]:
        return frozenset(spelling[:n] for spelling in self.spellings for n in range(1, len(spelling)))

    def mark(self, text: str, mark: str) -> str:
        """The text with the mark in every control token that it spells, or that it begins at its end."""
        shown = text.rstrip()
        longest = max(map(len, self._beginnings), default=0)
        sizes = (n for n in range(1, min(longest, len(shown)) + 1) if shown[-n:] in self._beginnings)
        places = [found.start() for found in self._inside.finditer(text)] + [len(shown) - n + 1 for n in sizes]
        pieces, at = [], 0
        for place in sorted(set(places)):
            pieces.append(text[at:place])
            at = place
        return mark.join([*pieces, text[at:]])

    def read(self, rendered: str, mark: str) -> Marked:
        """A rendered chat without its marks, with the places of the control tokens that carried none."""
        controls, text, at = [], [], 0
        num_marks = 0
        for found in self._whole.finditer(rendered):
            before = rendered[at : found.start()]
            num_marks += before.count(mark)
            text.append(before.replace(mark, ""))
            begin = found.start() - num_marks
            controls.append((begin, begin + len(found.group())))
            text.append(found.group())
            at = found.end()
        text.append(rendered[at:].replace(mark, ""))
        return Marked("".join(text), tuple(controls), is_plain=mark not in rendered)


def free_mark(texts: Iterable[str]) -> str:
    """A noncharacter that none of the texts holds. Raises `PromptError` for texts that hold all of them."""
    held = set().union(*(set(text) & set(_NONCHARACTERS) for text in texts), set())
    free = next((mark for mark in _NONCHARACTERS if mark not in held), None)
    if free is None:
        raise PromptError(
            "the messages hold every one of the code points U+FDD0 to U+FDEF, which are no characters; drop them"
        )
    return free
