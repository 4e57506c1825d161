"""What is wrong with rules that are well written each by itself: names nobody knows, circles, rules that can do nothing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from interconnected_ai.errors import nearest_first
from interconnected_ai.routing.fallbacks import cycle_in
from interconnected_ai.routing.rules import Rule, RuleBook


@dataclass(frozen=True, order=True)
class Fault:
    """A line of the file, from 1, and what is wrong there."""

    line: int
    words: str


def faults_of(book: RuleBook, places: Mapping[str, int]) -> list[Fault]:
    """Everything that is wrong with the rules as a whole, none where all is well.

    places: the lines of `default` and of each "fallback of NAME".
    """
    return [
        *_unknown_names(book, places),
        *_circles(book, places),
        *_same_names(book.rules),
        *_impossible(book.rules),
        *_without_effect(book),
    ]


def _unknown_names(book: RuleBook, places: Mapping[str, int]) -> Iterator[Fault]:
    named: list[tuple[int, str]] = [
        (rule.line, name) for rule in book.rules for name in (rule.to, *rule.allow, *rule.deny) if name is not None
    ]
    if book.default is not None:
        named.append((places.get("default", 1), book.default))
    for expert, stand_in in book.fallbacks:
        line = places.get(f"fallback of {expert}", 1)
        named += [(line, expert), (line, stand_in)]
    yield from (_unknown(line, "expert", name, book.experts) for line, name in named if name not in book.experts)
    if book.roles is not None:
        for rule in book.rules:
            for role in rule.when.roles:
                if role not in book.roles:
                    yield _unknown(rule.line, "role", role, book.roles)


def _circles(book: RuleBook, places: Mapping[str, int]) -> Iterator[Fault]:
    if (cycle := cycle_in(dict(book.fallbacks))) is not None:
        line = places.get(f"fallback of {cycle[0]}", 1)
        yield Fault(line, f"the fallbacks go in a circle: {' → '.join(cycle)}; end the chain at one of them")


def _same_names(rules: Iterable[Rule]) -> Iterator[Fault]:
    first: dict[str, int] = {}
    for rule in sorted(rules, key=lambda rule: rule.line):
        if rule.name in first:
            yield Fault(rule.line, f"two rules are called {rule.name!r}; the first is in line {first[rule.name]}")
        first.setdefault(rule.name, rule.line)


def _impossible(rules: Iterable[Rule]) -> Iterator[Fault]:
    for rule in rules:
        if (why := rule.when.contradiction()) is not None:
            yield Fault(rule.line, f"rule {rule.name!r} can never hold: {why}")
        if twice := sorted(set(rule.allow) & set(rule.deny)):
            yield Fault(rule.line, f"rule {rule.name!r} allows and denies {twice[0]!r}")


def _without_effect(book: RuleBook) -> Iterator[Fault]:
    """Rules that send nobody anywhere, whatever is asked."""
    sending = [rule for rule in book.rules if rule.to is not None]
    barring = [rule for rule in book.rules if rule.to is None]
    for place, rule in enumerate(sending):
        denied = next((bar for bar in barring if bar.bars(str(rule.to)) and rule.when.implies(bar.when)), None)
        if denied is not None:
            yield Fault(
                rule.line,
                f"rule {rule.name!r} sends to {rule.to!r}, whom rule {denied.name!r} in line {denied.line} bars whenever it "
                "holds; drop one of them",
            )
        elif (before := _hiding(rule, sending[:place], barring)) is not None:
            yield Fault(rule.line, _hidden(rule, before))
    for place, rule in enumerate(barring):
        before = next(
            (bar for bar in barring[:place] if _says_as_much(bar, rule) and rule.when.implies(bar.when)), None
        )
        if before is not None:
            yield Fault(
                rule.line, f"rule {rule.name!r} adds nothing to rule {before.name!r} in line {before.line}; drop it"
            )


def _hiding(rule: Rule, earlier: Sequence[Rule], barring: Sequence[Rule]) -> Rule | None:
    """The first rule that goes before this one and holds whenever it does, and whose expert may then answer."""
    for before in earlier:
        may_be_barred = before.to != rule.to and any(bar.bars(str(before.to)) for bar in barring)
        if not may_be_barred and rule.when.implies(before.when):
            return before
    return None


def _hidden(rule: Rule, before: Rule) -> str:
    where = f"rule {before.name!r} in line {before.line}"
    if before.when.implies(rule.when):
        if before.to == rule.to:
            return f"rule {rule.name!r} repeats {where}; drop one of them"
        if before.priority == rule.priority:
            return (
                f"rule {rule.name!r} contradicts {where}: both hold for the same requests, and send them to {rule.to!r} and "
                f"{before.to!r}; drop one, or set conditions that tell them apart"
            )
    return (
        f"rule {rule.name!r} is never reached: {where} goes first and holds whenever it does; give this one a higher "
        "priority, or drop it"
    )


def _says_as_much(before: Rule, rule: Rule) -> bool:
    """Whether who may not answer by this rule may not answer by the earlier one either."""
    if rule.allow and not (before.allow and set(before.allow) <= set(rule.allow)):
        return False
    return set(rule.deny) <= set(before.deny)


def _unknown(line: int, kind: str, name: str, known: Iterable[str]) -> Fault:
    return Fault(line, f"unknown {kind} {name!r}; known, nearest first: {', '.join(nearest_first(name, known)[:10])}")
