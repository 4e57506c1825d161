"""What a rule says, and when one rule holds whenever another does. How a text is searched is left to `rule_words`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from interconnected_ai.routing.rule_words import Phrase

NO_LIMIT = 2**63


@dataclass(frozen=True)
class Conditions:
    """All that is given must hold.

    words: one of them stands in the text; all_words: each does; no_words: none does; patterns: one of them is found.
    roles, prompt_ids, languages, users: the request's is one of these. flags: the request has them all. min_words, max_words:
    how many words the text has, both included.
    """

    words: tuple[Phrase, ...] = ()
    all_words: tuple[Phrase, ...] = ()
    no_words: tuple[Phrase, ...] = ()
    patterns: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    prompt_ids: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    min_words: int = 0
    max_words: int = NO_LIMIT

    @property
    def has_upper_limit(self) -> bool:
        """Whether the text may have only so many words."""
        return self.max_words < NO_LIMIT

    def implies(self, other: "Conditions") -> bool:
        """Whether `other` holds for every request that these hold for, as far as can be told from what they say.

        Patterns are told apart by how they are written: two that match the same texts count as different ones.
        """
        return (
            self.min_words >= other.min_words
            and self.max_words <= other.max_words
            and set(other.flags) <= set(self.flags)
            and all(
                _is_within(mine, theirs)
                for mine, theirs in (
                    (self.roles, other.roles),
                    (self.prompt_ids, other.prompt_ids),
                    (self.languages, other.languages),
                    (self.users, other.users),
                    (self.patterns, other.patterns),
                )
            )
            and (not other.words or self._needs_any(other.words))
            and all(self._needs_any((phrase,)) for phrase in other.all_words)
            and all(any(theirs.contains(mine) for mine in self.no_words) for theirs in other.no_words)
        )

    def _needs_any(self, phrases: tuple[Phrase, ...]) -> bool:
        """Whether a text that satisfies these conditions has one of the phrases."""

        def has_one(mine: Phrase) -> bool:
            return any(mine.contains(phrase) for phrase in phrases)

        return any(map(has_one, self.all_words)) or (bool(self.words) and all(map(has_one, self.words)))

    def contradiction(self) -> str | None:
        """Why no request at all can satisfy these conditions, as far as can be told; None where one may."""
        if self.min_words > self.max_words:
            return f"no text has at least {self.min_words} and at most {self.max_words} words"
        shortest = max([0, *map(len, self.all_words), *([min(map(len, self.words))] if self.words else [])])
        if shortest > self.max_words:
            return f"a text of at most {self.max_words} words cannot hold a phrase of {shortest}"
        for refused in self.no_words:
            if self._needs_any((refused,)):
                return f"the text must have and must not have {str(refused)!r}"
        return None


@dataclass(frozen=True)
class Rule:
    """Whom a request goes to (`to`), or who alone may answer it (`allow`), or may not (`deny`), where `when` holds.

    priority: the higher goes first, of equals the earlier. line: where it begins in its file.
    """

    name: str
    when: Conditions = field(default_factory=Conditions)
    to: str | None = None
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    priority: int = 0
    line: int = 0

    def bars(self, expert: str) -> bool:
        """Whether the expert may not answer where this rule holds."""
        return expert in self.deny or (bool(self.allow) and expert not in self.allow)


@dataclass(frozen=True)
class RuleBook:
    """The rules of one file, those that go first in front, and who there is.

    default: who answers where no rule sends a request anywhere. fallbacks: who stands in for an expert that cannot answer.
    """

    source: str
    experts: tuple[str, ...]
    rules: tuple[Rule, ...]
    default: str | None = None
    fallbacks: tuple[tuple[str, str], ...] = ()
    roles: tuple[str, ...] | None = None


def in_order(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """Those of higher priority first, of equals the earlier."""
    key: Callable[[Rule], int] = lambda rule: -rule.priority  # noqa: E731  `sorted` keeps the order of equals
    return tuple(sorted(rules, key=key))


def _is_within(mine: tuple[str, ...], theirs: tuple[str, ...]) -> bool:
    return not theirs or (bool(mine) and set(mine) <= set(theirs))
