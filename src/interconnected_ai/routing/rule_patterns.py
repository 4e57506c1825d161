"""Regular expressions of rules in linear time, whatever a person writes: RE2 (https://github.com/google/re2), all at once."""

from collections.abc import Iterable
from typing import Any

from interconnected_ai.errors import ConfigError
from interconnected_ai.extras import require

_MOST_BYTES = 2**26  # of states that RE2 keeps for a set


def check_pattern(pattern: str) -> None:
    """Raise `ConfigError` for a pattern that RE2 does not take: back references and look-around are none of linear time."""
    re2 = _re2()
    try:
        re2.compile(pattern, options=_options())
    except re2.error as error:
        said = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise ConfigError(
            f"pattern {pattern!r}: {said}; patterns are RE2's, without back references and look-around: "
            "https://github.com/google/re2/wiki/Syntax"
        ) from error


class PatternSet:
    """Which of many patterns are found in a text, by one pass over it. Any number of threads may search at once.

    Raises `ConfigError` for a pattern that cannot be, `MissingExtraError` without google-re2 where there are patterns.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = tuple(dict.fromkeys(patterns))
        self._compiled: tuple[Any, ...] = ()
        if not self._patterns:
            return
        for pattern in self._patterns:
            check_pattern(pattern)
        re2 = _re2()
        self._compiled = tuple(re2.compile(pattern, options=_options()) for pattern in self._patterns)
        self._set = re2.Set.SearchSet(_options())
        for pattern in self._patterns:
            self._set.Add(pattern)
        self._witness = self._set.Add("")  # found in every text: a set without it has run out of its memory
        self._set.Compile()

    def found_in(self, text: str) -> dict[str, str]:
        """The patterns that are found, each with the part of the text that it is found at."""
        if not self._compiled:
            return {}
        text = text.encode("utf-8", "replace").decode()  # half a character is none that RE2 reads
        places = self._set.Match(text) or ()
        if self._witness not in places:
            places = range(len(self._patterns))
        found = {}
        for place in places:
            if place != self._witness and (match := self._compiled[place].search(text)) is not None:
                found[self._patterns[place]] = match.group()
        return found


def _re2() -> Any:
    return require("re2", "routing", "patterns in rules")


def _options() -> Any:
    options = _re2().Options()
    options.log_errors = False
    options.max_mem = _MOST_BYTES
    return options
