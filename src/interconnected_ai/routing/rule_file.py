"""Rules as people write them, in YAML: every fault is told with its line. What rules are to each other is `rule_checks`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

import yaml

from interconnected_ai.errors import ConfigError, nearest_first
from interconnected_ai.routing.rule_checks import Fault, faults_of
from interconnected_ai.routing.rule_patterns import check_pattern
from interconnected_ai.routing.rule_words import Phrase
from interconnected_ai.routing.rules import NO_LIMIT, Conditions, Rule, RuleBook, in_order
from interconnected_ai.text import role_token

T = TypeVar("T")

_TOP = ("experts", "roles", "default", "fallbacks", "rules")
_ACTIONS = ("to", "allow", "deny")
_RULE = ("name", "priority", *_ACTIONS, *(each.name for each in fields(Conditions)))
_LANGUAGES = {
    **{name.casefold(): name for name in ("Russian", "English", "other", "none")},
    "ru": "Russian",
    "en": "English",
}
_MOST_PRIORITY = 10**9


def read_rules(
    path: str | Path, *, experts: Sequence[str] | None = None, roles: Sequence[str] | None = None
) -> RuleBook:
    """The rules in a YAML file. experts, roles: who there is; None takes what the file itself says.

    Raises `ConfigError` with a line for every fault: file, line number, what is wrong, and what to do.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"no rules at {path}; write a file of rules, see docs/routing.md") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}; rules are a YAML file in UTF-8") from error
    return parse_rules(text, source=str(path), experts=experts, roles=roles)


def parse_rules(
    text: str,
    *,
    source: str = "rules",
    experts: Sequence[str] | None = None,
    roles: Sequence[str] | None = None,
) -> RuleBook:
    """The rules in a YAML text, as `read_rules` reads them; source: what faults are told to stand in."""
    reader = _Reader()
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        book = reader.book(root, source, experts, roles)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{source}:{mark.line + 1}" if mark else source
        raise ConfigError(f"{where}: no valid YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{source}: no valid YAML: {error}") from error
    # Without experts every name would be unknown, and hide what is really wrong.
    faults = sorted([*reader.faults, *(faults_of(book, reader.places) if book.experts else ())])
    if faults:
        raise ConfigError("\n".join(f"{source}:{fault.line}: {fault.words}" for fault in faults))
    return book


@dataclass(frozen=True)
class _Entry:
    """A value of a mapping, and the line of its key."""

    value: yaml.Node
    line: int


class _Reader:
    """Takes nodes apart and gathers what is wrong with them. places: where names outside of rules stand, for later faults."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.places: dict[str, int] = {}

    def book(
        self, root: yaml.Node | None, source: str, experts: Sequence[str] | None, roles: Sequence[str] | None
    ) -> RuleBook:
        """The whole file."""
        entries = self._mapping(root, _TOP, "a file of rules")
        named = self._texts_at(entries, "experts")
        if experts is not None:
            for name in sorted(set(named) - set(experts)):
                self._fault(entries["experts"].line, _unknown("expert", name, experts))
        elif "experts" not in entries:
            self._fault(1, "key 'experts' is missing; name those who may answer: experts: [code, law]")
        known_roles = roles if roles is not None else (self._texts_at(entries, "roles") if "roles" in entries else None)
        default = self._texts_at(entries, "default")
        if len(default) > 1:
            self._fault(entries["default"].line, f"default: needs one expert, got {len(default)}")
        return RuleBook(
            source=source,
            experts=tuple(named or experts or ()),
            rules=in_order(self._rules(entries.get("rules"))),
            default=default[0] if default else None,
            fallbacks=tuple(self._fallbacks(entries.get("fallbacks")).items()),
            roles=None if known_roles is None else tuple(known_roles),
        )

    def _rules(self, entry: _Entry | None) -> list[Rule]:
        if entry is None:
            return []
        if not isinstance(entry.value, yaml.SequenceNode):
            self._fault(entry.line, "rules: needs a list, each rule after a dash")
            return []
        rules = [self._rule(node, number) for number, node in enumerate(entry.value.value, 1)]
        return [rule for rule in rules if rule is not None]

    def _rule(self, node: yaml.Node, number: int) -> Rule | None:
        line = _line(node)
        before = len(self.faults)
        entries = self._mapping(node, _RULE, "a rule")
        name = self._texts_at(entries, "name") or (f"rule {number}",)
        to = self._texts_at(entries, "to")
        allow, deny = self._texts_at(entries, "allow"), self._texts_at(entries, "deny")
        if len(self.faults) == before:
            if len(to) > 1:
                self._fault(entries["to"].line, f"to: needs one expert, got {len(to)}")
            if bool(to) == bool(allow or deny):
                self._fault(line, f"rule {name[0]!r} needs either `to`, or `allow` or `deny`")
        when = self._conditions(entries)
        priority = self._whole(entries, "priority", 0, least=-_MOST_PRIORITY)
        if len(self.faults) > before:
            return None
        return Rule(name[0], when, to[0] if to else None, allow, deny, priority, line)

    def _conditions(self, entries: Mapping[str, _Entry]) -> Conditions:
        return Conditions(
            words=self._each(entries, "words", Phrase.of),
            all_words=self._each(entries, "all_words", Phrase.of),
            no_words=self._each(entries, "no_words", Phrase.of),
            patterns=self._each(entries, "patterns", _pattern),
            roles=self._each(entries, "roles", _role),
            prompt_ids=self._texts_at(entries, "prompt_ids"),
            languages=self._each(entries, "languages", _language),
            users=self._texts_at(entries, "users"),
            flags=self._texts_at(entries, "flags"),
            min_words=self._whole(entries, "min_words", 0),
            max_words=self._whole(entries, "max_words", NO_LIMIT),
        )

    def _fallbacks(self, entry: _Entry | None) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, inner in self._mapping(entry.value if entry else None, None, "fallbacks", may_be_absent=True).items():
            values = self._texts(inner.value, f"fallbacks.{name}")
            if len(values) == 1:
                found[name] = values[0]
                self.places[f"fallback of {name}"] = inner.line
            else:
                self._fault(inner.line, f"fallbacks.{name}: needs one expert, got {len(values)}")
        return found

    def _each(self, entries: Mapping[str, _Entry], key: str, made: Callable[[str], T]) -> tuple[T, ...]:
        """What `made` makes of each text at the key, each once; what it refuses is a fault of that text's line."""
        found = []
        for text, line in self._lined(entries.get(key), key):
            try:
                found.append(made(text))
            except ConfigError as error:
                self._fault(line, f"{key}: {error}")
        return tuple(dict.fromkeys(found))

    def _texts_at(self, entries: Mapping[str, _Entry], key: str) -> tuple[str, ...]:
        if key in entries:
            self.places.setdefault(key, entries[key].line)
        return tuple(dict.fromkeys(text for text, _ in self._lined(entries.get(key), key)))

    def _texts(self, node: yaml.Node, key: str) -> list[str]:
        return [text for text, _ in self._lined(_Entry(node, _line(node)), key)]

    def _lined(self, entry: _Entry | None, key: str) -> list[tuple[str, int]]:
        """The texts of a scalar or a list of them, as they are written: `no` is a word here, and no truth value."""
        if entry is None:
            return []
        nodes = entry.value.value if isinstance(entry.value, yaml.SequenceNode) else [entry.value]
        found = []
        for node in nodes:
            if isinstance(node, yaml.ScalarNode) and node.value.strip() and not _is_null(node):
                found.append((str(node.value).strip(), _line(node)))
            else:
                self._complain_once(_line(node), f"{key}: needs a text or a list of texts")
        if not nodes:
            self._complain_once(entry.line, f"{key}: the list is empty; leave the key out, or name something")
        return found

    def _whole(self, entries: Mapping[str, _Entry], key: str, default: int, *, least: int = 0) -> int:
        if key not in entries:
            return default
        node = entries[key].value
        try:
            number = int(node.value)
        except (TypeError, ValueError):
            number = least - 1
        if not least <= number <= _MOST_PRIORITY:
            self._fault(_line(node), f"{key}: needs a whole number of {max(least, 0)} or more, got {node.value!r}")
            return default
        return number

    def _mapping(
        self, node: yaml.Node | None, known: Sequence[str] | None, what: str, *, may_be_absent: bool = False
    ) -> dict[str, _Entry]:
        """Key → value of a mapping node; keys that are unknown or stand twice are faults."""
        if node is None and may_be_absent:
            return {}
        if not isinstance(node, yaml.MappingNode):
            needed = f" with {', '.join(known[:3])} …" if known else ""
            self._fault(1 if node is None else _line(node), f"{what} needs keys and values{needed}")
            return {}
        found: dict[str, _Entry] = {}
        for key_node, value in node.value:
            key = str(key_node.value)
            if known is not None and key not in known:
                nearest = ", ".join(nearest_first(key, known)[:5])
                self._fault(_line(key_node), f"unknown key {key!r}; known, nearest first: {nearest}")
            elif key in found:
                self._fault(_line(key_node), f"key {key!r} stands twice; first in line {found[key].line}")
            else:
                found[key] = _Entry(value, _line(key_node))
        return found

    def _fault(self, line: int, words: str) -> None:
        self.faults.append(Fault(line, words))

    def _complain_once(self, line: int, words: str) -> None:
        if Fault(line, words) not in self.faults:
            self._fault(line, words)


def _role(text: str) -> str:
    role_token(text)  # raises for what no role token can hold
    return text


def _pattern(text: str) -> str:
    check_pattern(text)
    return text


def _language(text: str) -> str:
    known = _LANGUAGES.get(text.casefold())
    if known is None:
        raise ConfigError(_unknown("language", text, dict.fromkeys(_LANGUAGES.values())))
    return known


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    return f"unknown {kind} {name!r}; known, nearest first: {', '.join(nearest_first(name, known)[:10])}"


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _is_null(node: yaml.ScalarNode) -> bool:
    return node.tag == "tag:yaml.org,2002:null" and node.style is None
