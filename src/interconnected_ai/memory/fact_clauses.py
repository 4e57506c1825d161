"""Clauses and the rules over them, for every language: a clause has its verb first, a rule is tried where its verb stands there."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

Ends = Literal["", "value", "relation"]


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
    hours belong to it.
    """

    relation: str
    heads: str
    text: str
    ends: Ends = ""
    only: str = ""
    check: str = ""
    fixed: str = ""
    of_times: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A rule that matched a clause."""

    rule: Rule
    match: re.Match[str]
    head: str
    clause: Clause


def rules_by_head(rules: Iterable[Rule]) -> Mapping[str, tuple[Rule, ...]]:
    """The rules for each first word, in their order."""
    found: dict[str, list[Rule]] = {}
    for rule in rules:
        for head in dict.fromkeys(rule.heads.split()):
            found.setdefault(head, []).append(rule)
    return {head: tuple(ones) for head, ones in found.items()}


@cache
def pattern_of(rule: Rule) -> re.Pattern[str]:
    """A rule's pattern, compiled when it is first needed: there are hundreds."""
    return re.compile(rule.text, re.IGNORECASE)
