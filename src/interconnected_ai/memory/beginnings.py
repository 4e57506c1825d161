"""What a text must begin with for a pattern to match there: most of hundreds of rules need not be tried at a clause."""

import re
from dataclasses import dataclass

LETTERS = 3  # that are looked at
_MOST = 1_000  # beginnings of a pattern; one that has more may begin with anything
_CLASS = r"\[\^?\]?(?:\\.|[^\]\\])*\]"
_TOKEN = re.compile(
    rf"\\.|{_CLASS}|\(\?P<\w+>|\(\?(?:[:=!]|<[=!]|-i:)|[()|^$.]|(?:[?*+]|\{{\d*,?\d*\}})\??|.", re.DOTALL
)
_BRACKET = re.compile(rf"\\.|{_CLASS}|[()|]", re.DOTALL)
_LOOKS = ("(?=", "(?!", "(?<=", "(?<!")
_OF_NO_WIDTH = frozenset({"^", "$", r"\b", r"\B", r"\A", r"\Z"})
_AT_WORD = "(?:^|(?<=\\s))"
# (letters, whether what follows in the pattern goes on with them)
_Found = frozenset[tuple[str, bool]]
_ANYTHING: _Found = frozenset({("", False)})
_NOTHING: _Found = frozenset({("", True)})


@dataclass(frozen=True, slots=True)
class Beginnings:
    """letters: up to `LETTERS` small ones each, with one of which every match begins; "" among them where none are known.

    is_first: only at the beginning of a text; is_of_word: there or behind a space.
    """

    letters: frozenset[str]
    is_first: bool
    is_of_word: bool


def beginnings_of(pattern: str) -> Beginnings:
    """The beginnings of all that a pattern matches, case not regarded. What is not understood may be anything."""
    found: set[tuple[str, bool]] = set()
    is_first = is_of_word = True
    place = -1
    while place < len(pattern):
        start = place + 1
        one, place = _alternative(pattern, start)
        found |= one
        is_first = is_first and pattern.startswith("^", start)
        is_of_word = is_of_word and pattern.startswith(("^", _AT_WORD), start)
    return Beginnings(frozenset(letters for letters, _ in found), is_first, is_of_word)


def _alternative(pattern: str, place: int) -> tuple[_Found, int]:
    """The beginnings of what stands up to the next | or the bracket that closes, and where that is."""
    one = _NOTHING
    while place < len(pattern) and pattern[place] not in "|)":
        if not _goes_on(one):
            return one, _end_of(pattern, place)
        found, place = _atom(pattern, place)
        count = _TOKEN.match(pattern, place)
        if count is not None and _is_count(count[0]):
            found, place = _counted(found, count[0]), count.end()
        one = _followed(one, found)
    return one, place


def _end_of(pattern: str, place: int) -> int:
    """Where an alternative ends."""
    depth = 0
    for found in _BRACKET.finditer(pattern, place):
        sign = found[0]
        if not depth and sign in "|)":
            return found.start()
        depth += (sign == "(") - (sign == ")")
    return len(pattern)


def _atom(pattern: str, place: int) -> tuple[_Found, int]:
    """The beginnings of the next letter, class or group, and where that ends."""
    match = _TOKEN.match(pattern, place)
    assert match is not None, "a token is at least one sign"
    token, place = match[0], match.end()
    if token[0] == "(":
        found: set[tuple[str, bool]] = set()
        place -= 1
        while pattern[place] != ")":
            one, place = _alternative(pattern, place + 1)
            found |= one
        return (_NOTHING if token in _LOOKS else frozenset(found)), place + 1
    if token in _OF_NO_WIDTH:
        return _NOTHING, place
    if len(token) == 1 and token != ".":
        return frozenset({(token.lower(), True)}), place
    if token[0] == "\\" and not token[1].isalnum():
        return frozenset({(token[1], True)}), place
    if token[0] == "[" and not {"\\", "-", "^"} & set(token[1:-1]):
        return frozenset((letter.lower(), True) for letter in token[1:-1]), place
    return _ANYTHING, place


def _is_count(token: str) -> bool:
    return token[0] in "?*+" or (token[0] == "{" and len(token) > 1)


def _counted(found: _Found, count: str) -> _Found:
    """What is there so many times: what comes behind the first time is not looked at, but where it may lack."""
    if count not in ("?", "??"):
        found = frozenset((letters, False) for letters, _ in found)
    return found | _NOTHING if count[0] in "?*" or count.startswith(("{0", "{,")) else found


def _goes_on(found: _Found) -> list[str]:
    return [letters for letters, goes_on in found if goes_on and len(letters) < LETTERS]


def _followed(one: _Found, other: _Found) -> _Found:
    going_on = _goes_on(one)
    done = {(letters, goes_on) for letters, goes_on in one if not (goes_on and len(letters) < LETTERS)}
    made = done | {((first + letters)[:LETTERS], goes_on) for first in going_on for letters, goes_on in other}
    return frozenset(made) if len(made) <= _MOST else _ANYTHING
