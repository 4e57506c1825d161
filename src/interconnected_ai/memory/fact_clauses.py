"""Clauses and the rules over them, for every language: a clause has its verb first, a rule is tried where its verb stands there."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from interconnected_ai.memory.beginnings import LETTERS, beginnings_of

Ends = Literal["", "value", "relation"]
_MOST_REMEMBERED = 2_048  # beginnings of texts, of a first word
_BEHIND_SPACE = re.compile(rf"(?<=\s)(?=(.{{0,{LETTERS}}}))", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Clause:
    """who: whom it is about, "" for the author, else kin as facts call them. said: the rest, the verb first and in its base form.

    full: the rest with its times, where a language leaves them out of `said`. verb: the verb in the form that was said.
    """

    who: str
    said: str
    full: str = ""
    verb: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """Of clauses that begin with one of `heads`, what follows is matched. The group `value` is what the relation holds.

    only: "author" or "kin" whom it is about; "pets" of them alone. check: what the value must be beside (see `fact_values`).
    fixed: the value where the pattern's is empty; "head" is the verb itself, "who" the one spoken of. of_times: days and
    hours belong to it. needs: pieces of words between bars, of which every match holds one: without them it is not tried.
    """

    relation: str
    heads: str
    text: str
    ends: Ends = ""
    only: str = ""
    check: str = ""
    fixed: str = ""
    of_times: bool = False
    needs: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A rule that matched a clause."""

    rule: Rule
    match: re.Match[str]
    head: str
    clause: Clause


class Tried:
    """A rule as it is tried: its pattern is compiled when it is first needed, of most it never is."""

    __slots__ = ("_pattern", "beginnings", "needs", "rule")

    def __init__(self, rule: Rule) -> None:
        self.rule, self.beginnings = rule, beginnings_of(rule.text)
        self.needs = tuple(rule.needs.split("|")) if rule.needs else ()
        self._pattern: re.Pattern[str] | None = None

    @property
    def pattern(self) -> re.Pattern[str]:
        """What its text stands for, case not regarded."""
        if self._pattern is None:
            self._pattern = re.compile(self.rule.text, re.IGNORECASE)
        return self._pattern


class RulesByHead:
    """The rules for each first word of a clause, and of them those that what follows may match, by how it begins.

    Hundreds of rules are tried at no clause but a few: which may match follows from a text's first letters (see `beginnings`).
    May be called from many threads at once.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules: dict[str, list[Rule]] = {}
        for rule in rules:
            for head in dict.fromkeys(rule.heads.split()):
                self._rules.setdefault(head, []).append(rule)
        self._tried: dict[Rule, Tried] = {}
        self._of_head: dict[str, _OfHead] = {}

    def at_the_beginning(self, head: str, text: str) -> Sequence[Tried]:
        """Those that may match where a text begins, in their order."""
        of_head = self._about(head)
        if of_head is None:
            return ()
        low = text.lower()
        return [
            one
            for one in of_head.at_the_beginning(low[:LETTERS])
            if not one.needs or any(piece in low for piece in one.needs)
        ]

    def anywhere(self, head: str, text: str, full: str) -> Sequence[Tried]:
        """Those that may match somewhere in a text, in their order. full: the text of the rules that are `of_times`."""
        of_head = self._about(head)
        return of_head.anywhere(text.lower(), full.lower()) if of_head is not None else ()

    def _about(self, head: str) -> "_OfHead | None":
        if head not in self._of_head:
            if head not in self._rules:
                return None
            tried = [self._tried.get(rule) or self._tried.setdefault(rule, Tried(rule)) for rule in self._rules[head]]
            self._of_head[head] = _OfHead(tried)
        return self._of_head[head]


class _OfHead:
    """The rules of one first word, by the letters that their matches begin with."""

    def __init__(self, tried: Sequence[Tried]) -> None:
        self._tried = tried
        self._beginning: dict[str, tuple[Tried, ...]] = {}
        self._always = frozenset(
            number for number, one in enumerate(tried) if not one.beginnings.is_of_word or "" in one.beginnings.letters
        )
        self._by_letters: dict[str, list[int]] = {}
        # (of times, where the text begins) → letters → the numbers of those that may begin with them there
        self._placed: dict[tuple[bool, bool], dict[str, list[int]]] = {}
        for number, one in enumerate(tried):
            for letters in one.beginnings.letters:
                self._by_letters.setdefault(letters, []).append(number)
                if number not in self._always:
                    for is_first in (True,) if one.beginnings.is_first else (True, False):
                        placed = self._placed.setdefault((one.rule.of_times, is_first), {})
                        placed.setdefault(letters, []).append(number)

    def at_the_beginning(self, letters: str) -> tuple[Tried, ...]:
        allowed = self._beginning.get(letters)  # in one step: another thread may forget it between two
        if allowed is None:
            if len(self._beginning) >= _MOST_REMEMBERED:
                self._beginning.clear()
            found: set[int] = set()
            _gather(found, self._by_letters, letters)
            allowed = tuple(self._tried[number] for number in sorted(found))
            self._beginning[letters] = allowed
        return allowed

    def anywhere(self, text: str, full: str) -> list[Tried]:
        found = set(self._always)
        for (of_times, is_first), placed in self._placed.items():
            shown = full if of_times else text
            if is_first:
                _gather(found, placed, shown[:LETTERS])
            else:
                for letters in _BEHIND_SPACE.findall(shown):
                    _gather(found, placed, letters)
        allowed = [self._tried[number] for number in sorted(found)]
        return [
            one
            for one in allowed
            if not one.needs or any(piece in (full if one.rule.of_times else text) for piece in one.needs)
        ]


def _gather(found: set[int], by_letters: dict[str, list[int]], letters: str) -> None:
    """Add what may begin as some letters do."""
    for length in range(len(letters) + 1):
        numbers = by_letters.get(letters[:length])
        if numbers:
            found.update(numbers)
