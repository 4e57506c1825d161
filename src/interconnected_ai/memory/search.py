"""Which messages answer a question, without asking a model: BM25 legs, facts, time, vectors, fused by reciprocal rank."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from interconnected_ai.memory.asking import is_of_asking
from interconnected_ai.memory.numbering import Kind, number_of, place_of, session_of
from interconnected_ai.memory.questions import Question
from interconnected_ai.memory.ranking import K1, B, best_first, bm25, fuse, lend_to_neighbours, lend_to_stretches
from interconnected_ai.memory.scope import Scope
from interconnected_ai.memory.speakers import is_named
from interconnected_ai.memory.store import Rows, Store
from interconnected_ai.memory.times import Window
from interconnected_ai.text import terms, words


@dataclass(frozen=True, slots=True)
class SearchWeights:
    """How much each leg of the search counts. The defaults were chosen on the even dialogues of LoCoMo and BEAM.

    reply: of what assistants said, against what users said. stem: of a Russian stem beside its dictionary form.
    neighbour, reach: what share of its score a message lends to those beside it, and how far. stretch: what share of the mean
    score of the 24 messages about it a message gains. asking: of words such as "list" or "conversation", which speak of the
    asking, against those that speak of what is asked. speaker: added to the share of 1 for messages of somebody whom the
    question names. facts, time: legs against the words' leg of 1. vectors: what a standard deviation of likeness adds, as a
    share of the best score by words. closeness: what a word in the question's very form adds, beside its stem, in `search`.
    k1, b: of BM25.
    """

    reply: float = 0.3
    stem: float = 0.5
    neighbour: float = 0.6
    reach: int = 3
    stretch: float = 2.0
    asking: float = 0.25
    speaker: float = 0.5
    facts: float = 0.3
    time: float = 0.5
    vectors: float = 0.15
    closeness: float = 2.0
    k1: float = K1
    b: float = B


@dataclass(frozen=True, slots=True)
class Candidate:
    """A message that may answer, without its words yet."""

    number: int
    is_reply: bool
    num_tokens: int
    time: float
    role: str
    score: float
    legs: tuple[str, ...]


@dataclass(slots=True)
class Hits:
    """What the words of a question hit in one session: scores by number."""

    messages: dict[int, float] = field(default_factory=dict)
    summaries: dict[int, float] = field(default_factory=dict)
    facts: dict[int, float] = field(default_factory=dict)

    @property
    def are_none(self) -> bool:
        """Whether nothing was hit."""
        return not (self.messages or self.summaries or self.facts)

    def add(self, scores: Mapping[int, float]) -> None:
        """Put scores of index entries where their kind belongs."""
        for entry, score in scores.items():
            kind = (entry >> 8) & 3  # `kind_in` and `number_in`, written out: this is asked for every hit
            if kind <= Kind.REPLY:
                self.messages[entry >> 10] = score
            elif kind == Kind.SUMMARY:
                self.summaries[place_of(entry >> 10)] = score
            else:
                self.facts[place_of(entry >> 10)] = score


# Beyond so many postings the most frequent terms are left out: they tell little and cost the most.
_MOST_POSTINGS, _FEWEST_TERMS = 12_000, 3
_LONGEST_QUERY_TERMS = 64
_LEAST_LIKENESS = 0.3  # of two words' trigrams, below which they have nothing to do with each other
_MOST_LIKE = 4  # words of the vocabulary that stand in for one of the question
_NUM_REFINED = 30
_WINDOW_MESSAGES = 60


def word_hits(store: Store, rows: Rows, scope: Scope, text: str, weights: SearchWeights) -> Hits:
    """BM25 of everything in scope that shares a word with the text, or, when nothing does, a word like one of it."""
    asked = [term for term, _ in Counter(terms(text).terms).most_common(_LONGEST_QUERY_TERMS)]
    hits = Hits()
    hits.add(_scores(store, rows, scope, {term: _weight_of(term, weights) for term in asked}, weights))
    if asked and hits.are_none:
        hits.add(_scores(store, rows, scope, _like_words(store, rows, scope, asked), weights))
    return hits


def find_evidence(
    store: Store, rows: Rows, scope: Scope, question: Question, hits: Hits, weights: SearchWeights, limit: int
) -> list[Candidate]:
    """The best messages for a context, neighbours included, the best first."""
    lent = lend_to_neighbours(hits.messages, weights.neighbour, weights.reach)
    lent = lend_to_stretches(lent, hits.messages, weights.stretch)
    dense = _vector_hits(store, rows, scope, question, limit)
    fact_sources, in_time = _fact_sources(rows, hits.facts), _in_window(rows, scope, question.window)
    known = _look_up(rows, [*best_first(lent, limit), *dense, *fact_sources, *in_time])
    scores = _favour_the_named(_blend(lent, dense, weights.vectors), known, question.text, weights.speaker)
    return _fused(scores, dense, fact_sources, in_time, known, weights, limit, scope.present)


def find_messages(
    store: Store, rows: Rows, scope: Scope, question: Question, weights: SearchWeights, limit: int
) -> list[Candidate]:
    """The messages that say themselves what was asked for, the best first: a result list for people, no neighbours."""
    scores = word_hits(store, rows, scope, question.text, weights).messages
    refined = max(limit, _NUM_REFINED)
    scores = _refine(rows, scores, question.text, weights.closeness, refined)
    dense = _vector_hits(store, rows, scope, question, refined)
    in_time = _in_window(rows, scope, question.window)
    known = _look_up(rows, [*best_first(scores, refined), *dense, *in_time])
    return _fused(_blend(scores, dense, weights.vectors), dense, [], in_time, known, weights, limit, scope.present)


def _scores(
    store: Store, rows: Rows, scope: Scope, term_weights: Mapping[str, float], weights: SearchWeights
) -> dict[int, float]:
    where, whose = scope.where("number")
    counts = rows.one(
        f"SELECT coalesce(sum(num_messages), 0), coalesce(sum(num_words), 0) FROM sessions WHERE {where}", whose
    )
    if not term_weights or counts is None or not counts[0]:
        return {}
    num_messages, num_words = int(counts[0]), int(counts[1])
    postings = _affordable(_postings(store, rows, scope, list(term_weights)))
    return bm25(
        postings,
        term_weights,
        num_entries=num_messages,
        mean_length=num_words / num_messages,
        k1=weights.k1,
        b=weights.b,
    )


def _postings(store: Store, rows: Rows, scope: Scope, asked: Sequence[str]) -> dict[str, Sequence[int]]:
    """For each term that stands in scope: the entries that have it."""
    found: dict[str, Sequence[int]] = {}
    for owner in scope.owners:
        for term, entries in store.postings(rows, owner, asked).items():
            if inside := scope.of_it(entries):
                found[term] = [*found[term], *inside] if term in found else inside
    return found


def _fused(
    scores: Mapping[int, float],
    dense: Mapping[int, float],
    fact_sources: Sequence[int],
    in_time: Sequence[int],
    known: Mapping[int, tuple[Any, ...]],
    weights: SearchWeights,
    limit: int,
    present: int | None,
) -> list[Candidate]:
    def among_equals(number: int) -> tuple[bool, float, int]:
        """What is said in the present session goes before what is said elsewhere, then the later before the earlier."""
        return session_of(number) == present, known[number][3], number

    by_score = best_first({n: scores[n] for n in known if n in scores}, among_equals=among_equals)
    legs = {
        "speech": (1.0, [n for n in by_score if not known[n][1]]),
        "replies": (weights.reply, [n for n in by_score if known[n][1]]),
    }
    if fact_sources:
        legs["facts"] = (weights.facts, [n for n in fact_sources if n in known])
    if in_time:
        inside = {number: scores.get(number, 0.0) for number in in_time if number in known}
        legs["time"] = (weights.time, best_first(inside, among_equals=among_equals))
    found_by: dict[int, list[str]] = {}
    for name, (_, numbers) in legs.items():
        for number in numbers:
            found_by.setdefault(number, []).append(name)
    for number in dense:
        found_by.setdefault(number, []).append("vectors")
    fused = fuse(legs.values())
    return [_candidate(known[n], fused[n], found_by[n]) for n in best_first(fused, limit, among_equals=among_equals)]


def _blend(scores: Mapping[int, float], dense: Mapping[int, float], share: float) -> dict[int, float]:
    """Scores by words as shares of the best, plus `share` for each standard deviation of likeness.

    Ranks alone lose too much here: by vectors every message has a rank, however little it has to do with the question
    (LoCoMo, evidence in 1k / 2k / 4k tokens: ranks fused .835 / .880 / .925, scores blended .841 / .886 / .929).
    """
    if not dense:
        return dict(scores)
    best = max(scores.values(), default=1.0)
    blended = {number: score / best for number, score in scores.items()}
    for number, likeness in dense.items():
        blended[number] = blended.get(number, 0.0) + share * likeness
    return blended


def _candidate(row: Sequence[Any], score: float, legs: Sequence[str]) -> Candidate:
    number, is_reply, num_tokens, time, role = row
    return Candidate(number, bool(is_reply), num_tokens, time, role, score, tuple(legs))


def _affordable(postings: Mapping[str, Sequence[int]]) -> dict[str, Sequence[int]]:
    """The rarest terms, as many as can be scored in time."""
    ordered = sorted(postings, key=lambda term: len(postings[term]))
    kept: dict[str, Sequence[int]] = {}
    total = 0
    for term in ordered:
        total += len(postings[term])
        if total > _MOST_POSTINGS and len(kept) >= _FEWEST_TERMS:
            break
        kept[term] = postings[term]
    return kept


def _like_words(store: Store, rows: Rows, scope: Scope, asked: Sequence[str]) -> dict[str, float]:
    """Terms of the user that share the most trigrams with the question's: misspellings, pet names, parts of words."""
    wanted = {term: _trigrams(term[1:]) for term in asked}
    share_one = re.compile("|".join(map(re.escape, set().union(*wanted.values()))))
    found: dict[str, dict[str, float]] = {term: {} for term in asked}  # a term comes once for each owner
    for term in chain.from_iterable(store.vocabulary(rows, owner) for owner in scope.owners):
        if term[0] == "l" or not share_one.search(f"  {term[1:]} "):  # a lemma's stem is there as well
            continue
        theirs = _trigrams(term[1:])
        for one, ours in wanted.items():
            likeness = 2 * len(ours & theirs) / (len(ours) + len(theirs))
            if likeness >= _LEAST_LIKENESS:
                found[one][term] = likeness
    weights: dict[str, float] = {}
    for like in found.values():
        for likeness, term in sorted(((value, term) for term, value in like.items()), reverse=True)[:_MOST_LIKE]:
            weights[term] = max(weights.get(term, 0.0), likeness)
    return weights


def _trigrams(word: str) -> set[str]:
    padded = f"  {word} "
    return {padded[i : i + 3] for i in range(len(padded) - 2)}


def _refine(rows: Rows, scores: dict[int, float], query: str, closeness: float, num_refined: int) -> dict[int, float]:
    """Of messages with the same stems, first the one with the question's own forms: for останется, останусь before остался."""
    asked = {word for word in words(query) if len(word) > 2}
    best = best_first(scores, num_refined)
    if not best or not asked or not closeness:
        return scores
    contents = rows.all(f"SELECT number, content FROM messages WHERE number IN ({', '.join('?' * len(best))})", *best)
    refined = dict(scores)
    for number, content in contents:
        refined[number] += closeness * _likeness_of_forms(asked, set(words(content[:4000])))
    return refined


def _likeness_of_forms(asked: set[str], said: set[str]) -> float:
    """Σ over the asked words of the longest common beginning with a said one, as a share of the longer word."""
    total = 0.0
    for word in asked:
        if word in said:
            total += 1.0
            continue
        shares = [_num_alike(word, other) / max(len(word), len(other)) for other in said if other[:3] == word[:3]]
        total += max(shares, default=0.0)
    return total


def _num_alike(word: str, other: str) -> int:
    """How many letters two words begin with alike."""
    pairs = zip(word, other, strict=False)
    return next((number for number, (a, b) in enumerate(pairs) if a != b), min(len(word), len(other)))


def _favour_the_named(
    scores: Mapping[int, float], known: Mapping[int, tuple[Any, ...]], query: str, extra: float
) -> dict[int, float]:
    """ "What did Caroline say": what Caroline said counts more. Only for roles that are names of speakers."""
    speakers = {row[4] for row in known.values() if is_named(row[4])}
    if not extra or not speakers:
        return dict(scores)
    asked = set(words(query))
    named = {role for role in speakers if asked & set(words(role))}
    return {
        number: score * (1 + extra) if number in known and known[number][4] in named else score
        for number, score in scores.items()
    }


def _vector_hits(store: Store, rows: Rows, scope: Scope, question: Question, limit: int) -> dict[int, float]:
    return {} if question.vector is None else dict(store.nearest(rows, scope.sessions, question.vector, limit))


def _fact_sources(rows: Rows, facts: Mapping[int, float]) -> list[int]:
    """The messages that the best of the facts that were hit come from, in their order."""
    best = best_first(facts, 20)
    if not best:
        return []
    found = dict(rows.all(f"SELECT number, source FROM facts WHERE number IN ({', '.join('?' * len(best))})", *best))
    return list(dict.fromkeys(found[number] for number in best if number in found))


def _in_window(rows: Rows, scope: Scope, window: Window | None) -> list[int]:
    if window is None:
        return []
    where, whose = scope.where()
    query = f"SELECT number FROM messages WHERE {where} AND time >= ? AND time < ? ORDER BY time, number LIMIT ?"
    return [number for (number,) in rows.all(query, whose, window.start, window.end, _WINDOW_MESSAGES)]


def _look_up(rows: Rows, numbers: Sequence[int]) -> dict[int, tuple[Any, ...]]:
    """(number, is_reply, num_tokens, time, role) of messages that are there."""
    known: dict[int, tuple[Any, ...]] = {}
    wanted = sorted(set(numbers))
    for start in range(0, len(wanted), 500):
        part = wanted[start : start + 500]
        for row in rows.all(
            f"SELECT number, is_reply, num_tokens, time, role FROM messages WHERE number IN ({', '.join('?' * len(part))})",
            *part,
        ):
            known[row[0]] = row
    return known


def _weight_of(term: str, weights: SearchWeights) -> float:
    weight = weights.stem if _is_russian_stem(term) else 1.0
    return weight * weights.asking if is_of_asking(term) else weight


def _is_russian_stem(term: str) -> bool:
    return term[0] == "s" and "а" <= term[1:2] <= "я"


def session_range(session: int) -> tuple[int, int]:
    """The numbers between which all messages of a session lie."""
    return number_of(session, 0), number_of(session + 1, 0)
