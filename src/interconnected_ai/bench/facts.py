"""How true the facts are that the rules find: precision and recall on labelled sentences, English and Russian.

The sentences come with the package. Rules were chosen on one part of them and looked over once on a second; a third is what is
reported. Which part a sentence is in follows from its own bytes. A fourth was labelled before any rule had read it and measured
once, before its errors were looked at: it says how rules do on sentences of strangers, and no rule is chosen on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal
from zlib import crc32

from interconnected_ai.memory import Statement, statements
from interconnected_ai.text import normalize, terms

LANGUAGES = ("en", "ru")
Part = Literal["tuning", "checking", "reported", "held"]
# The files of sentences, and the parts that those of each are in. Sentences in which the rules began are for tuning alone: they
# have been read too often.
_FILES: dict[str, tuple[Part, ...]] = {
    "": ("tuning",),
    "people_": ("tuning",) * 9 + ("checking",) * 2 + ("reported",) * 9,
    "chats_": ("tuning", "held"),
    "talk_": ("held",),
    "letters_": ("tuning", "held"),
    "fresh_": ("tuning",),
    "later_": ("held",),
    "notes_": ("tuning",),
    "replies_": ("held",),
    "asides_": ("held",),
    "margins_": ("tuning",),
    "corners_": ("held",),
}
_ENGLISH_ALONE = ("notes_", "replies_", "margins_", "corners_")
# key, what it is, the goal, and whether the goal is a ceiling
GOALS = (
    ("facts_precision", "facts found that are true", 0.92, False),
    ("facts_recall", "true facts that are found", 0.70, False),
    ("facts_in_fact_free", "fact-free sentences that a fact is found in", 0.05, True),
)


@dataclass(frozen=True, slots=True)
class Label:
    """A fact that a sentence states, or whose end it states: any of these values is right.

    may: finding it is neither right nor wrong.
    """

    relation: str
    values: tuple[str, ...]
    ends: bool
    may: bool = False


@dataclass(frozen=True, slots=True)
class Labelled:
    """A sentence and what it states. A fact-free one states nothing. file: where it stands."""

    text: str
    facts: tuple[Label, ...]
    part: Part
    file: str = ""


def sentences_of(language: str, part: Part | None = None) -> list[Labelled]:
    """The labelled sentences of a language, `en` or `ru`, in their order; of one part or all of them."""
    every = [
        _labelled(line, parts[crc32(line.partition("\t")[0].encode()) % len(parts)], f"{name}{language}")
        for name, parts in _FILES.items()
        if language == "en" or name not in _ENGLISH_ALONE
        for line in _lines(f"{name}{language}.tsv")
    ]
    return [sentence for sentence in every if part in (None, sentence.part)]


def bench_facts(part: Part = "reported") -> dict[str, Any]:
    """Everything of `iai bench facts --json`: rates by language and by file, and every sentence that was read wrongly.

    Beside what is reported stand the files that were held apart, by their rates alone.
    """
    found: dict[str, Any] = {"part": part, "by_file": {}}
    wrong = []
    for language in LANGUAGES:
        sentences = sentences_of(language, part)
        rates, missed = rates_of(sentences)
        found |= {f"{key}_{language}": value for key, value in rates.items()}
        beside = sentences_of(language, "held") if part == "reported" else []
        for sentence in (*sentences, *beside):
            found["by_file"].setdefault(f"{sentence.file} ({sentence.part})", []).append(sentence)
        wrong += [{"language": language, **row} for row in missed]
    found["by_file"] = {name: rates_of(sentences)[0] for name, sentences in found["by_file"].items()}
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
        allowed = [label for label in sentence.facts if label.may]
        stated = [label for label in sentence.facts if not label.may]
        # what ends with a relationship follows from it, and is no finding of its own
        found = [
            one
            for one in statements(sentence.text, "user")
            if not (one.ends and one.relation.endswith("is called")) and not any(is_stated(may, one) for may in allowed)
        ]
        hits = [label for label in stated if any(is_stated(label, one) for one in found)]
        num_true, num_found, num_stated = num_true + len(hits), num_found + len(found), num_stated + len(stated)
        num_free, num_taken = num_free + (not sentence.facts), num_taken + (not sentence.facts and bool(found))
        if len(hits) < max(len(found), len(stated)):
            read = [(one.relation, one.value, bool(one.ends)) for one in found]
            meant = [(label.relation, label.values[0], label.ends) for label in stated]
            wrong.append({"text": sentence.text, "stated": meant, "found": read})
    return {
        "facts_precision": num_true / max(1, num_found),
        "facts_recall": num_true / max(1, num_stated),
        "facts_in_fact_free": num_taken / max(1, num_free),
        "num_facts": num_stated,
        "num_sentences": len(sentences),
    }, wrong


def is_stated(label: Label, found: Statement) -> bool:
    """Whether a fact that was found is the labelled one: its relation, and a value of the same words but for endings."""
    if (label.relation, label.ends) != (found.relation, bool(found.ends)):
        return False
    return any(_are_same(found.value, value) for value in label.values)


def _are_same(found: str, value: str) -> bool:
    ours, theirs = set(terms(found).terms), set(terms(value).terms)
    return ours == theirs if ours and theirs else normalize(found) == normalize(value)


def _lines(name: str) -> list[str]:
    text = (files("interconnected_ai.bench") / "fact_sentences" / name).read_text(encoding="utf-8")
    return text.splitlines()


def _labelled(line: str, part: Part, file: str) -> Labelled:
    text, _, labels = line.partition("\t")
    return Labelled(text, tuple(_label(label) for label in labels.split("|")) if labels else (), part, file)


def _label(label: str) -> Label:
    """`lives in=Riga~Riga, Latvia` is a fact, `-lives in=Riga` says that it ended, `?` before either that it may be found."""
    may, label = label.startswith("?"), label.removeprefix("?")
    relation, _, values = label.partition("=")
    return Label(relation.removeprefix("-"), tuple(values.split("~")), relation.startswith("-"), may)
