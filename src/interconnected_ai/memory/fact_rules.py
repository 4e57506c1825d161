"""Facts that sentences in the first person state, Russian and English: rules over clauses, no model.

A relation says whether one subject has one value of it (a newer one then supersedes the older), a rule whether it ends what was
said before. Which sentences may be read at all is `fact_reading`'s, clauses and rules are the languages' own, values are
`fact_values`'.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from interconnected_ai.memory.fact_clauses import Ends, Found
from interconnected_ai.memory.fact_clauses_en import english_clauses
from interconnected_ai.memory.fact_clauses_ru import russian_clauses
from interconnected_ai.memory.fact_patterns_en import RULES as ENGLISH_RULES
from interconnected_ai.memory.fact_patterns_en import english_findings
from interconnected_ai.memory.fact_patterns_ru import RULES as RUSSIAN_RULES
from interconnected_ai.memory.fact_patterns_ru import russian_findings
from interconnected_ai.memory.fact_reading import own_sentences
from interconnected_ai.memory.fact_values import kept_value, value_of
from interconnected_ai.memory.fact_whole_sentences import sentence_findings
from interconnected_ai.memory.fact_words import KIN_RU, PETS
from interconnected_ai.text import normalize


@dataclass(frozen=True, slots=True)
class Statement:
    """A fact before it is stored. is_single: a subject has one value of this relation at a time.

    ends: "value" says that this holds no more, "relation" that no value of the relation does.
    """

    subject: str
    relation: str
    value: str
    kind: str = "fact"
    is_single: bool = False
    ends: Ends = ""


_TASTES = frozenset({"likes", "dislikes", "prefers"})
# Relations with many values at a time, of the author as of kin.
_MANY = _TASTES | frozenset(
    {
        "allergic to", "decided", "has", "plans", "instruction", "diet", "does not eat", "illness", "speaks", "learning",
        "graduated from", "hobby", "wants", "afraid of", "is", "family", "takes", "smokes",
    }
)  # fmt: skip
# What is said of kin as of the author.
_OF_KIN = frozenset(
    {
        "lives in", "works at", "works as", "comes from", "age", "birthday", "likes", "dislikes", "prefers", "diet",
        "does not eat", "allergic to", "illness", "speaks", "learning", "graduated from", "studies at", "studies", "is", "has",
        "hobby", "is called", "afraid of", "nationality", "native language",
    }
)  # fmt: skip
# What is said of people alone: "the dog is a terror" is no trade.
_OF_PEOPLE = frozenset(
    {
        "works at",
        "works as",
        "speaks",
        "learning",
        "graduated from",
        "studies at",
        "studies",
        "nationality",
        "native language",
    }
)
_KNOWN = frozenset(rule.relation for rule in (*ENGLISH_RULES, *RUSSIAN_RULES)) | {"instruction", "deadline", "name"}
_OPPOSITES = {"likes": "dislikes", "dislikes": "likes"}
_PARTNERS = ("girlfriend", "boyfriend", "partner", "wife", "husband", "девушка", "парень", "жена", "муж")
_CYRILLIC, _LATIN = re.compile("[а-яё]", re.IGNORECASE), re.compile("[a-z]", re.IGNORECASE)


def statements(content: str, subject: str) -> Iterator[Statement]:
    """The facts that a message in the first person states, in the order of its sentences, each once.

    Quoted lines (`> …`, as recalled memory is rendered) and code are not read: what was recalled is never learnt again.
    Pure; may be called from many threads at once.
    """
    seen: set[Statement] = set()
    for sentence in own_sentences(content):
        # what begins comes before what ends, so that "from Oslo to Riga" links the two
        for statement in sorted(_in_sentence(sentence, subject), key=lambda one: bool(one.ends)):
            if statement not in seen:
                seen.add(statement)
                yield statement


def opposite_of(relation: str) -> str | None:
    """The relation that says the contrary of this one."""
    return _OPPOSITES.get(relation)


def has_one_value(relation: str) -> bool:
    """Whether somebody has one value of a relation at a time, as far as the rules know it; of others they have one."""
    return relation not in _MANY and not any(relation.endswith(f" {about}") for about in _MANY & _OF_KIN)


def is_of_the_rules(relation: str) -> bool:
    """Whether the rules make facts of a relation, of the user or of kin."""
    of_others = any(relation.endswith(f" {about}") for about in _OF_KIN)
    return of_others or relation.startswith("favourite ") or relation in _KNOWN


def _in_sentence(sentence: str, subject: str) -> Iterator[Statement]:
    seen: set[tuple[str, str]] = set()
    for relation, said in sentence_findings(sentence):
        if value := (said if relation == "instruction" else kept_value(said, relation)):
            kind = "instruction" if relation == "instruction" else _kind_of(relation)
            yield Statement(subject, relation, value, kind, has_one_value(relation))
            seen.add((relation, normalize(value)))
    for found, value in _found(sentence):
        if (found.rule.relation, normalize(value)) in seen:
            continue
        about = found.rule.relation
        relation = f"{found.clause.who} {about}" if found.clause.who and found.rule.only != "pets" else about
        statement = Statement(subject, relation, value, _kind_of(about), has_one_value(relation), found.rule.ends)
        seen.add((about, normalize(value)))
        yield statement
        yield from _following(statement)


def _kind_of(relation: str) -> str:
    return "preference" if relation in _TASTES or relation.startswith("favourite ") else "fact"


def _found(sentence: str) -> Iterator[tuple[Found, str]]:
    """What rules find in the clauses of a sentence: of one stretch of words the first rule, of one relation one value."""
    is_russian = _CYRILLIC.search(sentence) is not None
    clauses = russian_clauses(sentence) if is_russian else english_clauses(sentence)
    findings = russian_findings if is_russian else english_findings
    for clause in clauses:
        taken: list[tuple[str, bool, str, tuple[int, int]]] = []
        for found in findings(clause):
            rule = found.rule
            if rule.only == "author" and clause.who:
                continue
            if rule.only == "kin" and not clause.who:
                continue
            if clause.who in PETS and (rule.relation in _OF_PEOPLE or rule.fixed in ("died", "умер")):
                continue
            if clause.who and rule.relation not in _OF_KIN:
                continue
            group = "value2" if found.match.groupdict().get("value2") else "value"
            span = found.match.span(group)
            text = found.match.string
            is_taken = any(
                (relation, ends) == (rule.relation, bool(rule.ends))
                or (text == other and start < span[1] and span[0] < end)
                for relation, ends, other, (start, end) in taken
            )
            if not is_taken and (value := value_of(found)):
                taken.append((rule.relation, bool(rule.ends), text, span))
                yield found, value


def _following(statement: Statement) -> Iterator[Statement]:
    """What ends together with it: who parted from somebody has a girlfriend of that name no more."""
    if statement.relation != "relationship" or not statement.ends:
        return
    for partner in _PARTNERS:
        who = normalize(statement.value)
        ends: Ends = "relation" if KIN_RU.get(who, who) == partner else "value"
        yield Statement(statement.subject, f"{partner} is called", statement.value, ends=ends, is_single=True)
