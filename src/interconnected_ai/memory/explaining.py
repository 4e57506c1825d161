"""Why a message stands in a context, or why not: the whole ranking beside what came of it. Chooses nothing itself."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from interconnected_ai.memory.context import Parts
from interconnected_ai.memory.numbering import place_of, session_of
from interconnected_ai.memory.questions import Question
from interconnected_ai.memory.records import Message, Reason
from interconnected_ai.memory.search import Candidate, SearchWeights, find_evidence, word_hits
from interconnected_ai.memory.store import Rows, Store
from interconnected_ai.text import terms, words

_MOST_RANKED = 1_000_000  # all of them
_LEGS = {
    "facts": "a fact that it tells was found",
    "time": "it is of the time that the question speaks of",
    "vectors": "it is alike in meaning",
}
_ORDINALS = {1: "st", 2: "nd", 3: "rd"}


@dataclass(frozen=True, slots=True)
class Ranking:
    """Every message that the search of a question finds in some sessions. places: by number, (place from 1, candidate).

    hit: those that have a word of the question themselves, or one like it. asked: the question's words as they were asked, each
    with its terms.
    """

    sessions: tuple[int, ...]
    places: Mapping[int, tuple[int, Candidate]]
    hit: Collection[int]
    asked: Mapping[str, frozenset[str]]
    has_vector: bool


def rank_all(store: Store, rows: Rows, sessions: Sequence[int], question: Question, weights: SearchWeights) -> Ranking:
    """The ranking that a context of these sessions is packed from, to its end."""
    hits = word_hits(store, rows, sessions, question.text, weights)
    found = find_evidence(store, rows, sessions, question, hits, weights, _MOST_RANKED)
    return Ranking(
        tuple(sessions),
        {candidate.number: (place, candidate) for place, candidate in enumerate(found, start=1)},
        hits.messages,
        {word: theirs for word in words(question.text) if (theirs := frozenset(terms(word).terms))},
        question.vector is not None,
    )


def reasons_for(parts: Parts, ranking: Ranking) -> tuple[Reason, ...]:
    """Why each message is there whose words stand in a context, in the order in which they stand there."""
    evidence = [_of_shown("evidence", message, said == message.content, ranking) for _, message, said in parts.evidence]
    last = [_of_shown("last", message, said == message.content, ranking) for message, said in parts.last]
    return (*evidence, *last)


def reason_of(message: Message, parts: Parts, ranking: Ranking, rows: Rows) -> Reason:
    """Why a message is in a context, or why not."""
    there = [one for one in reasons_for(parts, ranking) if (one.session, one.id) == (message.session, message.id)]
    reason = there[0] if there else _of_absent(message, parts, ranking)
    replaced = _replaced_facts(rows, message)
    return reason if not replaced else reason.saying(f"{reason.text}; {replaced}")


def reason_of_unknown(id: str, user: str) -> Reason:
    """Why nothing can be said of an id. It is the same for what never was, was forgotten, or is somebody else's."""
    text = f"user {user!r} has no message {id!r}: it was never told, or it was forgotten"
    return Reason(id, None, None, None, "unknown", None, None, (), (), text)


def _of_shown(part: Literal["last", "evidence"], message: Message, is_whole: bool, ranking: Ranking) -> Reason:
    rank, score, legs, said = _found(message, ranking)
    how = _how(message, ranking)
    if part == "last":
        cause, text = "last", "it is one of the last messages" + (f"; it is {how} too" if how else "")
    elif rank is None:
        cause, text = "room", "nothing of it was asked for, and there was room"
    elif message.number in ranking.hit or set(legs) & set(_LEGS):
        cause, text = "found", f"it is {how}"
    else:
        cause, text = "neighbour", f"it is {how}"
    if not is_whole:
        text += "; only part of it is shown"
    return Reason(message.id, message.session, message.place, part, cause, rank, score, legs, said, text)


def _of_absent(message: Message, parts: Parts, ranking: Ranking) -> Reason:
    rank, score, legs, said = _found(message, ranking)
    part: Literal["timeline"] | None = None
    if session_of(message.number) not in ranking.sessions:
        cause, text = "other session", f"it is of session {message.session!r}, which was not looked through"
    elif (summary := _summary_with(message, parts)) is not None:
        part, cause = "timeline", "summarised"
        text = f"its own words are not there, a summary of #{summary[0]}–#{summary[1]} is"
    elif rank is not None:
        cause, text = "over budget", f"it is {_how(message, ranking)}, and the budget was full before its turn"
    elif said:
        cause, text = "not found", f"it shares but {', '.join(said)} with the question, which too many messages have"
    else:
        meaning = "" if ranking.has_vector else ", and is not searched by meaning"
        cause, text = "not found", f"it shares no word with the question{meaning}"
    return Reason(message.id, message.session, message.place, part, cause, rank, score, legs, said, text)


def _found(message: Message, ranking: Ranking) -> tuple[int | None, float | None, tuple[str, ...], tuple[str, ...]]:
    """(rank, score, legs, the question's words) of a message."""
    theirs = frozenset(terms(message.content).terms)
    said = tuple(word for word, asked in ranking.asked.items() if asked & theirs)
    if message.number not in ranking.places:
        return None, None, (), said
    rank, candidate = ranking.places[message.number]
    return rank, candidate.score, candidate.legs, said


def _how(message: Message, ranking: Ranking) -> str:
    """`found by the words Riga, Anna; it is of the time that …; ranked 1st of 12`; nothing of what was not found."""
    rank, _, legs, said = _found(message, ranking)
    if rank is None:
        return ""
    if said:
        how = [f"found by the word{'s' * (len(said) > 1)} {', '.join(said)}"]
    elif message.number in ranking.hit:
        how = ["found by words like those that were asked"]
    else:
        how = ["near a message that was found"] if not set(legs) & set(_LEGS) else ["found"]
    how += [_LEGS[leg] for leg in legs if leg in _LEGS]
    return "; ".join([*how, f"ranked {_ordinal(rank)} of {len(ranking.places)}"])


def _ordinal(number: int) -> str:
    is_teen = number % 100 in (11, 12, 13)
    return f"{number}{'th' if is_teen else _ORDINALS.get(number % 10, 'th')}"


def _summary_with(message: Message, parts: Parts) -> tuple[int, int] | None:
    """The places that the summary which stands for a message covers, where one is shown."""
    return next(
        (
            (one.first_place, one.last_place)
            for _, one in parts.timeline
            if one.first_place <= message.place <= one.last_place
        ),
        None,
    )


def _replaced_facts(rows: Rows, message: Message) -> str:
    """What a message told and something later put right."""
    found = rows.all(
        "SELECT old.relation, old.value, new.value, new.kind, new.source FROM facts old "
        "JOIN facts new ON new.number = old.superseded_by WHERE old.source = ? AND old.superseded_by <> old.number "
        "ORDER BY old.number",
        message.number,
    )
    return "; ".join(
        f"that {relation}: {value} was superseded by "
        + ("its end" if kind.startswith("end") else later)
        + ("" if source < 0 else f", in #{place_of(source)}")
        for relation, value, later, kind, source in found
    )
