"""Requests routed by rules that people write. No model is asked, and nothing is imported that would be needed for one."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from interconnected_ai.routing.fallbacks import stand_ins
from interconnected_ai.routing.requests import understood
from interconnected_ai.routing.rule_file import parse_rules, read_rules
from interconnected_ai.routing.rule_patterns import PatternSet
from interconnected_ai.routing.rule_words import Phrase, PhraseIndex
from interconnected_ai.routing.rules import Rule, RuleBook
from interconnected_ai.text import language_of, words
from interconnected_ai.types import Request, Route, ScoredExpert, Told

RULES = "rules"
# A rule is looked at only where one of its first such conditions holds; those with none are looked at for every request.
_INDEXED = ("prompt_ids", "roles", "words", "all_words", "patterns", "users", "flags")


@dataclass(frozen=True)
class Fired:
    """A rule whose conditions hold for a request, and by what each of them does."""

    rule: Rule
    evidence: tuple[Told, ...]

    @property
    def told(self) -> Told:
        """As a reason says it."""
        name, line = self.rule.name, self.rule.line
        rule = Told.of("rule", f"rule {name!r} (line {line})", rule=name, line=line)
        evidence = self.evidence or (Told.of("always", "holds for every request"),)
        return rule.then(
            Told("; ".join(evidence), *(clause for one in evidence for clause in one.clauses)), between=": "
        )

    def __str__(self) -> str:
        return str(self.told)


class _Seen:
    """What of one request rules ask for; each thing is found once, when the first rule asks."""

    def __init__(self, request: Request, phrases: PhraseIndex, patterns: PatternSet) -> None:
        self.request = request
        self._said = words(request.text)
        self.num_words = len(self._said)
        self.phrases = phrases.found_in(self._said)
        self.patterns = patterns.found_in(request.text)

    @cached_property
    def language(self) -> str:
        """The request's language, told from its text where it does not say it."""
        return self.request.language or language_of(self.request.text)

    def values(self, condition: str) -> Iterator[object]:
        """What of the request may make a condition of this kind hold."""
        request = self.request
        if condition in ("words", "all_words"):
            yield from self.phrases
        elif condition == "patterns":
            yield from self.patterns
        elif condition == "flags":
            yield from request.flags
        elif (
            value := {"roles": request.role, "prompt_ids": request.prompt_id, "users": request.user}[condition]
        ) is not None:
            yield value


class RuleRouter:
    """Routes by the first rule that holds, the highest priority first; who may not answer is looked at before.

    A rule is certain: its expert scores 1, those whom later rules would have sent the request to score 0. Where no rule sends a
    request anywhere the default answers, as a fallback; without one the router abstains.
    Nothing changes after it is made: any number of threads may ask at once. Rules of one condition cost a look-up a word of
    the text, however many there are.
    """

    def __init__(self, book: RuleBook) -> None:
        self.book = book
        conditions = [rule.when for rule in book.rules]
        self._phrases = PhraseIndex(
            phrase for when in conditions for phrase in (*when.words, *when.all_words, *when.no_words)
        )
        self._patterns = PatternSet(pattern for when in conditions for pattern in when.patterns)
        self._always: list[int] = []
        self._by_value: Mapping[str, Mapping[object, list[int]]] = {kind: defaultdict(list) for kind in _INDEXED}
        for number, rule in enumerate(book.rules):
            self._index(number, rule)

    @classmethod
    def from_file(
        cls, path: str | Path, *, experts: Sequence[str] | None = None, roles: Sequence[str] | None = None
    ) -> Self:
        """The rules in a YAML file; raises `ConfigError` with file and line of everything that is wrong (see `read_rules`)."""
        return cls(read_rules(path, experts=experts, roles=roles))

    @classmethod
    def from_text(
        cls,
        text: str,
        *,
        source: str = "rules",
        experts: Sequence[str] | None = None,
        roles: Sequence[str] | None = None,
    ) -> Self:
        """The rules in a YAML text."""
        return cls(parse_rules(text, source=source, experts=experts, roles=roles))

    def route(self, requests: Sequence[Request], /) -> list[Route]:
        """The routes of the requests, in order."""
        return [self._route(request, self.fired(request)) for request in requests]

    def fired(self, request: Request) -> list[Fired]:
        """Every rule that holds for the request, those that go first in front, and by what it holds."""
        seen = _Seen(understood(request), self._phrases, self._patterns)
        found = []
        for number in self._candidates(seen):
            evidence = _evidence(self.book.rules[number], seen)
            if evidence is not None:
                found.append(Fired(self.book.rules[number], evidence))
        return found

    def _route(self, request: Request, fired: Sequence[Fired]) -> Route:
        barred = frozenset(
            expert for expert in self.book.experts for each in fired if each.rule.to is None and each.rule.bars(expert)
        )
        sending: dict[str, Fired] = {}
        for each in fired:
            if each.rule.to is not None and each.rule.to not in barred:
                sending.setdefault(each.rule.to, each)
        if sending:
            first, *others = sending
            experts = (ScoredExpert(first, 1.0), *(ScoredExpert(name, 0.0) for name in others))
            return Route(experts, sending[first].told.then(_told(barred, fired), between=""), RULES, barred=barred)
        return self._otherwise(request, barred, fired)

    def _otherwise(self, request: Request, barred: frozenset[str], fired: Sequence[Fired]) -> Route:
        """Nobody is sent for: the default, or who stands in for it."""
        nowhere = Told.of("no_rule", "no rule sends this request anywhere")
        why = nowhere.then(_unheard(request, self.book), between="").then(_told(barred, fired), between="")
        default = self.book.default
        chosen = None
        if default is not None:
            chain = (default, *stand_ins(default, dict(self.book.fallbacks)))
            chosen = next((name for name in chain if name not in barred), None)
        if chosen is None:
            return Route((), why, RULES, abstains=True, barred=barred)
        why = why.then(Told.of("default", "the default answers", expert=chosen))
        return Route((ScoredExpert(chosen, 0.0),), why, RULES, is_fallback=True, barred=barred)

    def _index(self, number: int, rule: Rule) -> None:
        kind = next((kind for kind in _INDEXED if getattr(rule.when, kind)), None)
        if kind is None:
            self._always.append(number)
            return
        values = getattr(rule.when, kind)
        for value in values if kind not in ("all_words", "flags") else values[:1]:
            self._by_value[kind][value].append(number)

    def _candidates(self, seen: _Seen) -> list[int]:
        """Numbers of the rules that may hold, rising."""
        found = set(self._always)
        for kind, numbers in self._by_value.items():
            if numbers:
                for value in seen.values(kind):
                    found.update(numbers.get(value, ()))
        return sorted(found)


def _evidence(rule: Rule, seen: _Seen) -> tuple[Told, ...] | None:
    """By what the conditions of a rule hold, in words; None where one does not."""
    found: list[Told] = []
    for holds in _CONDITIONS:
        words = holds(rule, seen)
        if words is None:
            return None
        if words:
            found.append(words)
    return tuple(found)


# Each: None where the condition does not hold, _NONE where the rule has none of that kind, else by what it holds.
_NONE = Told("")


def _prompt_id(rule: Rule, seen: _Seen) -> Told | None:
    return _one_of("prompt id", rule.when.prompt_ids, seen.request.prompt_id)


def _role(rule: Rule, seen: _Seen) -> Told | None:
    return _one_of("role", rule.when.roles, seen.request.role)


def _user(rule: Rule, seen: _Seen) -> Told | None:
    return _one_of("user", rule.when.users, seen.request.user)


def _language(rule: Rule, seen: _Seen) -> Told | None:
    return _one_of("language", rule.when.languages, seen.language) if rule.when.languages else _NONE


def _flags(rule: Rule, seen: _Seen) -> Told | None:
    if not rule.when.flags:
        return _NONE
    flags = ", ".join(rule.when.flags)
    holds = seen.request.flags.issuperset(rule.when.flags)
    return Told.of("flags", f"flags {flags}", flags=flags) if holds else None


def _length(rule: Rule, seen: _Seen) -> Told | None:
    when = rule.when
    if not when.min_words and not when.has_upper_limit:
        return _NONE
    number = seen.num_words
    return Told.of("length", f"{number} words", count=number) if when.min_words <= number <= when.max_words else None


def _some_words(rule: Rule, seen: _Seen) -> Told | None:
    if not rule.when.words:
        return _NONE
    found = [phrase for phrase in rule.when.words if phrase in seen.phrases]
    return _shown(found, seen) if found else None


def _all_words(rule: Rule, seen: _Seen) -> Told | None:
    if not all(phrase in seen.phrases for phrase in rule.when.all_words):
        return None
    return _shown(rule.when.all_words, seen)


def _no_words(rule: Rule, seen: _Seen) -> Told | None:
    if any(phrase in seen.phrases for phrase in rule.when.no_words):
        return None
    if not rule.when.no_words:
        return _NONE
    phrases = ", ".join(repr(str(phrase)) for phrase in rule.when.no_words)
    return Told.of("no_words", f"without {phrases}", words=phrases)


def _patterns(rule: Rule, seen: _Seen) -> Told | None:
    if not rule.when.patterns:
        return _NONE
    found = next((pattern for pattern in rule.when.patterns if pattern in seen.patterns), None)
    if found is None:
        return None
    said = seen.patterns[found]
    return Told.of("pattern", f"{said!r} is {found}", said=said, pattern=found)


_CONDITIONS: tuple[Callable[[Rule, _Seen], Told | None], ...] = (
    _prompt_id, _role, _user, _language, _flags, _length, _some_words, _all_words, _no_words, _patterns,
)  # fmt: skip


def _one_of(what: str, wanted: Sequence[str], found: str | None) -> Told | None:
    if not wanted:
        return _NONE
    return (
        Told.of(what.replace(" ", "_"), f"{what} {found}", value=found)
        if found is not None and found in wanted
        else None
    )


def _shown(phrases: Sequence[Phrase], seen: _Seen) -> Told:
    """The text's own words, and the rule's where they differ."""
    pairs = [(seen.phrases[phrase], str(phrase)) for phrase in phrases]
    if not pairs:
        return _NONE
    text = ", ".join(repr(said) if said == rule.lower() else f"{said!r} is {rule!r}" for said, rule in pairs)
    return Told.of("words", text, words=", ".join(said for said, _ in pairs))


def _told(barred: frozenset[str], fired: Sequence[Fired]) -> Told:
    """Who may not answer, and by which rules."""
    if not barred:
        return _NONE
    by = ", ".join(repr(each.rule.name) for each in fired if each.rule.to is None)
    names = ", ".join(sorted(barred))
    return Told.of("barred", f"; barred by {by}: {names}", rules=by, experts=names)


def _unheard(request: Request, book: RuleBook) -> Told:
    """That a role was asked for which nobody knows, or which no rule hears of."""
    role = understood(request).role
    if role is None:
        return _NONE
    if book.roles is not None and role not in book.roles:
        known = ", ".join(book.roles)
        return Told.of("unknown_role", f" (unknown role {role!r}; known: {known})", role=role, known=known)
    heard = any(role in rule.when.roles for rule in book.rules)
    return _NONE if heard else Told.of("unheard_role", f" (no rule has the role {role!r})", role=role)
