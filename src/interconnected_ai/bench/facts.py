"""How true the facts are that the rules find: precision and recall on labelled sentences, English and Russian.

The sentences come with the package: every other one was for choosing rules, the rest are what is reported.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from interconnected_ai.memory import Statement, statements
from interconnected_ai.text import normalize, terms

LANGUAGES = ("en", "ru")
# key, what it is, the goal, and whether the goal is a ceiling
GOALS = (
    ("facts_precision", "facts found that are true", 0.92, False),
    ("facts_recall", "true facts that are found", 0.70, False),
    ("facts_in_fact_free", "fact-free sentences that a fact is found in", 0.05, True),
)


@dataclass(frozen=True, slots=True)
class Labelled:
    """A sentence and what it states: (relation, value, whether it ends). A fact-free one states nothing."""

    text: str
    facts: tuple[tuple[str, str, bool], ...]


def sentences_of(language: str) -> list[Labelled]:
    """The labelled sentences of a language, `en` or `ru`, in their order."""
    text = (files("interconnected_ai.bench") / "fact_sentences" / f"{language}.tsv").read_text(encoding="utf-8")
    return [_labelled(line) for line in text.splitlines()]


def bench_facts(*, tuning: bool = False) -> dict[str, Any]:
    """Everything of `iai bench facts --json`: rates by language, and every sentence that was read wrongly.

    tuning: of the half that rules were chosen on, instead of the half that is reported.
    """
    found: dict[str, Any] = {"half": "tuning" if tuning else "reported"}
    wrong = []
    for language in LANGUAGES:
        half = sentences_of(language)[0 if tuning else 1 :: 2]
        rates, missed = rates_of(half)
        found |= {f"{key}_{language}": value for key, value in rates.items()}
        wrong += [{"language": language, **row} for row in missed]
    return {**found, "wrong": wrong}


def fact_goal_rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The rates of `bench_facts` against the goals: what, language, value, goal, and whether the goal is a ceiling."""
    return [
        {"what": what, "language": language, "value": found[f"{key}_{language}"], "goal": goal, "at_most": at_most}
        for key, what, goal, at_most in GOALS
        for language in LANGUAGES
    ]


def rates_of(sentences: Sequence[Labelled]) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """(precision, recall and the rest, what was read wrongly) of labelled sentences, each read by itself."""
    num_true = num_found = num_stated = num_free = num_taken = 0
    wrong = []
    for sentence in sentences:
        found = [
            one for one in statements(sentence.text, "user") if not one.relation.endswith("is called") or not one.ends
        ]
        hits = [label for label in sentence.facts if any(is_stated(label, one) for one in found)]
        num_true, num_found, num_stated = num_true + len(hits), num_found + len(found), num_stated + len(sentence.facts)
        num_free, num_taken = num_free + (not sentence.facts), num_taken + (not sentence.facts and bool(found))
        if len(hits) < max(len(found), len(sentence.facts)):
            read = [(one.relation, one.value, bool(one.ends)) for one in found]
            wrong.append({"text": sentence.text, "stated": list(sentence.facts), "found": read})
    return {
        "facts_precision": num_true / max(1, num_found),
        "facts_recall": num_true / max(1, num_stated),
        "facts_in_fact_free": num_taken / max(1, num_free),
        "num_facts": num_stated,
    }, wrong


def is_stated(label: tuple[str, str, bool], found: Statement) -> bool:
    """Whether a fact that was found is the labelled one: its relation, and a value of the same words but for endings."""
    relation, value, ends = label
    if (relation, ends) != (found.relation, bool(found.ends)):
        return False
    ours, theirs = set(terms(found.value).terms), set(terms(value).terms)
    return ours == theirs if ours and theirs else normalize(found.value) == normalize(value)


def _labelled(line: str) -> Labelled:
    text, _, labels = line.partition("\t")
    return Labelled(text, tuple(_label(label) for label in labels.split("|")) if labels else ())


def _label(label: str) -> tuple[str, str, bool]:
    """`lives in=Riga` is a fact, `-lives in=Riga` says that it ended."""
    relation, _, value = label.partition("=")
    return relation.removeprefix("-"), value, relation.startswith("-")
